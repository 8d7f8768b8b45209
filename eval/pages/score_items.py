"""What a judge said of each item: the grades of OUT/judgements.jsonl that OUT/scores.json counts, item by item."""

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from eval.items.predictions import PredictionsError, Task, all_tasks, read_predictions, video_of
from eval.judges.judgements import is_score
from eval.results.aggregate import NOT_JUDGED
from eval.results.graded_run import how_far, is_table
from eval.results.plan import LEDGER, TABLE
from eval.results.score_json import GradesError, read_json
from ski_lvlm.storage.files import read_jsonl

Record = dict[str, Any]


@dataclass(frozen=True)
class Grade:
    """One grade, from 0 to 5, or None and the reason; with all that the judge replied."""

    metric: str
    repeat: int
    score: float | None
    reason: str | None = None
    replies: tuple[str, ...] = ()


@dataclass
class Item:
    """One question about one video: what the judge saw of it, as (field, text), and its grades."""

    key: str
    texts: list[tuple[str, str]] = field(default_factory=list)
    grades: list[Grade] = field(default_factory=list)

    @property
    def video_name(self) -> str:
        """The key without its count."""
        return video_of(self.key)

    def means(self) -> dict[str, float]:
        """Mean over repeats of each metric that has a score.

        >>> Item("v_0", grades=[Grade("detail", 0, 2.0), Grade("detail", 1, 3.0), Grade("context", 0, None)]).means()
        {'detail': 2.5}
        """
        scored: dict[str, list[float]] = {}
        for grade in self.grades:
            if grade.score is not None:
                scored.setdefault(grade.metric, []).append(grade.score)
        return {metric: fmean(scores) for metric, scores in scored.items()}

    @property
    def mean(self) -> float | None:
        """Mean over the metrics that have a score; None where none has."""
        return fmean(means.values()) if (means := self.means()) else None


def read_scores(out: Path) -> Record:
    """The table that eval/score.py wrote.

    Raises:
        ValueError: there is none, or not yet, or it is no such table.
    """
    path = out / TABLE
    expected = f"what eval/score.py writes: make it with eval/score.py --out {out}"
    if not path.exists() and (unfinished := how_far(out)):
        raise GradesError(f"{out} is {unfinished}")
    table = read_json(path, expected=expected)
    if not isinstance(table, dict) or not is_table(table):
        raise GradesError(f"{path} holds no metrics; expected {expected}")
    return table


def read_items(out: Path) -> list[Item]:
    """The items, each with its grades: those of the predictions, where they still lie as they were judged.

    Without the predictions, and where an older ledger does not tell what the judge saw, the items are those named in
    the ledger; what was never judged, for want of an answer, is then not among them.

    Raises:
        ValueError: OUT/scores.json is missing or damaged.
    """
    table = read_scores(out)
    records = [record for record in read_jsonl(out / LEDGER) if _counts(record, table)]
    tasks = _tasks(out, table) if all("fields" in record for record in records) else []
    return _of_tasks(tasks, records, table) if tasks else _of_ledger(records)


def _counts(record: Any, table: Record) -> bool:  # noqa: ANN401
    """Whether the table's judge gave the record by the table's rubrics; a digest that nobody told fits any."""
    if not isinstance(record, dict) or not {"metric", "key"} <= record.keys():
        return False
    if not (record.get("score", "") is None or is_score(record.get("score"))):
        return False
    same = record.get("judge") == table.get("judge") and record.get("rubrics") == table.get("rubrics")
    return same and (None in (digests := (record.get("digest"), table.get("digest"))) or digests[0] == digests[1])


def _tasks(out: Path, table: Record) -> list[Task]:
    """What was to be graded, if the predictions are there and are as many as the table counts; else nothing."""
    paths = [path if path.exists() else out.parent / path.name for path in map(Path, table.get("predictions") or [])]
    counted = {name: metric["n_total"] for name, metric in table["metrics"].items() if metric["status"] == "run"}
    try:
        tasks = [task for task in all_tasks(read_predictions(paths))[0] if task.metric in counted]
    except (PredictionsError, OSError):
        return []
    found = {name: sum(task.metric == name for task in tasks) for name in counted}
    return tasks if found == counted else []


def _repeat(record: Record) -> int:
    return int(record.get("repeat") or 0)


def _best(records: Iterable[Record], name: Callable[[Record], Hashable]) -> dict[Hashable, Record]:
    """The last record of each name; one without a score only where none has one."""
    best: dict[Hashable, Record] = {}
    for record in records:
        if record["score"] is not None or best.get(name(record), record)["score"] is None:
            best[name(record)] = record
    return best


def _place(metric: str, key: str, repeat: int, fields: Mapping[str, str]) -> Hashable:
    return metric, key, repeat, tuple(sorted(fields.items()))


def _of_tasks(tasks: Iterable[Task], records: Iterable[Record], table: Record) -> list[Item]:
    graded = _best(records, lambda r: _place(r["metric"], r["key"], _repeat(r), r["fields"] or {}))
    items: dict[str, Item] = {}
    for task in tasks:
        item = items.setdefault(task.key, Item(task.key))
        _add_texts(item, task.fields or {})
        repeats = table["metrics"][task.metric].get("repeats") or 1
        item.grades += [_grade(task, repeat, graded) for repeat in range(repeats)]
    return list(items.values())


def _grade(task: Task, repeat: int, graded: Mapping[Hashable, Record]) -> Grade:
    if task.fields is None:
        return Grade(task.metric, repeat, None, task.reason)
    record = graded.get(_place(task.metric, task.key, repeat, task.fields))
    return _as_grade(record) if record else Grade(task.metric, repeat, None, NOT_JUDGED)


def _of_ledger(records: Iterable[Record]) -> list[Item]:
    items: dict[str, Item] = {}
    for record in _best(records, lambda r: (r["metric"], r["key"], _repeat(r))).values():
        item = items.setdefault(record["key"], Item(record["key"]))
        _add_texts(item, record.get("fields") or {})
        item.grades.append(_as_grade(record))
    return list(items.values())


def _add_texts(item: Item, fields: Mapping[str, str]) -> None:
    item.texts += [pair for pair in fields.items() if pair not in item.texts]


def _as_grade(record: Record) -> Grade:
    replies = record.get("replies") or [record.get("reply") or ""]
    return Grade(record["metric"], _repeat(record), record["score"], record.get("reason"), tuple(map(str, replies)))
