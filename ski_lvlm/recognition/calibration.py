"""Calibrated stacking: the scores of seen classes are lowered by one number before the best class is taken.

Paper: Chao et al., "An Empirical Study and Analysis of Generalized Zero-Shot Learning for Object Recognition in the
Wild", ECCV 2016. Deviation: the number is chosen on held-out seen classes, and is the best of all real numbers there.
"""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int, Int64
from torch import Tensor

from ski_lvlm.recognition.accuracy import predicted


class Stacking(NamedTuple):
    """A number that seen classes are lowered by, and the accuracies that it gave where it was chosen."""

    gamma: float  # in the scores' own scale
    seen: float
    unseen: float
    harmonic_mean: float


class _Bests(NamedTuple):
    """Best seen and best unseen class of each clip, and how far the seen one is ahead."""

    seen: Int64[Tensor, " N"]
    unseen: Int64[Tensor, " N"]
    lead: Float64[Tensor, " N"]


def _bests(scores: Float[Tensor, "N C"], is_seen: Bool[Tensor, " C"]) -> _Bests:
    best_seen, best_unseen = (_best(scores, part.nonzero().flatten()) for part in (is_seen, ~is_seen))
    # A difference of two float32 is exact in float64, so that clips of equal leads are never told apart.
    of_seen, of_unseen = (scores.gather(1, best[:, None])[:, 0].double() for best in (best_seen, best_unseen))
    return _Bests(best_seen, best_unseen, of_seen - of_unseen)


def _best(scores: Float[Tensor, "N C"], classes: Int64[Tensor, " K"]) -> Int64[Tensor, " N"]:
    return classes[predicted(scores[:, classes])[:, 0]]


def stacked(scores: Float[Tensor, "N C"], is_seen: Bool[Tensor, " C"], gamma: float) -> Int64[Tensor, " N"]:
    """Return the best class of each clip after the seen classes are lowered by `gamma`.

    An unseen class wins a tie.

    >>> stacked(torch.tensor([[0.9, 0.5], [0.6, 0.5]]), torch.tensor([True, False]), 0.25)
    tensor([0, 1])
    """
    bests = _bests(scores, is_seen)
    return torch.where(bests.lead <= gamma, bests.unseen, bests.seen)


def choose_gamma(scores: Float[Tensor, "N C"], labels: Int[Tensor, " N"], is_seen: Bool[Tensor, " C"]) -> Stacking:
    """Return the number that gives the best harmonic mean of seen and unseen accuracy.

    An accuracy changes only where the number reaches the lead of a clip that is right among its own kind of classes. So
    the numbers between two such leads are alike, and no other needs to be tried. Of equally good intervals it is the
    closest to 0.
    Assumption: the middle of the interval, or 0 where it is inside. An end lies on a clip, and would be right for half
    of the clips like it.

    Args:
        scores: of a rehearsal, whose unseen classes are held-out seen ones.
        labels: classes of the clips, as columns.
        is_seen: of the columns.

    Raises:
        ValueError: there is no clip of a seen class, or none of an unseen class.
    """
    bests, is_of_seen = _bests(scores, is_seen), is_seen[labels]
    clips = int(is_of_seen.sum()), int((~is_of_seen).sum())
    if not all(clips):
        raise ValueError(
            f"found {clips[0]} clips of seen classes and {clips[1]} of held-out ones, expected some of both"
        )
    right_seen = np.sort(bests.lead[is_of_seen & (bests.seen == labels)].numpy())
    right_unseen = np.sort(bests.lead[~is_of_seen & (bests.unseen == labels)].numpy())
    edges = np.unique(np.concatenate([right_seen, right_unseen, [-np.inf, np.inf]]))
    num_seen = len(right_seen) - np.searchsorted(right_seen, edges[:-1], side="right")
    num_unseen = np.searchsorted(right_unseen, edges[:-1], side="right")
    # A quotient of whole numbers, so that equal means are equal floats.
    divisor = num_seen * clips[1] + num_unseen * clips[0]
    means = np.divide(2 * num_seen * num_unseen, divisor, out=np.zeros(len(divisor)), where=divisor > 0)
    best = np.lexsort((_distances(edges), -means))[0]
    shares = float(num_seen[best] / clips[0]), float(num_unseen[best] / clips[1])
    return Stacking(_representative(float(edges[best]), float(edges[best + 1])), *shares, float(means[best]))


def _distances(edges: Float64[np.ndarray, " K"]) -> Float64[np.ndarray, " _"]:
    """Return how far each interval [edge, next edge) is from 0."""
    low, high = edges[:-1], edges[1:]
    return np.where((low <= 0) & (high > 0), 0.0, np.minimum(np.abs(low), np.abs(high)))


def _representative(low: float, high: float) -> float:
    # An interval without an end has a harmonic mean of 0. It is the best only where all are, and then has 0 inside.
    return 0.0 if low <= 0 < high else (low + high) / 2
