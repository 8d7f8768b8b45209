"""Power of the testbed: the smallest gain that its intervals can tell from nothing, from trainings without skeletons.

Two trainings of the student that differ in their seed stand for two students that differ in nothing. What separates
them by class is the noise that a gain has to exceed. A student and its SKI student share their start, so the true noise
is likely smaller.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from scripts.tables.results import Training

POWER, LEVEL = 0.8, 0.95


@dataclass(frozen=True)
class Noise:
    """Standard deviations of the difference of two trainings, in points."""

    over_trainings: float  # of the mean over the classes of a rotation
    over_classes: float  # of one class


def noise(pairs: Sequence[tuple[Training, Training]]) -> Noise:
    """Return the noise of pairs of trainings that differ in their seed alone.

    Raises:
        ValueError: there are fewer than two pairs.
    """
    if len(pairs) < 2:
        raise ValueError(f"found {len(pairs)} pairs of trainings, expected at least 2: run more rotations or seeds")
    means = [first.mean - second.mean for first, second in pairs]
    classes = [value - second.values[name] for first, second in pairs for name, value in first.values.items()]
    # The expected difference is 0, so no mean is taken away.
    return Noise(float(np.sqrt(fmean(d * d for d in means))), float(np.sqrt(fmean(d * d for d in classes))))


def smallest_gain(noise: Noise, *, rotations: int, seeds: int, classes: int) -> Mapping[str, float]:
    """Return the gain that is significant in 4 of 5 repetitions, by its interval over trainings and over classes.

    `classes` counts those of all rotations. Each is measured once for each seed.
    """
    from scipy.stats import norm, t

    trainings = rotations * seeds
    over_trainings = (t.ppf((1 + LEVEL) / 2, trainings - 1) + norm.ppf(POWER)) * noise.over_trainings / trainings**0.5
    over_classes = (norm.ppf((1 + LEVEL) / 2) + norm.ppf(POWER)) * noise.over_classes / (classes * seeds) ** 0.5
    return {"over trainings": float(over_trainings), "over classes": float(over_classes)}
