"""The numbers of a table from single grades. A missing grade never counts as 0."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from eval.items.predictions import Task, video_of
from eval.judges.grading import judgement_id
from eval.metrics import METRICS
from ski_lvlm.recognition.intervals import grouped, mean_interval

UNSCORED_LIMIT = 0.01  # a run with a larger share of unscored records in any metric is not a result
SCALE = 20  # from 0-5 to 0-100
NOT_JUDGED = "not judged"
MetricRow = dict[str, Any]


@dataclass(frozen=True)
class Graded:
    """One item under one metric: the score from 0 to 5 of each repeat, and the reason for missing ones.

    >>> Graded("v", (4.0, None, 3.0)).score, Graded("v", (None,), "not judged").score
    (3.5, None)
    """

    video: str
    scores: tuple[float | None, ...]
    reason: str | None = None

    @property
    def scored(self) -> list[float]:
        """The scores of the repeats that have one."""
        return [score for score in self.scores if score is not None]

    @property
    def score(self) -> float | None:
        """The mean of the repeats that have a score, or None."""
        return fmean(self.scored) if self.scored else None


def summarise(
    tasks: list[Task],
    not_run: dict[str, str],
    graded: Mapping[str, Mapping[str, Any]],
    *,
    judge: str,
    repeats: int = 1,
) -> MetricRow:
    """Return for each metric the mean x 20 over the scored items, their number, and the reasons of the others.

    `average` is the mean of the five metrics as in the paper's Table 3, and None unless all five were run.
    `average_of_run` is the mean of those that were run, with `average_interval`. Intervals are 95 % bootstrap intervals
    over videos, of the items' mean scores over repeats.

    Args:
        tasks: the planned grades.
        not_run: the reason of each metric without tasks.
        graded: the grades by `judgement_id`.
        judge: the judge's name.
        repeats: the planned number of grades of each task.
    """
    items = {
        metric: [_graded(task, graded, judge, repeats) for task in tasks if task.metric == metric] for metric in METRICS
    }
    metrics: dict[str, MetricRow] = {
        metric: metric_row(graded_items) if graded_items else {"status": "not run", "reason": not_run[metric]}
        for metric, graded_items in items.items()
    }
    return {"metrics": metrics, **averages(metrics, items)}


def averages(metrics: Mapping[str, MetricRow], items: Mapping[str, Sequence[Graded]]) -> MetricRow:
    """Return the averages over all metrics, whose grades are `items`. See `summarise`."""
    means = [row["mean"] for row in metrics.values() if row.get("mean") is not None]
    return {
        "average": fmean(means) if len(means) == len(METRICS) else None,
        "average_of_run": fmean(means) if means else None,
        "average_interval": average_interval(list(items.values())),
        "metrics_run": len(means),
    }


def _graded(task: Task, graded: Mapping[str, Mapping[str, Any]], judge: str, repeats: int) -> Graded:
    video = video_of(task.key)
    if task.fields is None:
        return Graded(video, (None,) * repeats, task.reason)
    missing = {"score": None, "reason": NOT_JUDGED}
    records = [graded.get(judgement_id(task, judge, k), missing) for k in range(repeats)]
    reasons = [record["reason"] for record in records if record["score"] is None]
    return Graded(video, tuple(record["score"] for record in records), reasons[0] if reasons else None)


def metric_row(items: Sequence[Graded]) -> MetricRow:
    """Return the numbers of one metric, with scores x 20.

    `unscored` counts the items without any score by their reason, `unscored_repeats` the repeats without a score of
    the other items. `spread` is the standard deviation of the repeats' means, or None for a single repeat.
    """
    scores = [item.score for item in items if item.score is not None]
    histogram = Counter(round_half_up(score) for score in scores)
    interval = mean_interval(_by_video(items))
    return {
        "status": "run",
        "mean": fmean(scores) * SCALE if scores else None,
        "interval": interval and [end * SCALE for end in interval],
        "mean_unscored_as_0": fmean(sum(item.scored) / len(item.scores) for item in items) * SCALE,
        "n_scored": len(scores),
        "n_total": len(items),
        "unscored": dict(sorted(Counter(_kind(item.reason) for item in items if item.score is None).items())),
        "repeats": max(len(item.scores) for item in items),
        "unscored_repeats": sum(len(item.scores) - len(item.scored) for item in items if item.scored),
        "histogram": [histogram[score] for score in range(6)],
        "spread": _spread(items),
    }


def _by_video(items: Iterable[Graded]) -> dict[str, list[float]]:
    return grouped((item.video, item.score) for item in items if item.score is not None)


def _spread(items: Sequence[Graded]) -> float | None:
    repeats = ([score for score in column if score is not None] for column in zip(*(item.scores for item in items)))
    means = [fmean(scores) * SCALE for scores in repeats if scores]
    return stdev(means) if len(means) > 1 else None


def average_interval(metrics: Sequence[Sequence[Graded]]) -> list[float] | None:
    """Return the 95 % interval of the mean of the metrics' means x 20, by one resampling of videos.

    Metrics without any score do not take part. The result is None where a metric has scores of a single video: no
    resample can vary them, and the interval would be too narrow.
    """
    measures = [values for items in metrics if (values := _by_video(items))]
    interval = mean_interval(*measures)
    return interval and [end * SCALE for end in interval]


def _kind(reason: str | None) -> str:
    return (
        ":".join((reason or "unknown").split(":")[:2]) if (reason or "").startswith("failed") else reason or "unknown"
    )


def round_half_up(score: float) -> int:
    """Return the bar of the histogram that a score belongs to.

    >>> [round_half_up(s) for s in (0.4, 0.5, 2.5, 4.8)]
    [0, 1, 3, 5]
    """
    return int(score + 0.5)


def too_many_unscored(metrics: Iterable[MetricRow]) -> bool:
    """Return whether any metric that was run lacks more than 1 % of its grades, counting each repeat."""
    return any(
        _missing(row) > UNSCORED_LIMIT * row["n_total"] * row.get("repeats", 1)
        for row in metrics
        if row["status"] == "run"
    )


def _missing(row: MetricRow) -> int:
    items = int(row["n_total"] - row["n_scored"])
    return items * int(row.get("repeats", 1)) + int(row.get("unscored_repeats", 0))
