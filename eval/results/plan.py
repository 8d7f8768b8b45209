"""What a run is to grade, in OUT/plan.json before the first grade: so a stopped run is told from a finished one.

The plan names every item of every metric, also those that nobody can judge, and the settings of the judge. A grade in
the folder counts only if the plan asks for it: those of other predictions do not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.items.predictions import Task
from eval.judges.judgement import Judge
from eval.judges.judging import judgement_id
from eval.results.score_json import GradesError, read_json
from ski_lvlm.storage.files import write_json

PLAN, LEDGER, TABLE, REPORT = "plan.json", "judgements.jsonl", "scores.json", "report.html"
JUDGE = ("judge", "digest", "quantisation", "rubrics", "temperature", "max_tokens", "server")  # what moves the grades
_EXPECTED = "the plan that eval/score.py writes; run the same command again"
Place = tuple[str, str]  # metric, key
Record = dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """What one run is to grade.

    Attributes:
        judge: who grades and how, by the names of `JUDGE`; the weights are known only from the grades.
        seed: of the first repeat.
        repeats: how many grades each item gets.
        grades: the `judgement_id` of each item's first repeat, which holds the texts that are graded.
        unanswered: why nobody can judge the other items.
    """

    judge: dict[str, Any]
    seed: int
    repeats: int
    grades: dict[Place, str]
    unanswered: dict[Place, str]

    def wants(self, record: Mapping[str, Any]) -> bool:
        """Whether a grade is one of this run's: of its items with their texts, by its judge."""
        place, repeat = (record["metric"], record["key"]), record["repeat"]
        if place not in self.grades or not 0 <= repeat < self.repeats or record.get("seed") != self.seed + repeat:
            return False
        if any(record.get(name) != value for name, value in self.judge.items()):
            return False
        task = Task(*place, record.get("fields"))
        return judgement_id(task, self.judge["judge"]) == self.grades[place]


def plan_of(tasks: Sequence[Task], judge: Judge, *, seed: int, repeats: int) -> Plan:
    """The plan of grading `tasks`."""
    settings = {"judge": judge.name, "rubrics": judge.rubrics.digest, **judge.settings}
    grades = {(t.metric, t.key): judgement_id(t, judge.name) for t in tasks if t.fields is not None}
    unanswered = {(t.metric, t.key): t.reason or "" for t in tasks if t.fields is None}
    return Plan({name: settings.get(name) for name in JUDGE if name in settings}, seed, repeats, grades, unanswered)


def begin(out: Path, plan: Plan) -> None:
    """Write the plan; if another was there, its table and page, `earlier_` before their names, make room.

    The grades behind them are kept as well, so that the command that made them makes them again without a judge.
    """
    if read_plan(out, strict=False) == plan:
        return
    for path in (out / TABLE, out / REPORT):
        if path.exists():
            path.replace(path.with_name(f"earlier_{path.name}"))
    grades, unanswered = _by_metric(plan.grades), _by_metric(plan.unanswered)
    content = {**plan.judge, "seed": plan.seed, "repeats": plan.repeats, "grades": grades, "unanswered": unanswered}
    write_json(out / PLAN, content)


def read_plan(folder: Path, *, strict: bool = True) -> Plan | None:
    """The plan in a folder; None where there is none, as in older folders.

    Raises:
        GradesError: it is damaged; with `strict` false it then counts as none.
    """
    path = folder / PLAN
    try:
        return _plan(read_json(path, expected=_EXPECTED), path) if path.exists() else None
    except GradesError:
        if strict:
            raise
        return None


def _plan(content: Any, path: Path) -> Plan:  # noqa: ANN401
    try:
        judge = {name: content[name] for name in JUDGE if name in content}
        places = [
            {(metric, key): text for metric, texts in content[name].items() for key, text in texts.items()}
            for name in ("grades", "unanswered")
        ]
        return Plan(judge, int(content["seed"]), int(content["repeats"]), *places)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise GradesError(f"{path} holds no plan of a run; expected {_EXPECTED}") from error


def _by_metric(texts: Mapping[Place, str]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for (metric, key), text in texts.items():
        found.setdefault(metric, {})[key] = text
    return found
