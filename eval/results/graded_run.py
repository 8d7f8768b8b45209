"""A grading run read back from its folder: the judge, the items, every grade, and whether any is still missing."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from eval.items.predictions import video_of
from eval.items.questions import ANSWERS
from eval.judges.grade_file import Record, is_score
from eval.metrics import METRICS
from eval.results.aggregate import NOT_JUDGED, Graded
from eval.results.plan import JUDGE, LEDGER, PLAN, TABLE, GradingPlan, ItemKey, read_plan
from eval.results.score_json import GradesError, read_json
from ski_lvlm.storage.files import read_jsonl


@dataclass(frozen=True)
class GradedRun:
    """The grades of one model by one judge.

    Attributes:
        path: the folder or file that was read.
        judge: the judge's settings by the names of `JUDGE`, None where the files have none.
        records: the grade that counts of each item and repeat.
        plan: the grades that were planned.
    """

    path: Path
    judge: dict[str, Any]
    records: dict[ItemKey, dict[int, Record]]
    plan: GradingPlan

    @property
    def repeats(self) -> int:
        """The planned number of grades of each item."""
        return self.plan.repeats

    @property
    def unfinished(self) -> str | None:
        """The progress of a run with missing grades, or None for a finished one. Reasons count as grades."""
        total = len(self.plan.grades) * self.repeats
        records = [record for grades in self.records.values() for record in grades.values()]
        if len(records) >= total:
            return None
        blank = sum(record["score"] is None for record in records)
        without = f", {blank} of them without a score" if blank else ""
        return f"unfinished: {len(records)} of {total} grades{without}; run the same command again to resume"

    @property
    def metrics(self) -> list[str]:
        """The metrics that were run, in the order of the paper's table."""
        names = {metric for metric, _ in (*self.plan.grades, *self.plan.unanswered)}
        return [metric for metric in METRICS if metric in names] + sorted(names - set(METRICS))

    def keys(self, metric: str) -> set[str]:
        """Return the keys of a metric's items."""
        return {key for name, key in (*self.plan.grades, *self.plan.unanswered) if name == metric}

    def graded(self, item: ItemKey) -> Graded:
        """Return one item's scores."""
        video = video_of(item[1])
        if item in self.plan.unanswered:
            return Graded(video, (None,) * self.repeats, self.plan.unanswered[item])
        grades = self.records.get(item, {})
        records = [grades.get(repeat, {"score": None, "reason": NOT_JUDGED}) for repeat in range(self.repeats)]
        reasons = [record.get("reason") for record in records if record["score"] is None]
        return Graded(video, tuple(record["score"] for record in records), reasons[0] if reasons else None)

    def items(self, metric: str) -> list[Graded]:
        """Return all items of a metric, sorted by key."""
        return [self.graded((metric, key)) for key in sorted(self.keys(metric))]

    def fields(self, item: ItemKey) -> dict[str, str]:
        """Return the texts that the judge compared, nothing for an item without an answer."""
        return next(iter(self.records.get(item, {0: {}}).values())).get("fields") or {}

    def questions(self, item: ItemKey) -> dict[str, str]:
        """Return the texts that are the same for every model: `fields` without the answers."""
        return {name: text for name, text in self.fields(item).items() if name not in ANSWERS.values()}


def read_run(path: Path) -> GradedRun:
    """Read a run, finished or not, from its folder, its scores.json or its judgements.jsonl.

    The last grade of an item counts. Grades that the plan does not ask for, or that other weights gave than scores.json
    names, do not count.

    Raises:
        GradesError: there is no plan, or there are grades by several judges and nothing says which count.
    """
    if not path.exists():
        raise GradesError(f"{path} does not exist; expected the --out folder of eval/score.py, or a file in it")
    ledger, table = ledger_of(path), _table(path)
    plan = read_plan(ledger.parent)
    records = [record for record in map(_checked, _lines(ledger)) if record is not None and plan.asks_for(record)]
    if table is not None and path != ledger:
        records = [record for record in records if _has_weights_of(table, record)]
    by_item: dict[ItemKey, dict[int, Record]] = {}
    for record in records:
        by_item.setdefault((record["metric"], record["key"]), {})[record["repeat"]] = record
    run = GradedRun(path, dict.fromkeys(JUDGE) | plan.judge, by_item, plan)
    last = [record for grades in by_item.values() for record in grades.values()]
    return run if run.unfinished or not last else replace(run, judge=_judge(last, ledger))


def finished_run(path: Path) -> GradedRun:
    """Read a run that has all of its grades.

    Raises:
        GradesError: grades are missing, or as `read_run`.
    """
    run = read_run(path)
    if run.unfinished:
        raise GradesError(f"{path} is {run.unfinished}")
    return run


def how_far(folder: Path) -> str | None:
    """Return the progress of a folder's unfinished run, or None if it is finished or there is none.

    Raises:
        GradesError: the folder's files are damaged.
    """
    return read_run(folder).unfinished if (folder / PLAN).exists() else None


def is_run(path: Path) -> bool:
    """Return whether a path is a run's folder, or holds a run's table or grades under any name."""
    return path.is_dir() or _holds_table(path) or any(_checked(record) for record in _lines(path))


def ledger_of(path: Path) -> Path:
    """Return the file of grades of a run, given its folder, its table or that file."""
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
    """Return whether a JSON object is the content of a scores.json."""
    rows = content.get("metrics")
    return isinstance(rows, dict) and all(isinstance(row, dict) and "status" in row for row in rows.values())


def _lines(path: Path) -> list[Any]:
    try:
        return list(read_jsonl(path))
    except RecursionError as error:
        raise GradesError(f"{path} is nested too deeply; expected grades as eval/score.py writes them") from error


def _table(path: Path) -> Record | None:
    """Read a run's table, or return None if it has none yet."""
    path = path / TABLE if path.is_dir() else path if _holds_table(path) else path.parent / TABLE
    if not path.exists():
        return None
    content = read_json(path, expected="the scores.json of eval/score.py; make it again")
    if not isinstance(content, dict) or not is_table(content):
        raise GradesError(f"{path} holds no table of metrics; expected the scores.json of eval/score.py")
    return content


def _checked(record: Any) -> Record | None:  # noqa: ANN401
    """Return a record that is a grade, or None for anything else."""
    if not isinstance(record, dict) or not all(isinstance(record.get(name), str) for name in ("metric", "key")):
        return None
    repeat = record.get("repeat") or 0
    if not isinstance(repeat, int) or not (record.get("score", "") is None or is_score(record.get("score"))):
        return None
    return {**record, "repeat": repeat}


def _has_weights_of(table: Record, record: Record) -> bool:
    # A table without a digest was made of several, or the server gave none.
    return all(table.get(name) in (None, record.get(name)) for name in ("digest", "quantisation"))


def _judge(records: Iterable[Record], ledger: Path) -> dict[str, Any]:
    judges = {tuple(record.get(name) for name in JUDGE) for record in records}
    if len(judges) > 1:
        differing = [name for name, values in zip(JUDGE, zip(*judges)) if len(set(values)) > 1]
        raise GradesError(
            f"{ledger} holds grades that differ in {', '.join(differing)}; expected one judge: name the folder whose "
            f"{TABLE} says which counts, or grade again with one"
        )
    return dict(zip(JUDGE, judges.pop()))
