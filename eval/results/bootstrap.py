"""Bootstrap over videos: how far a number would move with other videos of the same kind.

The items of a video (its questions, its occurrences) are drawn together, because what makes a video hard makes all of
them hard. Everything is drawn with a fixed seed from videos in the order of their names, so the same values give the
same ends whatever order they come in.
Assumption: the paper gives no intervals; 95 %, percentile ends, 10,000 resamples are ours.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from jaxtyping import Float

RESAMPLES = 10_000
LEVEL = 0.95
_AT_ONCE = 500  # resamples; 500 x 1,863 counts are a few MB

ByVideo = Mapping[str, Sequence[float]]  # video → the values of its items


def by_video(values: Iterable[tuple[str, float]]) -> dict[str, list[float]]:
    """Gather (video, value) pairs.

    >>> by_video([("b", 1.0), ("a", 2.0), ("b", 0.0)])
    {'b': [1.0, 0.0], 'a': [2.0]}
    """
    found: dict[str, list[float]] = {}
    for video, value in values:
        found.setdefault(video, []).append(value)
    return found


def resampled_means(
    measures: Sequence[ByVideo], *, resamples: int = RESAMPLES, seed: int = 0
) -> Float[np.ndarray, "R M"]:
    """The mean of each measure in each resample; all measures see the same videos, so that rows can be averaged.

    A resample without any value of a measure has no mean: NaN.
    """
    videos = sorted({video for values in measures for video in values})
    table = np.array(
        [[part for values in measures for part in _sum_and_count(values.get(video, ()))] for video in videos]
    )
    sums = resampled_sums(table.reshape(len(videos), 2 * len(measures)), resamples=resamples, seed=seed)
    with np.errstate(invalid="ignore"):
        return sums[:, 0::2] / sums[:, 1::2]


def _sum_and_count(values: Sequence[float]) -> tuple[float, int]:
    return sum(sorted(values)), len(values)


def resampled_sums(
    table: Float[np.ndarray, "V S"], *, resamples: int = RESAMPLES, seed: int = 0
) -> Float[np.ndarray, "R S"]:
    """Column sums of as many rows as there are, drawn with replacement, for each resample.

    Args:
        table: what is added up, one row a video; the draw depends on the number of rows alone.
        resamples: how many.
        seed: of the draw.
    """
    rng, count = np.random.default_rng(seed), len(table)
    sums = np.empty((resamples, table.shape[1]))
    for start in range(0, resamples if count else 0, _AT_ONCE):
        size = min(_AT_ONCE, resamples - start)
        drawn = rng.integers(0, count, (size, count)) + count * np.arange(size)[:, None]
        times = np.bincount(drawn.ravel(), minlength=size * count).reshape(size, count)
        sums[start : start + size] = times @ table
    return sums


def percentile_interval(values: Float[np.ndarray, " R"], *, level: float = LEVEL) -> list[float] | None:
    """The middle `level` of the resamples' values, those without a value left out; None when none has one."""
    known = values[~np.isnan(values)]
    if not len(known):
        return None
    return [float(end) for end in np.quantile(known, [(1 - level) / 2, (1 + level) / 2])]


def bootstrap_interval(values: ByVideo, *, resamples: int = RESAMPLES, seed: int = 0) -> list[float] | None:
    """[low, high] of the mean over all items, resampled by video; None for fewer than two videos.

    >>> bootstrap_interval({"a": [1.0], "b": [1.0, 1.0]})
    [1.0, 1.0]
    >>> bootstrap_interval({"a": [0.0, 5.0]})
    """
    if len(values) < 2:
        return None
    return percentile_interval(resampled_means([values], resamples=resamples, seed=seed)[:, 0])
