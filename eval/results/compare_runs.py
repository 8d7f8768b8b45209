"""Whether one model's captions are graded better than another's: the same items, the same judge, paired tests.

The difference of each metric comes with a 95 % bootstrap interval and with a permutation test (scipy.stats), which asks
how often a difference as large would come if it were by chance which model gave which answer. In both, the items of a
video go together.
Assumption: the paper compares bare means; both tests are ours.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from eval.items.predictions import video_of
from eval.results.aggregate import SCALE
from eval.results.graded_run import Run, finished_run
from eval.results.plan import JUDGE, Place
from eval.results.score_json import GradesError
from ski_lvlm.recognition.intervals import grouped, mean_interval

PERMUTATIONS = 10_000
_NAMED = 5  # items that a refusal names
_DECIMALS = 10  # of a sum of shares; grades of all of Charades make steps of 1e-5

Pairs = list[tuple[str, float, float]]  # video, score of A, score of B


def compare_runs(a: Path, b: Path) -> dict[str, Any]:
    """Differences b - a on the items that both models have scores for; all x 20.

    Each of `metrics` holds pairs, left_out (items that either has no score for), a, b (means over the pairs),
    difference, interval, p, and wins, ties, losses of b; of a metric without pairs, only how many were left out.
    `average` holds the mean of the metrics' differences with its interval and p. An interval or p is None where a
    metric has fewer than two videos.

    Raises:
        GradesError: different judges, weights, rubrics or items; an unfinished run; no grades; no pair.
    """
    one, other = finished_run(a), finished_run(b)
    check_same_judge(one, other)
    metrics = _common_metrics(one, other)
    for metric in metrics:
        _check_same_items(one, other, metric)
    pairs = {metric: scored_pairs(one, other, metric) for metric in metrics}
    left_out = {metric: _total(one, metric) - len(found) for metric, found in pairs.items()}
    if not any(pairs.values()):
        raise GradesError(f"no item is scored in both {a} and {b}; the reasons are in their judgements.jsonl")
    return {
        "a": str(a),
        "b": str(b),
        "judge": one.judge,
        "metrics": {metric: {**_row(pairs[metric]), "left_out": left_out[metric]} for metric in metrics},
        "only_in_one": sorted({*one.metrics} ^ {*other.metrics}),
        "average": _average([found for found in pairs.values() if found]),
    }


def check_same_judge(a: Run, b: Run) -> None:
    """Refuse grades that different judges gave, or the same one asked differently.

    Raises:
        GradesError: naming what differs.
    """
    differing = [name for name in JUDGE if a.judge[name] != b.judge[name] and not _untold(name, a, b)]
    if differing:
        told = "; ".join(f"{name} {a.judge[name]!r} and {b.judge[name]!r}" for name in differing)
        raise GradesError(
            f"{a.path} and {b.path} cannot be compared, the grades move with the judge: found {told}; grade both with "
            "the same judge and rubrics"
        )


def _untold(name: str, a: Run, b: Run) -> bool:
    """Older files do not tell the server."""
    return name == "server" and None in (a.judge[name], b.judge[name])


def _common_metrics(a: Run, b: Run) -> list[str]:
    common = [metric for metric in a.metrics if metric in b.metrics]
    if not common:
        raise GradesError(f"{a.path} has {a.metrics} and {b.path} has {b.metrics}: no metric in common")
    return common


def _total(run: Run, metric: str) -> int:
    return len(run.keys(metric)) + len(run.unnamed.get(metric, ()))


def _check_same_items(a: Run, b: Run, metric: str) -> None:
    """Refuse other items; one that an older run does not name may be one that its model left unanswered."""
    only_a, only_b = a.keys(metric) - b.keys(metric), b.keys(metric) - a.keys(metric)
    foreign = only_a if len(only_a) > len(b.unnamed.get(metric, ())) else set()
    foreign |= only_b if len(only_b) > len(a.unnamed.get(metric, ())) else set()
    if foreign or _total(a, metric) != _total(b, metric):
        raise GradesError(
            f"{a.path} and {b.path} are about different items: {metric} has {_total(a, metric)} and "
            f"{_total(b, metric)}, only in one of them {_some(foreign or only_a | only_b)}; describe and grade the "
            "same questions"
        )
    changed = [k for k in a.keys(metric) & b.keys(metric) if _asked_differently(a, b, (metric, k))]
    if changed:
        raise GradesError(
            f"{a.path} and {b.path} ask differently or have other references: {metric} of {_some(changed)}; describe "
            "and grade the same questions"
        )


def _asked_differently(a: Run, b: Run, place: Place) -> bool:
    return bool(a.fields(place) and b.fields(place)) and a.asked(place) != b.asked(place)


def _some(keys: set[str] | list[str]) -> str:
    more = f" and {len(keys) - _NAMED} more" if len(keys) > _NAMED else ""
    return ", ".join(sorted(keys)[:_NAMED]) + more


def scored_pairs(a: Run, b: Run, metric: str) -> Pairs:
    """The items by key that both runs have a score for; with several repeats, the mean of each run's."""
    found = []
    for key in sorted(a.keys(metric) & b.keys(metric)):
        scores = a.graded((metric, key)).score, b.graded((metric, key)).score
        if scores[0] is not None and scores[1] is not None:
            found.append((video_of(key), scores[0], scores[1]))
    return found


