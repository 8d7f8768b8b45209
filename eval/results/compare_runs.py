"""Paired comparison of two models by the same judge on the same items.

Each metric's difference has a 95 % bootstrap interval and a permutation test (scipy.stats). The test asks how often a
difference as large would come if it were by chance which model gave which answer. In both, the items of a video stay
together.
Assumption: the paper compares means alone. Both tests are ours.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from eval.items.predictions import video_of
from eval.judges.score_reading import SAMPLED
from eval.results.aggregate import SCALE
from eval.results.graded_run import GradedRun, finished_run
from eval.results.plan import JUDGE, ItemKey
from eval.results.score_json import GradesError
from ski_lvlm.recognition.intervals import grouped, mean_interval

PERMUTATIONS = 10_000
_LISTED = 5  # items that an error message lists
_DECIMALS = 10  # of a sum of shares. Grades of all of Charades make steps of 1e-5

Pairs = list[tuple[str, float, float]]  # video, score of A, score of B


def compare_runs(a: Path, b: Path) -> dict[str, Any]:
    """Return the differences b - a, x 20, on the items that both models have scores for.

    Each of `metrics` holds pairs, left_out (items without a score of a or b), a, b (means over the pairs), difference,
    interval, p, and wins, ties, losses of b. A metric without pairs has only left_out. `average` holds the mean of the
    metrics' differences with its interval and p. These are None where a metric has fewer than two videos.

    Raises:
        GradesError: the judges, weights, rubrics or items differ, a run is unfinished, or there is no pair.
    """
    one, other = finished_run(a), finished_run(b)
    check_same_judge(one, other)
    metrics = _common_metrics(one, other)
    for metric in metrics:
        _check_same_items(one, other, metric)
    pairs = {metric: scored_pairs(one, other, metric) for metric in metrics}
    left_out = {metric: len(one.keys(metric)) - len(scored) for metric, scored in pairs.items()}
    if not any(pairs.values()):
        raise GradesError(f"no item is scored in both {a} and {b}; the reasons are in their judgements.jsonl")
    return {
        "a": str(a),
        "b": str(b),
        "judge": one.judge,
        "metrics": {metric: {**_row(pairs[metric]), "left_out": left_out[metric]} for metric in metrics},
        "only_in_one": sorted({*one.metrics} ^ {*other.metrics}),
        "average": _average([scored for scored in pairs.values() if scored]),
    }


def check_same_judge(a: GradedRun, b: GradedRun) -> None:
    """Refuse grades of different judges, or of one judge with different settings.

    Raises:
        GradesError: the message names the differences.
    """
    differing = [name for name in JUDGE if a.judge[name] != b.judge[name]]
    if differing:
        differences = "; ".join(f"{name} {_value(a, name)!r} and {_value(b, name)!r}" for name in differing)
        raise GradesError(
            f"{a.path} and {b.path} cannot be compared, the grades move with the judge: found {differences}; grade "
            "both with the same judge and rubrics"
        )


def _value(run: GradedRun, name: str) -> object:
    return run.judge[name] or (SAMPLED if name == "score_kind" else None)


def _common_metrics(a: GradedRun, b: GradedRun) -> list[str]:
    common = [metric for metric in a.metrics if metric in b.metrics]
    if not common:
        raise GradesError(f"{a.path} has {a.metrics} and {b.path} has {b.metrics}: no metric in common")
    return common


def _check_same_items(a: GradedRun, b: GradedRun, metric: str) -> None:
    keys_a, keys_b = a.keys(metric), b.keys(metric)
    if keys_a != keys_b:
        raise GradesError(
            f"{a.path} and {b.path} are about different items: {metric} has {len(keys_a)} and {len(keys_b)}, only in "
            f"one of them {_first(keys_a ^ keys_b)}; describe and grade the same questions"
        )
    changed = {key for key in keys_a if _has_other_questions(a, b, (metric, key))}
    if changed:
        raise GradesError(
            f"{a.path} and {b.path} ask differently or have other references: {metric} of {_first(changed)}; describe "
            "and grade the same questions"
        )


def _has_other_questions(a: GradedRun, b: GradedRun, item: ItemKey) -> bool:
    return bool(a.fields(item) and b.fields(item)) and a.questions(item) != b.questions(item)


def _first(keys: set[str]) -> str:
    remainder = f" and {len(keys) - _LISTED} more" if len(keys) > _LISTED else ""
    return ", ".join(sorted(keys)[:_LISTED]) + remainder


def scored_pairs(a: GradedRun, b: GradedRun, metric: str) -> Pairs:
    """Return the items, sorted by key, that both runs have a score for, each the mean of its repeats."""
    pairs = []
    for key in sorted(a.keys(metric) & b.keys(metric)):
        scores = a.graded((metric, key)).score, b.graded((metric, key)).score
        if scores[0] is not None and scores[1] is not None:
            pairs.append((video_of(key), scores[0], scores[1]))
    return pairs


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


def paired_difference(measures: Sequence[Mapping[str, Sequence[float]]], *, scale: float = SCALE) -> dict[str, Any]:
    """Return the mean difference x `scale`, averaged over the measures, with its 95 % interval and p-value.

    Args:
        measures: of each measure, the differences by video, such as grades from -5 to 5.
        scale: points for a difference of one, by default those of a grade.
    """
    shares = _shares(measures)
    interval = mean_interval(*measures)
    return {
        "difference": scale * float(shares.sum()),
        "interval": interval and [end * scale for end in interval],
        "p": sign_flip_p(shares) if interval else None,
    }


def _shares(measures: Sequence[Mapping[str, Sequence[float]]]) -> Float[np.ndarray, " V"]:
    """Return each video's contribution to the difference, sorted by name."""
    counts = [sum(map(len, values.values())) for values in measures]
    return np.array(
        [
            sum(sum(sorted(values.get(video, ()))) / count for values, count in zip(measures, counts)) / len(measures)
            for video in sorted({video for values in measures for video in values})
        ]
    )


def sign_flip_p(shares: Float[np.ndarray, " V"], *, permutations: int = PERMUTATIONS, seed: int = 0) -> float:
    """Return the two-sided p of the sum of `shares` under random signs.

    It is exact where 2^V is at most `permutations`. Sums that differ by rounding alone count as equal.

    >>> sign_flip_p(np.ones(5)), sign_flip_p(np.array([1.0, -1.0]))
    (0.0625, 1.0)
    """
    from scipy.stats import permutation_test

    def total(values: Float[np.ndarray, "... V"], axis: int) -> Float[np.ndarray, "..."]:
        return values.sum(axis=axis).round(_DECIMALS)

    result = permutation_test(
        (shares,),
        total,
        permutation_type="samples",
        vectorized=True,
        n_resamples=permutations,
        batch=500,
        rng=np.random.default_rng(seed),
    )
    return float(result.pvalue)
