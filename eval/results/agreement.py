"""How far two judges, or two repeats of one judge, give the same items the same grades.

Quadratically weighted kappa (Cohen, 1968) is 1 for the same grades, 0 for what chance would bring, and takes a
difference of two points for four times as bad as one of one point. Spearman's rank correlation only asks whether the
order agrees.
"""

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from eval.items.predictions import video_of
from eval.metrics import METRICS
from eval.results.compare_runs import Pairs, scored_pairs
from eval.results.graded_run import Run, finished_run, ledger_of
from eval.results.score_json import GradesError

_SAME = 1e-9  # scores closer than this are the same


def agreement_of(a: Path, b: Path) -> dict[str, Any]:
    """Agreement per metric and over all metrics together, of the items that both have scores for.

    `metrics` and `overall` hold pairs, kappa, spearman (None where one of the two always gives the same grade), exact
    and within_one (shares), difference (mean b - a, in points of 0 to 5). Runs with several repeats count with their
    items' means; a run compared with itself, with each two of its repeats instead. `scored_by_one` counts, for each
    metric of either, the items that only one of the two has a score for; of repeats, those that only some have.

    Raises:
        GradesError: the two graded different answers, have no item in common, or there is a single repeat; a run is
            unfinished.
    """
    same = ledger_of(a).resolve() == ledger_of(b).resolve()
    one, other = finished_run(a), finished_run(b)
    pairs = _pairs_of_repeats(one) if same else _pairs_of_runs(one, other)
    by_one = {
        m: _by_some(one, m) if same else _by_one(one, other, m) for m in METRICS if m in one.metrics + other.metrics
    }
    if not any(pairs.values()):
        raise GradesError(f"{a} and {b} have no item that both scored; expected two judges' grades of the same answers")
    together = [pair for found in pairs.values() for pair in found]
    return {
        "a": str(a),
        "b": str(b),
        "repeats": same,
        "metrics": {metric: agreement_row(found) for metric, found in pairs.items() if found},
        "overall": agreement_row(together),
        "scored_by_one": {metric: count for metric, count in by_one.items() if count},
    }


def _pairs_of_runs(a: Run, b: Run) -> dict[str, Pairs]:
    common = [(metric, key) for metric, key in sorted(a.records.keys() & b.records.keys())]
    differing = [
        place for place in common if a.fields(place) and b.fields(place) and a.fields(place) != b.fields(place)
    ]
    if differing:
        metric, key = differing[0]
        raise GradesError(
            f"{a.path} and {b.path} graded different answers, {len(differing)} of {len(common)}, such as {metric} of "
            f"{key}; expected two judges' grades of the same predictions (for two models, see --compare)"
        )
    return {metric: scored_pairs(a, b, metric) for metric in a.metrics if metric in b.metrics}


def _pairs_of_repeats(run: Run) -> dict[str, Pairs]:
    if run.repeats < 2:
        raise GradesError(
            f"{run.path} holds one grade of each item; grade with --repeats 2 or more, or name two judges' folders"
        )
    return {metric: _repeats(run, metric) for metric in run.metrics}


def _repeats(run: Run, metric: str) -> Pairs:
    return [
        (video_of(key), first, second)
        for key in sorted(run.keys(metric))
        for first, second in combinations(run.graded((metric, key)).scores, 2)
        if first is not None and second is not None
    ]


def _by_one(a: Run, b: Run, metric: str) -> int:
    places = [(metric, key) for key in a.keys(metric) | b.keys(metric)]
    return sum((a.graded(place).score is None) != (b.graded(place).score is None) for place in places)


def _by_some(run: Run, metric: str) -> int:
    return sum(0 < len(item.scored) < run.repeats for item in run.items(metric))


def agreement_row(pairs: Pairs) -> dict[str, Any]:
    """What is told of the agreement on some items."""
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
    """Kappa with weights (i - j)^2; None when both always give one and the same grade, so that chance agrees fully.

    Weights that are squares need no table of grades: one minus the mean squared difference of the pairs, over the mean
    squared difference of every grade of one with every grade of the other. So decimals are taken as they are.

    >>> quadratic_kappa([0, 1, 2, 3], [0, 1, 2, 3]), quadratic_kappa([0, 5], [5, 0])
    (1.0, -1.0)
    """
    x, y = np.asarray(first, float), np.asarray(second, float)
    by_chance = x.var() + y.var() + (x.mean() - y.mean()) ** 2
    return float(1 - ((x - y) ** 2).mean() / by_chance) if by_chance > 0 else None


def spearman(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Rank correlation, ties at their mean rank; None when one of the two is constant."""
    from scipy.stats import spearmanr

    if len(set(first)) < 2 or len(set(second)) < 2:
        return None
    return float(spearmanr(first, second).statistic)
