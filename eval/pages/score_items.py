"""The grades of OUT/judgements.jsonl that OUT/scores.json counts, by item."""

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from eval.items.predictions import Task, all_tasks, read_predictions, video_of
from eval.judges.grade_file import Record, is_score
from eval.results.aggregate import NOT_JUDGED
from eval.results.graded_run import how_far, is_table
from eval.results.plan import LEDGER, TABLE
from eval.results.score_json import GradesError, read_json
from ski_lvlm.storage.files import read_jsonl


@dataclass(frozen=True)
class Grade:
    """One grade from 0 to 5, or None with a reason, and the replies of the judge.

    The last reply of an expected grade is the line of its probabilities.
    """

    metric: str
    repeat: int
    score: float | None
    reason: str | None = None
    replies: tuple[str, ...] = ()


@dataclass
class GradedItem:
    """One question about one video: its texts as (field, text), and its grades."""

    key: str
    texts: list[tuple[str, str]] = field(default_factory=list)
    grades: list[Grade] = field(default_factory=list)

    @property
    def video_name(self) -> str:
        """The key without the number of its occurrence."""
        return video_of(self.key)

    def means(self) -> dict[str, float]:
        """Return the mean over repeats of each metric that has a score.

        >>> grades = [Grade("detail", 0, 2.0), Grade("detail", 1, 3.0), Grade("context", 0, None)]
        >>> GradedItem("v_0", grades=grades).means()
        {'detail': 2.5}
        """
        scored: dict[str, list[float]] = {}
        for grade in self.grades:
            if grade.score is not None:
                scored.setdefault(grade.metric, []).append(grade.score)
        return {metric: fmean(scores) for metric, scores in scored.items()}

    @property
    def mean(self) -> float | None:
        """The mean over the metrics that have a score, or None."""
        return fmean(means.values()) if (means := self.means()) else None


def read_scores(out: Path) -> Record:
    """Read the table that eval/score.py wrote.

    Raises:
        ValueError: there is none yet, or it is no such table.
    """
    path = out / TABLE
    expected = f"what eval/score.py writes: make it with eval/score.py --out {out}"
    if not path.exists() and (unfinished := how_far(out)):
        raise GradesError(f"{out} is {unfinished}")
    table = read_json(path, expected=expected)
    if not isinstance(table, dict) or not is_table(table):
        raise GradesError(f"{path} holds no metrics; expected {expected}")
    return table


def read_items(out: Path) -> list[GradedItem]:
    """Return the items of the predictions, each with its grades.

    If the predictions are missing or have changed, the items are those of the ledger. Unanswered ones are then missing.

    Raises:
        ValueError: OUT/scores.json is missing or damaged.
    """
    table = read_scores(out)
    records = [record for record in read_jsonl(out / LEDGER) if _counts(record, table)]
    tasks = _tasks(out, table)
    return _of_tasks(tasks, records, table) if tasks else _of_ledger(records)


def _counts(record: Any, table: Record) -> bool:  # noqa: ANN401
    """Return whether the record is a grade by the table's judge and rubrics. A missing digest matches any."""
    if not isinstance(record, dict) or not {"metric", "key", "repeat", "fields"} <= record.keys():
        return False
    if not (record.get("score", "") is None or is_score(record.get("score"))):
        return False
    is_same = record.get("judge") == table.get("judge") and record.get("rubrics") == table.get("rubrics")
    return is_same and (None in (digests := (record.get("digest"), table.get("digest"))) or digests[0] == digests[1])


def _tasks(out: Path, table: Record) -> list[Task]:
    """Return the tasks of the predictions if they are as many as the table counts, else nothing."""
    paths = [path if path.exists() else out.parent / path.name for path in map(Path, table.get("predictions") or [])]
    counts = {name: metric["n_total"] for name, metric in table["metrics"].items() if metric["status"] == "run"}
    try:
        tasks = [task for task in all_tasks(read_predictions(paths))[0] if task.metric in counts]
    except (ValueError, OSError):
        return []
    return tasks if counts == {name: sum(task.metric == name for task in tasks) for name in counts} else []


def _best(records: Iterable[Record], name: Callable[[Record], Hashable]) -> dict[Hashable, Record]:
    """Return the last record of each name. One without a score counts only if no other has one."""
    best: dict[Hashable, Record] = {}
    for record in records:
        if record["score"] is not None or best.get(name(record), record)["score"] is None:
            best[name(record)] = record
    return best


def _grade_key(metric: str, key: str, repeat: int, fields: Mapping[str, str]) -> Hashable:
    return metric, key, repeat, tuple(sorted(fields.items()))


def _of_tasks(tasks: Iterable[Task], records: Iterable[Record], table: Record) -> list[GradedItem]:
    graded = _best(records, lambda r: _grade_key(r["metric"], r["key"], r["repeat"], r["fields"] or {}))
    items: dict[str, GradedItem] = {}
    for task in tasks:
        item = items.setdefault(task.key, GradedItem(task.key))
        _add_texts(item, task.fields or {})
        repeats = table["metrics"][task.metric].get("repeats") or 1
        item.grades += [_grade(task, repeat, graded) for repeat in range(repeats)]
    return list(items.values())


def _grade(task: Task, repeat: int, graded: Mapping[Hashable, Record]) -> Grade:
    if task.fields is None:
        return Grade(task.metric, repeat, None, task.reason)
    record = graded.get(_grade_key(task.metric, task.key, repeat, task.fields))
    return _as_grade(record) if record else Grade(task.metric, repeat, None, NOT_JUDGED)


def _of_ledger(records: Iterable[Record]) -> list[GradedItem]:
    items: dict[str, GradedItem] = {}
    for record in _best(records, lambda r: (r["metric"], r["key"], r["repeat"])).values():
        item = items.setdefault(record["key"], GradedItem(record["key"]))
        _add_texts(item, record["fields"] or {})
        item.grades.append(_as_grade(record))
    return list(items.values())


def _add_texts(item: GradedItem, fields: Mapping[str, str]) -> None:
    item.texts += [pair for pair in fields.items() if pair not in item.texts]


def _as_grade(record: Record) -> Grade:
    replies = tuple(map(str, record.get("replies") or [""]))
    if digits := record.get("digits"):
        replies += (f"probabilities of 0 to 5: {digits}",)
    return Grade(record["metric"], record["repeat"], record["score"], record.get("reason"), replies)
