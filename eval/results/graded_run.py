"""A finished run read back from its folder: who graded, which items, and every grade."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from eval.metrics import METRICS
from eval.results.aggregate import NO_ANSWER, Graded
from ski_lvlm.files import read_jsonl

Record = dict[str, Any]
Place = tuple[str, str]  # metric, key

LEDGER, TABLE = "judgements.jsonl", "scores.json"
JUDGE = ("judge", "digest", "quantisation", "rubrics", "temperature", "max_tokens")  # what moves the grades
_ANSWERS = ("pred", "pred1", "pred2")


class GradesError(ValueError):
    """Grades are missing, damaged, or not comparable with others."""


@dataclass(frozen=True)
class Run:
    """The grades of one model by one judge.

    Attributes:
        path: where they were read from.
        judge: by the names of `JUDGE`; what an older file does not tell is None.
        records: the grade that counts of each (metric, key) and repeat.
        unanswered: for each metric how many items have no answer of the model, so that nobody graded them.
    """

    path: Path
    judge: dict[str, Any]
    records: dict[Place, dict[int, Record]]
    unanswered: dict[str, int]

    @cached_property
    def repeats(self) -> int:
        """How often each item was graded."""
        return 1 + max((repeat for grades in self.records.values() for repeat in grades), default=0)

    @property
    def metrics(self) -> list[str]:
        """The metrics that were run, in the order of the paper's table."""
        found = {metric for metric, _ in self.records}
        return [metric for metric in METRICS if metric in found] + sorted(found - set(METRICS))

    def keys(self, metric: str) -> set[str]:
        """The items that a metric's grades are of."""
        return {key for own, key in self.records if own == metric}

    def graded(self, place: Place) -> Graded:
        """One item's scores."""
        grades = self.records[place]
        found = [grades.get(repeat, {"score": None, "reason": "not judged"}) for repeat in range(self.repeats)]
        reasons = [record.get("reason") for record in found if record["score"] is None]
        return Graded(video_of(place[1]), tuple(record["score"] for record in found), reasons[0] if reasons else None)

    def items(self, metric: str) -> list[Graded]:
        """All items of a metric by key, then those without an answer, which no grade names."""
        named = [self.graded((metric, key)) for key in sorted(self.keys(metric))]
        return named + [Graded("", (None,) * self.repeats, NO_ANSWER)] * self.unanswered.get(metric, 0)

    def asked(self, place: Place) -> dict[str, str]:
        """What every model is asked and compared with: the judge's fields without the answers; older files: nothing."""
        return {name: text for name, text in self.fields(place).items() if name not in _ANSWERS}

    def fields(self, place: Place) -> dict[str, str]:
        """All that the judge saw of an item; of older files nothing."""
        return next(iter(self.records[place].values())).get("fields") or {}


def video_of(key: str) -> str:
    """The video of a key of a score file, where it is its k-th occurrence.

    >>> video_of("S001C001P001R001A001_0")
    'S001C001P001R001A001'
    """
    return key.rpartition("_")[0] or key


def read_run(path: Path) -> Run:
    """Read a run from its folder, its scores.json or its judgements.jsonl.

    The last grade of an item counts. In a folder only the grades of the judge that scores.json names count.

    Raises:
        GradesError: there are no grades, or those of several judges without a table that says which counts.
    """
    if not path.exists():
        raise GradesError(f"{path} does not exist; expected the --out folder of eval/score.py, or a file in it")
    ledger = ledger_of(path)
    table = _table(path if path.name == TABLE or path.is_dir() else path.parent)
    records = [record for record in map(_checked, read_jsonl(ledger)) if record is not None]
    if table is not None and path != ledger:
        records = [record for record in records if _same(record, table)]
    if not records:
        raise GradesError(f"{ledger} holds no grades; expected those that eval/score.py writes to its --out folder")
    records_by_place = _that_count(records)
    run = Run(path, _judge(records, ledger), records_by_place, {})
    return Run(path, run.judge, records_by_place, _unanswered(run, table or {}))


def ledger_of(path: Path) -> Path:
    """The file of grades of a run that is named by its folder, its table or that file."""
    if path.suffix == ".jsonl":
        return path
    return (path if path.is_dir() else path.parent) / LEDGER


def _table(path: Path) -> Record | None:
    path = path / TABLE if path.is_dir() else path
    if not path.exists():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise GradesError(f"{path} is no JSON ({error}); make it again with eval/score.py") from error
    if not isinstance(found, dict) or not isinstance(found.get("metrics"), dict):
        raise GradesError(f"{path} holds no table of metrics; expected the scores.json of eval/score.py")
    return found


def _checked(record: Any) -> Record | None:  # noqa: ANN401
    """A record that is a grade; None for anything else."""
    if not isinstance(record, dict) or not all(isinstance(record.get(name), str) for name in ("metric", "key")):
        return None
    score = record.get("score", "")
    is_score = score is None or (isinstance(score, int | float) and not isinstance(score, bool) and 0 <= score <= 5)
    return {**record, "repeat": record.get("repeat") or 0} if is_score else None


def _same(record: Record, table: Record) -> bool:
    untold = {"digest", "quantisation"}  # of one name: a table without them was made of several, or nobody told them
    return all(
        record.get(name) == table[name]
        for name in JUDGE
        if name in table and not (name in untold and table[name] is None)
    )


def _that_count(records: Iterable[Record]) -> dict[Place, dict[int, Record]]:
    found: dict[Place, dict[int, Record]] = {}
    for record in records:
        found.setdefault((record["metric"], record["key"]), {})[record["repeat"]] = record
    return found


def _judge(records: Sequence[Record], ledger: Path) -> dict[str, Any]:
    judges = {tuple(record.get(name) for name in JUDGE) for record in records}
    if len(judges) > 1:
        named = [name for name, values in zip(JUDGE, zip(*judges)) if len(set(values)) > 1]
        raise GradesError(
            f"{ledger} holds grades that differ in {', '.join(named)}; expected one judge: name the folder whose "
            f"{TABLE} says which counts, or grade again with one"
        )
    return dict(zip(JUDGE, judges.pop()))


def _unanswered(run: Run, table: Record) -> dict[str, int]:
    totals = {name: row["n_total"] for name, row in table.get("metrics", {}).items() if row.get("status") == "run"}
    return {name: max(0, total - len(run.keys(name))) for name, total in totals.items()}
