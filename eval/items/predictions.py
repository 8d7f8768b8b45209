"""Predictions and the grades that can be given to them."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eval.items.records import RecordsError, read_records, renamed
from eval.metrics import FIELDS, METRICS

_ANSWERS = ("pred", "pred1", "pred2")


class PredictionsError(ValueError):
    """A predictions file is missing, is no such file, or lacks what every metric needs."""


@dataclass(frozen=True)
class Task:
    """One grade to be given: a metric, the record it is about, what the judge sees.

    Without `fields` nobody can judge it: the model left no answer, or `reason` says what else is missing.
    """

    metric: str
    key: str
    fields: dict[str, str] | None
    reason: str | None = field(default=None, repr=False)


def read_predictions(paths: Iterable[Path]) -> list[dict[str, Any]]:
    """All records of the files in order, each with its `video_name`, whoever wrote them (see `eval/items/records.py`).

    Raises:
        PredictionsError: naming the file, and the record where there is one.
    """
    try:
        records = [record for path in paths for record in read_records(Path(path))]
    except RecordsError as error:
        raise PredictionsError(f"{error}; predictions are made by eval/describe.py --out") from error
    if not records:
        raise PredictionsError("the predictions hold no record; make them with eval/describe.py")
    return records


def tasks_for(metric: str, records: list[dict[str, Any]]) -> list[Task] | str:
    """One task for each record that has the metric's question and reference, or why the metric cannot be run.

    A record with a question but without the model's answer stays a task (without fields): it counts as unscored.
    The key is the video's name and which of its occurrences it is, as in Video-ChatGPT's score files.

    >>> records = [{"video_name": "v", "Q": "?", "A": "a", "pred": "b"}]
    >>> tasks_for("correctness", records)
    [Task(metric='correctness', key='v_0', fields={'Q': '?', 'A': 'a', 'pred': 'b'})]
    >>> tasks_for("consistency", records)
    'no record has pred1, pred2'
    """
    records, names = [renamed(record) for record in records], FIELDS[metric]
    answers = [name for name in names if name in _ANSWERS]
    if not any(_text(record, metric, name) is not None for record in records for name in answers):
        return f"no record has {', '.join(answers)}"
    seen: dict[str, int] = {}
    tasks = []
    for record in records:
        occurrence = seen[record["video_name"]] = seen.get(record["video_name"], -1) + 1
        fields = {name: _text(record, metric, name) for name in names}
        missing = [name for name, text in fields.items() if text is None]
        if missing and not set(missing) <= {"A", *answers}:
            continue  # a record of another kind of benchmark file
        if "A" in missing and set(answers) <= set(missing):
            continue
        whole = {name: text for name, text in fields.items() if text is not None} if not missing else None
        reason = "no reference in the predictions" if "A" in missing else None
        tasks.append(Task(metric, f"{record['video_name']}_{occurrence}", whole, reason))
    return tasks or f"no record has {', '.join(names)}"


def _text(record: dict[str, Any], metric: str, name: str) -> str | None:
    if name == "A" and metric == "consistency" and record.get("cons_A") is not None:
        return str(record["cons_A"])
    text: str | None = record.get(name)
    return None if name == "A" and not (text or "").strip() else text


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
