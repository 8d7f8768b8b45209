"""The plan of a grading run, in OUT/plan.json before the first grade. It tells a stopped run from a finished one.

The plan names every item of every metric, also those that cannot be judged, and the settings of the judge. Grades in
the folder count only if the plan asks for them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.items.predictions import Task
from eval.judges.grading import judgement_id
from eval.judges.judge import Judge
from eval.results.score_json import GradesError, read_json
from ski_lvlm.storage.files import write_json

PLAN, LEDGER, TABLE, REPORT = "plan.json", "judgements.jsonl", "scores.json", "report.html"
# What moves the grades. Only expected grades have a `score_kind`, so that those of earlier versions count on.
JUDGE = ("judge", "digest", "quantisation", "rubrics", "score_kind", "temperature", "max_tokens", "server")
ItemKey = tuple[str, str]  # metric, key


@dataclass(frozen=True)
class GradingPlan:
    """The grades that one run is to give.

    Attributes:
        judge: the judge's settings by the names of `JUDGE`. Only the grades tell its weights.
        seed: the seed of the first repeat.
        repeats: the number of grades of each item.
        grades: the `judgement_id` of each item's first repeat, which covers the texts.
        unanswered: for the other items, why they cannot be judged.
    """

    judge: dict[str, Any]
    seed: int
    repeats: int
    grades: dict[ItemKey, str]
    unanswered: dict[ItemKey, str]

    def asks_for(self, record: Mapping[str, Any]) -> bool:
        """Return whether a grade belongs to this run: to its items with their texts, by its judge."""
        item, repeat = (record["metric"], record["key"]), record["repeat"]
        if item not in self.grades or not 0 <= repeat < self.repeats or record.get("seed") != self.seed + repeat:
            return False
        if any(record.get(name) != value for name, value in self.judge.items()):
            return False
        return judgement_id(Task(*item, record.get("fields")), self.judge["judge"]) == self.grades[item]


def plan_of(tasks: Sequence[Task], judge: Judge, *, seed: int, repeats: int) -> GradingPlan:
    """Return the plan of grading `tasks`."""
    settings = {"judge": judge.name, "rubrics": judge.rubrics.digest, **judge.settings}
    return GradingPlan(
        judge={name: settings.get(name) for name in JUDGE if name in settings},
        seed=seed,
        repeats=repeats,
        grades={(t.metric, t.key): judgement_id(t, judge.name) for t in tasks if t.fields is not None},
        unanswered={(t.metric, t.key): t.reason or "" for t in tasks if t.fields is None},
    )


def begin(out: Path, plan: GradingPlan) -> None:
    """Write the plan. If it replaces another one, that run's table and page are renamed to `earlier_...`.

    The grades behind them are kept as well, so that the command that made them restores them without a judge.
    """
    try:
        if read_plan(out) == plan:
            return
    except GradesError:
        pass  # no plan, or a damaged one
    for path in (out / TABLE, out / REPORT):
        if path.exists():
            path.replace(path.with_name(f"earlier_{path.name}"))
    grades, unanswered = _by_metric(plan.grades), _by_metric(plan.unanswered)
    content = {**plan.judge, "seed": plan.seed, "repeats": plan.repeats, "grades": grades, "unanswered": unanswered}
    write_json(out / PLAN, content)


def read_plan(folder: Path) -> GradingPlan:
    """Read the plan in a folder.

    Raises:
        GradesError: there is none, or it is damaged.
    """
    path = folder / PLAN
    content = read_json(path, expected="the --out folder of eval/score.py, which holds a plan beside the grades")
    try:
        judge = {name: content[name] for name in JUDGE if name in content}
        texts = [
            {(metric, key): text for metric, texts in content[name].items() for key, text in texts.items()}
            for name in ("grades", "unanswered")
        ]
        return GradingPlan(judge, int(content["seed"]), int(content["repeats"]), *texts)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise GradesError(f"{path} holds no plan of a run; run the same command of eval/score.py again") from error


def _by_metric(texts: Mapping[ItemKey, str]) -> dict[str, dict[str, str]]:
    by_metric: dict[str, dict[str, str]] = {}
    for (metric, key), text in texts.items():
        by_metric.setdefault(metric, {})[key] = text
    return by_metric
