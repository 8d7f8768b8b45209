"""From single grades to the numbers of a table: pure arithmetic, in which what has no grade never becomes a 0."""

from collections import Counter
from collections.abc import Iterable
from statistics import fmean
from typing import Any

from eval.judging import judgement_id
from eval.predictions import Task
from eval.rubrics import METRICS

UNSCORED_LIMIT = 0.01  # a run with a larger share of unscored records in any metric is not a result


def summarise(
    tasks: list[Task], not_run: dict[str, str], graded: dict[str, dict[str, Any]], *, judge: str
) -> dict[str, Any]:
    """The table: for each metric the mean x 20 over what was scored, how many that were, and why the others were not.

    `average` is the plain mean of the five metrics as in the paper's Table 3, and None unless all five were run;
    `average_of_run` is the mean of those that were.
    """
    metrics: dict[str, dict[str, Any]] = {}
    for metric in METRICS:
        own = [task for task in tasks if task.metric == metric]
        metrics[metric] = {"status": "not run", "reason": not_run[metric]} if not own else _metric(own, graded, judge)
    means = [m["mean"] for m in metrics.values() if m.get("mean") is not None]
    return {
        "metrics": metrics,
        "average": fmean(means) if len(means) == len(METRICS) else None,
        "average_of_run": fmean(means) if means else None,
        "metrics_run": len(means),
    }


def _metric(tasks: list[Task], graded: dict[str, dict[str, Any]], judge: str) -> dict[str, Any]:
    records = [_grade(task, graded, judge) for task in tasks]
    scores = [record["score"] for record in records if record["score"] is not None]
    reasons = Counter(_kind(record["reason"]) for record in records if record["score"] is None)
    histogram = Counter(round_half_up(score) for score in scores)
    return {
        "status": "run",
        "mean": fmean(scores) * 20 if scores else None,
        "mean_unscored_as_0": sum(scores) / len(tasks) * 20,
        "n_scored": len(scores),
        "n_total": len(tasks),
        "unscored": dict(reasons),
        "histogram": [histogram[score] for score in range(6)],
    }


def _grade(task: Task, graded: dict[str, dict[str, Any]], judge: str) -> dict[str, Any]:
    if task.fields is None:
        return {"score": None, "reason": "no answer of the model in the predictions"}
    return graded.get(judgement_id(task, judge), {"score": None, "reason": "not judged"})


def _kind(reason: str | None) -> str:
    return (
        ":".join((reason or "unknown").split(":")[:2]) if (reason or "").startswith("failed") else reason or "unknown"
    )


def round_half_up(score: float) -> int:
    """The bar of the histogram that a score belongs to.

    >>> [round_half_up(s) for s in (0.4, 0.5, 2.5, 4.8)]
    [0, 1, 3, 5]
    """
    return int(score + 0.5)


def too_many_unscored(metrics: Iterable[dict[str, Any]]) -> bool:
    """Whether any metric that was run lacks more than 1 % of its scores."""
    run = [m for m in metrics if m["status"] == "run"]
    return any(m["n_total"] - m["n_scored"] > UNSCORED_LIMIT * m["n_total"] for m in run)
