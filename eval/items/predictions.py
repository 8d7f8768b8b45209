"""Predictions and the grades that can be given to them."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eval.items.questions import ANSWERS
from eval.items.records import RecordsError, read_records, renamed
from eval.metrics import FIELDS, METRICS

NO_ANSWER = "no answer of the model in the predictions"
NO_REFERENCE = "no reference in the predictions"


class PredictionsError(ValueError):
    """A predictions file is missing, is no such file, or lacks what every metric needs."""


@dataclass(frozen=True)
class Task:
    """One grade to be given: a metric, the record it is about, what the judge sees.

    Without `fields` nobody can judge it, and `reason` says what is missing.
    """

    metric: str
    key: str
    fields: dict[str, str] | None
    reason: str | None = field(default=None, repr=False)


def video_of(key: str) -> str:
    """The video of an item's key, which may end in the number of the video's occurrence.

    >>> video_of("S001C001P001R001A001_0"), video_of("v_a")
    ('S001C001P001R001A001', 'v_a')
    """
    return re.sub(r"(?<=.)_[0-9]+$", "", key)


def read_predictions(paths: Iterable[Path]) -> list[dict[str, Any]]:
    """All records of the files in order, each with its `video_name`, whoever wrote them (see `eval/items/records.py`).

    Raises:
        PredictionsError: naming the file, and the record where there is one.
    """
    records = [record for path in paths for record in _records(Path(path))]
    if not records:
        raise PredictionsError("the predictions hold no record; make them with eval/describe.py")
    return records


def _records(path: Path) -> list[dict[str, Any]]:
    if path.is_dir():
        raise PredictionsError(f"{path} is a folder; expected a file of predictions, made by eval/describe.py --out")
    try:
        records = read_records(path)
    except RecordsError as error:
        raise PredictionsError(f"{error}; predictions are made by eval/describe.py --out") from error
    if any("score" in record for record in records) and not any(record.get(q) for record in records for q in ANSWERS):
        raise PredictionsError(
            f"{path} looks like a file of scores, not of predictions; for its means see --aggregate {path}"
        )
    return records


def tasks_for(metric: str, records: list[dict[str, Any]]) -> list[Task] | str:
    """One task for each record that has the metric's question or answer, or why the metric cannot be run.

    A record that lacks the other of the two, or the reference, stays a task (without fields): it counts as unscored.
    One that has neither is of another kind of benchmark file.
    The key is the video's name and which of its occurrences it is, as in Video-ChatGPT's score files.

    >>> records = [{"video_name": "v", "Q": "?", "A": "a", "pred": "b"}]
    >>> tasks_for("correctness", records)
    [Task(metric='correctness', key='v_0', fields={'Q': '?', 'A': 'a', 'pred': 'b'})]
    >>> tasks_for("consistency", records)
    'no record has pred1, pred2'
    """
    questions = [name for name in FIELDS[metric] if name in ANSWERS]
    answers = [ANSWERS[name] for name in questions]
    found = [(key, texts) for key, texts in _texts(metric, records) if any(texts[n] for n in (*questions, *answers))]
    if not any(texts[name] is not None for _, texts in found for name in answers):
        asked = f", but {len(found)} have {' or '.join(questions)}: nobody has answered them" if found else ""
        return f"no record has {', '.join(answers)}{asked}"
    return [_task(metric, key, texts) for key, texts in found]


def _texts(metric: str, records: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, str | None]]]:
    """Each record's key and the metric's texts."""
    seen: dict[str, int] = {}
    for record in map(renamed, records):
        occurrence = seen[record["video_name"]] = seen.get(record["video_name"], -1) + 1
        yield f"{record['video_name']}_{occurrence}", {name: _text(record, metric, name) for name in FIELDS[metric]}


def _text(record: dict[str, Any], metric: str, name: str) -> str | None:
    if name == "A" and metric == "consistency" and record.get("cons_A") is not None:
        return str(record["cons_A"])
    text: str | None = record.get(name)
    return text if name in ANSWERS.values() or (text or "").strip() else None


def _task(metric: str, key: str, texts: dict[str, str | None]) -> Task:
    whole = {name: text for name, text in texts.items() if text is not None}
    if missing := [name for name in texts if name not in whole]:
        return Task(metric, key, None, _reason(missing))
    return Task(metric, key, whole)


def _reason(missing: list[str]) -> str:
    if questions := [name for name in missing if name in ANSWERS]:
        return f"no question ({', '.join(questions)}) in the predictions"
    return NO_REFERENCE if missing == ["A"] else NO_ANSWER


def left_out(records: list[dict[str, Any]]) -> int:
    """How many records have neither question nor answer, so that they count in no metric.

    >>> left_out([{"video_name": "v", "A": "a"}, {"video_name": "v", "Q": "?"}])
    1
    """
    names = [*ANSWERS, *ANSWERS.values()]
    return sum(not any(record.get(name) for name in names) for record in map(renamed, records))


def all_tasks(records: list[dict[str, Any]]) -> tuple[list[Task], dict[str, str]]:
    """Every grade the records allow, and for each metric that they do not allow, why."""
    tasks: list[Task] = []
    not_run: dict[str, str] = {}
    for metric in METRICS:
        found = tasks_for(metric, records)
        if isinstance(found, str):
            not_run[metric] = found
        else:
            tasks += found
    return tasks, not_run
