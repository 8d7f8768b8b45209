"""SynSE's gate: a clip is taken for one of a seen or of an unseen class before the best of these is.

Paper: Gupta et al., "Syntactically Guided Generative Embeddings for Zero-Shot Skeleton Action Recognition", ICIP 2021,
and its published code. The threshold was chosen there for "unseen where P(unseen) > threshold", and applied as "unseen
where P(unseen) >= 1 - threshold". The mended gate applies it as it was chosen.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64
from scipy.optimize import minimize
from scipy.special import expit, softmax

TEMPERATURES = tuple(map(float, range(1, 10)))
THRESHOLDS = tuple(percent / 100 for percent in range(25, 75))
SET_ASIDE = 300, 400  # rows of unseen and of seen classes that the temperature and the threshold are chosen on
CLIPS_PER_CLASS = 40  # of the seen classes
_SEED = 0
_PENALTY = 0.25  # of the squared weights: scikit-learn's C = 1 in its form for several classes


@dataclass(frozen=True)
class GateScores:
    """Scores that a gate looks at: logits of the seen classes, and probabilities of the unseen ones."""

    seen: Float[np.ndarray, "N S"]
    unseen: Float[np.ndarray, "N U"]

    def features(self, *, size: int, temperature: float) -> Float64[np.ndarray, "N F"]:
        """Return the `size` largest probabilities of unseen, then of seen classes, each from the largest down."""
        parts = self.unseen.astype(np.float64), softmax(self.seen.astype(np.float64) / temperature, axis=1)
        return np.concatenate([-np.sort(-part, axis=1)[:, :size] for part in parts], axis=1)


class Line(NamedTuple):
    """A logistic regression of "this class is seen"."""

    weights: Float64[np.ndarray, " F"]
    bias: float

    def unseen(self, features: Float64[np.ndarray, "N F"]) -> Float64[np.ndarray, " N"]:
        """Return the probability of each row that its class is unseen."""
        return expit(-(features @ self.weights + self.bias))


def fit(features: Float64[np.ndarray, "N F"], is_seen: Bool[np.ndarray, " N"]) -> Line:
    """Fit a logistic regression: the sum of losses plus a quarter of the squared weights, with a free bias."""
    signs = np.where(is_seen, 1.0, -1.0)

    def loss(parameters: Float64[np.ndarray, " P"]) -> tuple[float, Float64[np.ndarray, " P"]]:
        weights = parameters[:-1]
        margins = signs * (features @ weights + parameters[-1])
        slopes = -signs * expit(-margins)
        gradient = np.append(features.T @ slopes + 2 * _PENALTY * weights, slopes.sum())
        return float(np.logaddexp(0, -margins).sum() + _PENALTY * weights @ weights), gradient

    start = np.zeros(features.shape[1] + 1)
    optimum = minimize(loss, start, jac=True, method="L-BFGS-B", options={"ftol": 1e-14, "gtol": 1e-8, "maxiter": 5000})
    return Line(optimum.x[:-1], float(optimum.x[-1]))


@dataclass(frozen=True)
class Gate:
    """A trained gate."""

    line: Line
    size: int  # probabilities of either kind that it looks at
    temperature: float  # of the seen logits
    threshold: float
    accuracy: float  # on the rows that were set aside

    def is_unseen(self, scores: GateScores, *, as_published: bool = False) -> Bool[np.ndarray, " N"]:
        """Return whether each clip is taken for one of an unseen class."""
        probability = self.line.unseen(scores.features(size=self.size, temperature=self.temperature))
        return probability >= 1 - self.threshold if as_published else probability > self.threshold


def choose_gate(scores: GateScores, is_seen: Bool[np.ndarray, " N"], *, size: int) -> Gate:
    """Train a gate, with the temperature and the threshold that are most often right on rows set aside.

    Assumption: of equally good pairs it is the one with the threshold closest to a half, then the lower temperature.
    A third of the rows is set aside where there are few.

    Args:
        scores: of a rehearsal, whose unseen classes are held-out seen ones.
        is_seen: of the clips.
        size: at most the number of unseen and of seen classes, here and where the gate will be used.

    Raises:
        ValueError: there are fewer than three clips of one kind.
    """
    is_aside = _set_aside(is_seen)
    pairs = []
    for temperature in TEMPERATURES:
        features = scores.features(size=size, temperature=temperature)
        line = fit(features[~is_aside], is_seen[~is_aside])
        probability = line.unseen(features[is_aside])
        for threshold in THRESHOLDS:
            accuracy = float(np.mean((probability > threshold) != is_seen[is_aside]))
            pairs.append(Gate(line, size, temperature, threshold, accuracy))
    return max(pairs, key=lambda gate: (gate.accuracy, -abs(gate.threshold - 0.5), -gate.temperature))


def _set_aside(is_seen: Bool[np.ndarray, " N"]) -> Bool[np.ndarray, " N"]:
    random, is_aside = np.random.default_rng(_SEED), np.zeros(len(is_seen), bool)
    for kind, limit in zip((False, True), SET_ASIDE, strict=True):
        rows: Int64[np.ndarray, " K"] = np.flatnonzero(is_seen == kind)
        if len(rows) < 3:
            raise ValueError(
                f"found {len(rows)} clips of {'seen' if kind else 'held-out'} classes, expected three or more to train "
                "a gate and to set some of them aside; use --calibration stacking"
            )
        is_aside[random.permutation(rows)[: min(limit, len(rows) // 3)]] = True
    return is_aside
