"""Numbers of the testbed: the trainings of series, their means and differences with intervals, and verdicts."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from scripts.tables.recognition_table import read_training
from scripts.tables.results import Comparison, Number, Results, Training, differences, verdict_of_both
from scripts.tables.rows import Table
from scripts.testbed.recognition import Series

TOP1, HARMONIC = "top-1", "harmonic mean, generalised"


def collect(series: Sequence[Series]) -> Results:
    """Read the finished evaluations. Trainings of the same rotation and seed have the same number."""
    trainings: dict[tuple[str, str], dict[int, Training]] = {}
    reasons: dict[tuple[str, str], str] = {}
    for one in series:
        for number, step in enumerate(one.evaluations().values()):
            if not step.is_finished():
                reasons[one.name, TOP1] = "not run"
                continue
            path = step.folder / step.product
            trainings.setdefault((one.name, TOP1), {})[number] = read_training(path)
            if harmonic := read_harmonic(path):
                trainings.setdefault((one.name, HARMONIC), {})[number] = harmonic
    table = Table("evidence", "", ("Series",), (), tuple(one.row for one in series))
    return Results(table, (TOP1, HARMONIC), trainings, verdict, reasons=reasons)


def read_harmonic(path: Path) -> Training | None:
    """Read the harmonic mean of seen and unseen classes, in percent. It is one value for a training."""
    result = json.loads(path.read_text(encoding="utf-8"))
    scores = result.get("generalised")
    if scores is None:
        return None
    value = 100 * float(scores["harmonic_mean"])
    return Training(value, {str(result["split"]): value})


def verdict(points: Number, baseline: Number) -> str:
    """Judge a difference by its intervals over classes and over trainings, both of which must say so."""
    return verdict_of_both(points) or "no conclusion: one training or class"


def difference_of_gains(results: Results, hard: tuple[str, str], easy: tuple[str, str]) -> Comparison | None:
    """Return the gain of one (row, baseline) minus that of another, by training and class."""
    gains = {
        (row, TOP1): differences(*(results.trainings.get((name, TOP1), {}) for name in (row, baseline)))
        for row, baseline in (hard, easy)
    }
    return Results(results.table, (TOP1,), gains, verdict).comparison(hard[0], easy[0], TOP1)


def rank_correlation(x: Mapping[str, float], y: Mapping[str, float]) -> tuple[float, tuple[float, float]] | None:
    """Return Spearman's correlation over shared classes, with its bootstrap interval over them."""
    import numpy as np
    from scipy.stats import bootstrap, spearmanr

    names = sorted(x.keys() & y.keys())
    if len(names) < 4:
        return None
    pairs = np.array([[x[name], y[name]] for name in names])

    def correlation(rows: Iterable[int]) -> float:
        sample = pairs[np.asarray(rows, dtype=int)]
        return float(spearmanr(sample[:, 0], sample[:, 1]).statistic)

    draws = bootstrap(
        (np.arange(len(names)),), correlation, vectorized=False, n_resamples=2000, method="percentile", rng=0
    )
    interval = draws.confidence_interval
    return correlation(range(len(names))), (float(interval.low), float(interval.high))