def _row(pairs: Pairs) -> dict[str, Any]:
    if not pairs:
        return {"pairs": 0}
    differences = np.array([b - a for _, a, b in pairs])
    return {
        "pairs": len(pairs),
        "a": SCALE * float(np.mean([a for _, a, _ in pairs])),
        "b": SCALE * float(np.mean([b for _, _, b in pairs])),
        **_difference([pairs]),
        "wins": int((differences > 0).sum()),
        "ties": int((differences == 0).sum()),
        "losses": int((differences < 0).sum()),
    }


def _average(metrics: Sequence[Pairs]) -> dict[str, Any]:
    return {"metrics": len(metrics), **_difference(metrics)}


def _difference(metrics: Sequence[Pairs]) -> dict[str, Any]:
    measures = [grouped((video, b - a) for video, a, b in pairs) for pairs in metrics]
    return paired_difference(measures)


def paired_difference(measures: Sequence[Mapping[str, Sequence[float]]]) -> dict[str, Any]:
    """Mean difference x 20, averaged over the measures, with its 95 % interval and p-value.

    Args:
        measures: for each, video → differences of its items, from -5 to 5.
    """
    shares = _shares(measures)
    interval = mean_interval(*measures)
    return {
        "difference": SCALE * float(shares.sum()),
        "interval": interval and [end * SCALE for end in interval],
        "p": sign_flip_p(shares) if interval else None,
    }


def _shares(measures: Sequence[Mapping[str, Sequence[float]]]) -> Float[np.ndarray, " V"]:
    """What each video adds to the difference, by name."""
    counts = [sum(map(len, values.values())) for values in measures]
    return np.array(
        [
            sum(sum(sorted(values.get(video, ()))) / count for values, count in zip(measures, counts)) / len(measures)
            for video in sorted({video for values in measures for video in values})
        ]
    )


def sign_flip_p(shares: Float[np.ndarray, " V"], *, permutations: int = PERMUTATIONS, seed: int = 0) -> float:
    """Two-sided p of the sum of `shares` when the sign of each is a coin's; exact where 2^V is no more than asked for.

    Sums that differ by rounding alone are the same.

    >>> sign_flip_p(np.ones(5)), sign_flip_p(np.array([1.0, -1.0]))
    (0.0625, 1.0)
    """
    from scipy.stats import permutation_test

    def total(values: Float[np.ndarray, "... V"], axis: int) -> Float[np.ndarray, "..."]:
        return values.sum(axis=axis).round(_DECIMALS)

    found = permutation_test(
        (shares,),
        total,
        permutation_type="samples",
        vectorized=True,
        n_resamples=permutations,
        batch=500,
        rng=np.random.default_rng(seed),
    )
    return float(found.pvalue)
