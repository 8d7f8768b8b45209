"""A run read back from its folder: who graded, which items, every grade, and whether any is still to come."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain, islice, repeat
from pathlib import Path
from typing import Any

from eval.items.predictions import NO_ANSWER, NO_REFERENCE, video_of
from eval.items.questions import ANSWERS
from eval.judges.judgements import is_score
from eval.metrics import METRICS
from eval.results.aggregate import NOT_JUDGED, Graded
from eval.results.plan import JUDGE, LEDGER, PLAN, TABLE, Place, Plan, Record, read_plan
from eval.results.score_json import GradesError, read_json
from ski_lvlm.storage.files import read_jsonl

_MISSING = (NO_ANSWER, NO_REFERENCE)  # why older runs left items to nobody
_UNNAMED = "no grade in the file"


@dataclass(frozen=True)
class Run:
    """The grades of one model by one judge.

    Attributes:
        path: where they were read from.
        judge: by the names of `JUDGE`; what a file does not tell is None.
        records: the grade that counts of each (metric, key) and repeat.
        plan: what was to be graded; None for older runs, whose grades are all there is to know.
        unnamed: of older runs, for each metric why items have no grade that names them, one reason an item.
    """

    path: Path
    judge: dict[str, Any]
    records: dict[Place, dict[int, Record]]
    plan: Plan | None = None
    unnamed: dict[str, list[str]] = field(default_factory=dict)

    @cached_property
    def repeats(self) -> int:
        """How often each item was to be graded."""
        if self.plan:
            return self.plan.repeats
        return 1 + max((repeat for grades in self.records.values() for repeat in grades), default=0)

    @cached_property
    def places(self) -> set[Place]:
        """All items of all metrics, but for those that older runs do not name."""
        return {*self.records, *(self.plan.grades if self.plan else ()), *(self.plan.unanswered if self.plan else ())}

    @property
    def unfinished(self) -> str | None:
        """How far a run got that has not given all of its grades, scores or reasons; None for a finished one."""
        wanted = len(self.plan.grades) * self.repeats if self.plan else 0
        given = [record for grades in self.records.values() for record in grades.values()]
        if len(given) >= wanted:
            return None
        blank = sum(record["score"] is None for record in given)
        without = f", {blank} of them without a score" if blank else ""
        return f"unfinished: {len(given)} of {wanted} grades{without}; the same command goes on"

    @property
    def metrics(self) -> list[str]:
        """The metrics that were run, in the order of the paper's table."""
        found = {metric for metric, _ in self.places}
        return [metric for metric in METRICS if metric in found] + sorted(found - set(METRICS))

    def keys(self, metric: str) -> set[str]:
        """A metric's items."""
        return {key for own, key in self.places if own == metric}

    def graded(self, place: Place) -> Graded:
        """One item's scores."""
        if self.plan and place in self.plan.unanswered:
            return Graded(video_of(place[1]), (None,) * self.repeats, self.plan.unanswered[place])
        grades = self.records.get(place, {})
        found = [grades.get(repeat, {"score": None, "reason": NOT_JUDGED}) for repeat in range(self.repeats)]
        reasons = [record.get("reason") for record in found if record["score"] is None]
        return Graded(video_of(place[1]), tuple(record["score"] for record in found), reasons[0] if reasons else None)

    def items(self, metric: str) -> list[Graded]:
        """All items of a metric by key, then those that no grade names."""
        named = [self.graded((metric, key)) for key in sorted(self.keys(metric))]
        return named + [Graded("", (None,) * self.repeats, why) for why in self.unnamed.get(metric, ())]

    def asked(self, place: Place) -> dict[str, str]:
        """What every model is asked and compared with: the judge's fields without the answers; older files: nothing."""
        return {name: text for name, text in self.fields(place).items() if name not in ANSWERS.values()}

    def fields(self, place: Place) -> dict[str, str]:
        """All that the judge saw of an item; nothing where it saw none, or an older file does not tell."""
        return next(iter(self.records.get(place, {0: {}}).values())).get("fields") or {}


