"""The share of pairs in which the better prediction has the higher grade, and the AUC, with intervals over clips."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from benchmarks.order_pairs import Pair
from eval.judges.grading import judgement_id
from ski_lvlm.recognition.intervals import grouped, interval_of_sums, mean_interval

Interval = tuple[float, float]
Grades = Mapping[str, Mapping[str, Any]]


class GradedPair(NamedTuple):
    """A pair with its two scores from 0 to 5."""

    pair: Pair
    good: float
    bad: float

    @property
    def order(self) -> float:
        """Return 1 where the better prediction has the higher grade, 0.5 for equal grades, else 0."""
        return 0.5 if self.good == self.bad else float(self.good > self.bad)


def graded_pairs(pairs: Sequence[Pair], grades: Grades, *, judge: str) -> list[GradedPair]:
    """Return the pairs of which both predictions have a score."""
    graded = []
    for pair in pairs:
        good, bad = (grades.get(judgement_id(task, judge), {}).get("score") for task in pair.tasks())
        if good is not None and bad is not None:
            graded.append(GradedPair(pair, good, bad))
    return graded


def order_row(pairs: Sequence[GradedPair], *, total: int) -> dict[str, Any]:
    """Return the numbers of some pairs: AUC, share of right order with intervals, ties, and means of the grades."""
    if not pairs:
        return {"pairs": total, "scored": 0}
    return {
        "pairs": total,
        "scored": len(pairs),
        "auc": auc(pairs),
        "auc_interval": auc_interval(pairs),
        "right": fmean(pair.order for pair in pairs),
        "right_interval": mean_interval(grouped((pair.pair.clip, pair.order) for pair in pairs)),
        "ties": sum(pair.good == pair.bad for pair in pairs),
        "good": fmean(pair.good for pair in pairs),
        "bad": fmean(pair.bad for pair in pairs),
    }


def auc(pairs: Sequence[GradedPair]) -> float:
    """Return the probability that any better prediction has a higher grade than any worse one. A tie counts half."""
    return float(_above(pairs).mean())


def auc_interval(pairs: Sequence[GradedPair]) -> Interval | None:
    """Return the bootstrap interval of the AUC, when pairs are drawn with both of their predictions."""
    count = len(pairs)

    def drawn_auc(sums: Float[np.ndarray, "R S"]) -> Float[np.ndarray, " R"]:
        return (sums[:, :count] * sums[:, count:]).sum(1) / count**2

    return interval_of_sums(np.concatenate([_above(pairs), np.eye(count)], axis=1), drawn_auc)


def _above(pairs: Sequence[GradedPair]) -> Float[np.ndarray, "P P"]:
    good, bad = (np.array([getattr(pair, name) for pair in pairs]) for name in ("good", "bad"))
    return (good[:, None] > bad) + 0.5 * (good[:, None] == bad)
