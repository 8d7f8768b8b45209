"""Prediction files as they come: our own, Video-ChatGPT's, LLAVIDAL's; lists, or dicts keyed by video."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.rubrics import RUBRICS, Rubric

_ANSWERS = ("pred", "pred1", "pred2")
# LLAVIDAL's descriptions give the consistency questions and their reference names of their own.
_CONSISTENCY_NAMES = {"Q1": "cons_Q1", "Q2": "cons_Q2", "A": "cons_A"}


class PredictionsError(ValueError):
    """A predictions file is missing, is no such file, or lacks what every metric needs."""


@dataclass(frozen=True)
class Task:
    """One grade to be given: a metric, the record it is about, what the judge sees (None: the model left no answer)."""

    metric: str
    key: str
    fields: dict[str, str] | None


def read_predictions(paths: Iterable[Path]) -> list[dict[str, Any]]:
    """All records of the files in order, each with its `video_name`.

    Raises:
        PredictionsError: naming the file, and the record where there is one.
    """
    records = [record for path in paths for record in _read(Path(path))]
    if not records:
        raise PredictionsError("the predictions hold no record; make them with eval/describe.py")
    return records


def _read(path: Path) -> list[dict[str, Any]]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise PredictionsError(f"{path} does not exist; make it with eval/describe.py --out {path}") from error
    except ValueError as error:
        raise PredictionsError(f"{path} is no JSON ({error}); expected a list of records") from error
    if not isinstance(content, list | dict):
        raise PredictionsError(f"{path} holds {content!r:.60}; expected a list of records")
    entries = _keyed(content) if isinstance(content, dict) else [(None, entry) for entry in content]
    return [_record(path, number, video, entry) for number, (video, entry) in enumerate(entries)]


def _keyed(content: dict[str, Any]) -> list[tuple[str | None, Any]]:
    return [(v, entry) for v, value in content.items() for entry in (value if isinstance(value, list) else [value])]


def _record(path: Path, number: int, video: str | None, entry: Any) -> dict[str, Any]:  # noqa: ANN401
    if not isinstance(entry, dict):
        raise PredictionsError(
            f"{path}, record {number}: found {entry!r:.60}; expected an object with video_name, Q, A, pred"
        )
    record = {"video_name": video, **entry} if video is not None else dict(entry)
    if not isinstance(record.get("video_name"), str):
        raise PredictionsError(f"{path}, record {number}: no video_name; found the fields {sorted(record)}")
    for name, value in record.items():
        if name in ("Q", "A", "Q1", "Q2", *_ANSWERS, *_CONSISTENCY_NAMES.values()) and not isinstance(
            value, str | None
        ):
            raise PredictionsError(f"{path}, {record['video_name']}: {name} is {value!r:.60}; expected a text")
    return record


def tasks_for(rubric: Rubric, records: list[dict[str, Any]]) -> list[Task] | str:
    """One task for each record that has the metric's question and reference, or why the metric cannot be run.

    A record with a question but without the model's answer stays a task (without fields): it counts as unscored.
    The key is the video's name and which of its occurrences it is, as in Video-ChatGPT's score files.

    >>> records = [{"video_name": "v", "Q": "?", "A": "a", "pred": "b"}]
    >>> tasks_for(RUBRICS[0], records)
    [Task(metric='correctness', key='v_0', fields={'Q': '?', 'A': 'a', 'pred': 'b'})]
    >>> tasks_for(RUBRICS[4], records)
    'no record has pred1, pred2'
    """
    answers = [name for name in rubric.fields if name in _ANSWERS]
    if not any(_text(record, rubric, name) is not None for record in records for name in answers):
        return f"no record has {', '.join(answers)}"
    seen: dict[str, int] = {}
    tasks = []
    for record in records:
        occurrence = seen[record["video_name"]] = seen.get(record["video_name"], -1) + 1
        fields = {name: _text(record, rubric, name) for name in rubric.fields}
        missing = [name for name, text in fields.items() if text is None]
        if missing and not set(missing) <= set(answers):
            continue  # a record of another kind of benchmark file
        whole = {name: text for name, text in fields.items() if text is not None} if not missing else None
        tasks.append(Task(rubric.metric, f"{record['video_name']}_{occurrence}", whole))
    return tasks or f"no record has {', '.join(rubric.fields)}"


def _text(record: dict[str, Any], rubric: Rubric, name: str) -> str | None:
    if rubric.metric == "consistency" and record.get(_CONSISTENCY_NAMES.get(name, "")) is not None:
        return str(record[_CONSISTENCY_NAMES[name]])
    return record.get(name)


def all_tasks(records: list[dict[str, Any]]) -> tuple[list[Task], dict[str, str]]:
    """Every grade the records allow, and for each metric that they do not allow, why."""
    tasks: list[Task] = []
    not_run: dict[str, str] = {}
    for rubric in RUBRICS:
        found = tasks_for(rubric, records)
        if isinstance(found, str):
            not_run[rubric.metric] = found
        else:
            tasks += found
    return tasks, not_run