def read_run(path: Path) -> Run:
    """Read a run, finished or not, from its folder, its scores.json or its judgements.jsonl.

    The last grade of an item counts. In a folder only the grades count that its plan asks for, and of those only the
    ones of the judge that scores.json names.

    Raises:
        GradesError: there are no grades, or those of several judges and nothing says which count.
    """
    if not path.exists():
        raise GradesError(f"{path} does not exist; expected the --out folder of eval/score.py, or a file in it")
    ledger, table = ledger_of(path), _table(path)
    plan = read_plan(ledger.parent) if ledger.name == LEDGER else None
    records = [record for record in map(_checked, _lines(ledger)) if record is not None]
    if table is not None and path != ledger:
        records = [record for record in records if _same(record, table)]
    if plan:
        by_place = _that_count(filter(plan.wants, records))
        run = Run(path, dict.fromkeys(JUDGE) | plan.judge, by_place, plan)
        last = [record for grades in by_place.values() for record in grades.values()]
        return run if run.unfinished or not last else replace(run, judge=_judge(last, ledger))
    if not records:
        raise GradesError(f"{ledger} holds no grades; expected those that eval/score.py writes to its --out folder")
    by_place = _that_count(records)
    return Run(path, _judge(records, ledger), by_place, unnamed=_unnamed(by_place, table or {}))


def finished_run(path: Path) -> Run:
    """Read a run that has given all of its grades.

    Raises:
        GradesError: it has not; or as `read_run`.
    """
    run = read_run(path)
    if run.unfinished:
        raise GradesError(f"{path} is {run.unfinished}")
    return run


def how_far(folder: Path) -> str | None:
    """How far a folder's run got if it has not given all of its grades; None for a finished one and where none is.

    Raises:
        GradesError: the folder's files are damaged.
    """
    return read_run(folder).unfinished if (folder / PLAN).exists() else None


def is_run(path: Path) -> bool:
    """Whether a path is a run's folder, or by what it holds a run's table or grades, whatever it is called."""
    return path.is_dir() or _holds_table(path) or any(_checked(record) for record in _lines(path))


def ledger_of(path: Path) -> Path:
    """The file of grades of a run that is named by its folder, its table or that file."""
    if path.is_dir():
        return path / LEDGER
    return path.parent / LEDGER if _holds_table(path) else path


def _holds_table(path: Path) -> bool:
    try:
        content = read_json(path, expected="a table of scores")
    except GradesError:
        return False
    return isinstance(content, dict) and is_table(content)


def is_table(content: Record) -> bool:
    """Whether it is what eval/score.py writes to scores.json."""
    rows = content.get("metrics")
    return isinstance(rows, dict) and all(isinstance(row, dict) and "status" in row for row in rows.values())


def _lines(path: Path) -> list[Any]:
    try:
        return list(read_jsonl(path))
    except RecursionError as error:
        raise GradesError(f"{path} is nested too deeply; expected grades as eval/score.py writes them") from error


def _table(path: Path) -> Record | None:
    """The table of a run, which it may not have yet."""
    path = path / TABLE if path.is_dir() else path if _holds_table(path) else path.parent / TABLE
    if not path.exists():
        return None
    found = read_json(path, expected="the scores.json of eval/score.py; make it again")
    if not isinstance(found, dict) or not is_table(found):
        raise GradesError(f"{path} holds no table of metrics; expected the scores.json of eval/score.py")
    return found


def _checked(record: Any) -> Record | None:  # noqa: ANN401
    """A record that is a grade; None for anything else."""
    if not isinstance(record, dict) or not all(isinstance(record.get(name), str) for name in ("metric", "key")):
        return None
    repeat = record.get("repeat") or 0
    if not isinstance(repeat, int) or not (record.get("score", "") is None or is_score(record.get("score"))):
        return None
    return {**record, "repeat": repeat}


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


def _judge(records: Iterable[Record], ledger: Path) -> dict[str, Any]:
    judges = {tuple(record.get(name) for name in JUDGE) for record in records}
    if len(judges) > 1:
        named = [name for name, values in zip(JUDGE, zip(*judges)) if len(set(values)) > 1]
        raise GradesError(
            f"{ledger} holds grades that differ in {', '.join(named)}; expected one judge: name the folder whose "
            f"{TABLE} says which counts, or grade again with one"
        )
    return dict(zip(JUDGE, judges.pop()))


def _unnamed(records: Mapping[Place, Any], table: Record) -> dict[str, list[str]]:
    """Why the items of a table that no grade names have none, as far as the table tells."""
    found = {}
    for metric, row in table.get("metrics", {}).items():
        count = row.get("n_total", 0) - sum(own == metric for own, _ in records)
        told = chain.from_iterable([why] * row.get("unscored", {}).get(why, 0) for why in _MISSING)
        found[metric] = list(islice(chain(told, repeat(_UNNAMED)), max(0, count)))
    return found
