"""Agreement of two judges, or of the repeats of one judge, on the same items.

Quadratically weighted kappa (Cohen, 1968) is 1 for equal grades and 0 for chance. A difference of two points weighs
four times as much as one of one point. Spearman's rank correlation measures only whether the order agrees.
"""

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from eval.items.predictions import video_of
from eval.metrics import METRICS
from eval.results.compare_runs import Pairs, scored_pairs
from eval.results.graded_run import GradedRun, finished_run, ledger_of
from eval.results.score_json import GradesError

_SAME = 1e-9  # scores closer than this are equal


def agreement_of(a: Path, b: Path) -> dict[str, Any]:
    """Return the agreement per metric and over all metrics together, on the items that both have scores for.

    `metrics` and `overall` hold pairs, kappa, spearman (None where one of the two always gives the same grade), exact
    and within_one (shares), difference (mean b - a, in points of 0 to 5). Runs with several repeats count with their
    items' means. A run compared with itself counts with each two of its repeats instead. `scored_by_one` counts the
    items of a metric that only one of the two, or only some of the repeats, have a score for.

    Raises:
        GradesError: the two graded different answers, have no item in common, are unfinished, or there is a single
            repeat.
    """
    is_same = ledger_of(a).resolve() == ledger_of(b).resolve()
    one, other = finished_run(a), finished_run(b)
    pairs = _pairs_of_repeats(one) if is_same else _pairs_of_runs(one, other)
    by_one = {
        m: _by_some(one, m) if is_same else _by_one(one, other, m) for m in METRICS if m in one.metrics + other.metrics
    }
    if not any(pairs.values()):
        raise GradesError(f"{a} and {b} have no item that both scored; expected two judges' grades of the same answers")
    together = [pair for scored in pairs.values() for pair in scored]
    return {
        "a": str(a),
        "b": str(b),
        "repeats": is_same,
        "metrics": {metric: agreement_row(scored) for metric, scored in pairs.items() if scored},
        "overall": agreement_row(together),
        "scored_by_one": {metric: count for metric, count in by_one.items() if count},
    }


def _pairs_of_runs(a: GradedRun, b: GradedRun) -> dict[str, Pairs]:
    common = [(metric, key) for metric, key in sorted(a.records.keys() & b.records.keys())]
    differing = [item for item in common if a.fields(item) and b.fields(item) and a.fields(item) != b.fields(item)]
    if differing:
        metric, key = differing[0]
        raise GradesError(
            f"{a.path} and {b.path} graded different answers, {len(differing)} of {len(common)}, such as {metric} of "
            f"{key}; expected two judges' grades of the same predictions (for two models, see --compare)"
        )
    return {metric: scored_pairs(a, b, metric) for metric in a.metrics if metric in b.metrics}


def _pairs_of_repeats(run: GradedRun) -> dict[str, Pairs]:
    if run.repeats < 2:
        raise GradesError(
            f"{run.path} holds one grade of each item; grade with --repeats 2 or more, or name two judges' folders"
        )
    return {metric: _repeats(run, metric) for metric in run.metrics}


def _repeats(run: GradedRun, metric: str) -> Pairs:
    return [
        (video_of(key), first, second)
        for key in sorted(run.keys(metric))
        for first, second in combinations(run.graded((metric, key)).scores, 2)
        if first is not None and second is not None
    ]


def _by_one(a: GradedRun, b: GradedRun, metric: str) -> int:
    items = [(metric, key) for key in a.keys(metric) | b.keys(metric)]
    return sum((a.graded(item).score is None) != (b.graded(item).score is None) for item in items)


def _by_some(run: GradedRun, metric: str) -> int:
    return sum(0 < len(item.scored) < run.repeats for item in run.items(metric))


def agreement_row(pairs: Pairs) -> dict[str, Any]:
    """Return the measures of agreement on some items."""
    first, second = [a for _, a, _ in pairs], [b for _, _, b in pairs]
    apart = np.abs(np.subtract(second, first))
    return {
        "pairs": len(pairs),
        "kappa": quadratic_kappa(first, second),
        "spearman": spearman(first, second),
        "exact": float((apart < _SAME).mean()),
        "within_one": float((apart < 1 + _SAME).mean()),
        "difference": float(np.mean(second) - np.mean(first)),
    }


def quadratic_kappa(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Return kappa with weights (i - j)^2, or None when both always give one and the same grade.

    With squared weights no table of grades is needed: kappa is 1 minus the mean squared difference of the pairs over
    that of all combinations. So decimals need no rounding.

    >>> quadratic_kappa([0, 1, 2, 3], [0, 1, 2, 3]), quadratic_kappa([0, 5], [5, 0])
    (1.0, -1.0)
    """
    x, y = np.asarray(first, float), np.asarray(second, float)
    by_chance = x.var() + y.var() + (x.mean() - y.mean()) ** 2
    return float(1 - ((x - y) ** 2).mean() / by_chance) if by_chance > 0 else None


def spearman(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Return the rank correlation, with ties at their mean rank, or None when one of the two is constant."""
    from scipy.stats import spearmanr

    if len(set(first)) < 2 or len(set(second)) < 2:
        return None
    return float(spearmanr(first, second).statistic)
