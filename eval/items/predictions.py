"""Predictions, and the grading tasks that they allow."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eval.items.questions import ANSWERS
from eval.items.records import read_records, renamed
from eval.metrics import FIELDS, METRICS

NO_ANSWER = "no answer of the model in the predictions"
NO_REFERENCE = "no reference in the predictions"


@dataclass(frozen=True)
class Task:
    """One planned grade: a metric, the record it is about, and the texts that the judge sees.

    Without `fields` it cannot be judged, and `reason` says what is missing.
    """

    metric: str
    key: str
    fields: dict[str, str] | None
    reason: str | None = field(default=None, repr=False)


def video_of(key: str) -> str:
    """Return the video of an item's key, which may end in the number of the video's occurrence.

    >>> video_of("S001C001P001R001A001_0"), video_of("v_a")
    ('S001C001P001R001A001', 'v_a')
    """
    return re.sub(r"(?<=.)_[0-9]+$", "", key)


def read_predictions(paths: Iterable[Path]) -> list[dict[str, Any]]:
    """Read all records of the files in order, in any of the formats of `eval/items/records.py`.

    Raises:
        ValueError: the message names the file, and the record if there is one.
    """
    records = [record for path in paths for record in _records(Path(path))]
    if not records:
        raise ValueError("the predictions hold no record; make them with eval/describe.py")
    return records


def _records(path: Path) -> list[dict[str, Any]]:
    if path.is_dir():
        raise ValueError(f"{path} is a folder; expected a file of predictions, made by eval/describe.py --out")
    try:
        records = read_records(path)
    except ValueError as error:
        raise ValueError(f"{error}; predictions are made by eval/describe.py --out") from error
    if any("score" in record for record in records) and not any(record.get(q) for record in records for q in ANSWERS):
        raise ValueError(
            f"{path} looks like a file of scores, not of predictions; for its means see --aggregate {path}"
        )
    return records


def tasks_for(metric: str, records: list[dict[str, Any]]) -> list[Task] | str:
    """Return a task for each record with the metric's question or answer, or why the metric cannot be run.

    A record that lacks the other of the two, or the reference, gives a task without fields, which counts as unscored.
    One that has neither belongs to another kind of benchmark file.
    The key is the video's name and the number of its occurrence, as in Video-ChatGPT's score files.

    >>> records = [{"video_name": "v", "Q": "?", "A": "a", "pred": "b"}]
    >>> tasks_for("correctness", records)
    [Task(metric='correctness', key='v_0', fields={'Q': '?', 'A': 'a', 'pred': 'b'})]
    >>> tasks_for("consistency", records)
    'no record has pred1, pred2'
    """
    questions = [name for name in FIELDS[metric] if name in ANSWERS]
    answers = [ANSWERS[name] for name in questions]
    items = [(key, texts) for key, texts in _texts(metric, records) if any(texts[n] for n in (*questions, *answers))]
    if not any(texts[name] is not None for _, texts in items for name in answers):
        hint = f", but {len(items)} have {' or '.join(questions)}: they are not answered yet" if items else ""
        return f"no record has {', '.join(answers)}{hint}"
    return [_task(metric, key, texts) for key, texts in items]


def _texts(metric: str, records: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, str | None]]]:
    """Yield each record's key and the metric's texts."""
    occurrences: dict[str, int] = {}
    for record in map(renamed, records):
        occurrence = occurrences[record["video_name"]] = occurrences.get(record["video_name"], -1) + 1
        yield f"{record['video_name']}_{occurrence}", {name: _text(record, metric, name) for name in FIELDS[metric]}


def _text(record: dict[str, Any], metric: str, name: str) -> str | None:
    if name == "A" and metric == "consistency" and record.get("cons_A") is not None:
        return str(record["cons_A"])
    text: str | None = record.get(name)
    return text if name in ANSWERS.values() or (text or "").strip() else None


def _task(metric: str, key: str, texts: dict[str, str | None]) -> Task:
    fields = {name: text for name, text in texts.items() if text is not None}
    if missing := [name for name in texts if name not in fields]:
        return Task(metric, key, None, _reason(missing))
    return Task(metric, key, fields)


def _reason(missing: list[str]) -> str:
    if questions := [name for name in missing if name in ANSWERS]:
        return f"no question ({', '.join(questions)}) in the predictions"
    return NO_REFERENCE if missing == ["A"] else NO_ANSWER


def left_out(records: list[dict[str, Any]]) -> int:
    """Count the records with neither question nor answer, which take part in no metric.

    >>> left_out([{"video_name": "v", "A": "a"}, {"video_name": "v", "Q": "?"}])
    1
    """
    names = [*ANSWERS, *ANSWERS.values()]
    return sum(not any(record.get(name) for name in names) for record in map(renamed, records))


def all_tasks(records: list[dict[str, Any]]) -> tuple[list[Task], dict[str, str]]:
    """Return all tasks that the records allow, and the reason of each metric that they do not allow."""
    tasks: list[Task] = []
    not_run: dict[str, str] = {}
    for metric in METRICS:
        result = tasks_for(metric, records)
        if isinstance(result, str):
            not_run[metric] = result
        else:
            tasks += result
    return tasks, not_run
