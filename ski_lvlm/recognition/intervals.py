"""Bootstrap intervals: how far a number would move with other clips, classes or videos of the same kind.

Values that belong together (the items of a video, the clips of a class, the trainings that tested a class) are drawn
together, since what makes one of them hard makes all of them hard. Groups are taken in the order of their names, so
the same values give the same interval in whatever order they come.
Assumption: the paper gives no intervals. 95 %, percentile ends, 10,000 draws and the seed are ours.
"""

import warnings
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any, Literal, TypeVar

import numpy as np
from jaxtyping import Float, Real

DRAWS = 10_000
LEVEL = 0.95
SEED = 0
_BATCH = 500  # draws; 500 x 1,863 counts are a few MB

Interval = tuple[float, float]
Group = TypeVar("Group", bound=Hashable)


def grouped(values: Iterable[tuple[Group, float]]) -> dict[Group, list[float]]:
    """Collect (group, value) pairs by group.

    >>> grouped([("b", 1.0), ("a", 2.0), ("b", 0.0)])
    {'b': [1.0, 0.0], 'a': [2.0]}
    """
    groups: dict[Group, list[float]] = {}
    for group, value in values:
        groups.setdefault(group, []).append(float(value))
    return groups


def mean_interval(*measures: Mapping[Any, Sequence[float]]) -> Interval | None:
    """Return the interval of the mean over all values, when groups are drawn with all of their values.

    Several measures, each group → values, share the draws, and the interval is that of the mean of their means. None
    where a measure has fewer than two groups: no draw can vary it.

    >>> mean_interval({"a": [1.0], "b": [1.0, 1.0]})
    (1.0, 1.0)
    >>> mean_interval({"a": [0.0, 5.0]})
    """
    if min(map(len, measures), default=0) < 2:
        return None
    groups = sorted({group for values in measures for group in values})
    table = [[part for values in measures for part in _sum_and_count(values.get(group, ()))] for group in groups]

    def mean_of_means(sums: Float[np.ndarray, "R S"]) -> Float[np.ndarray, " R"]:
        with np.errstate(invalid="ignore"):  # a draw without any value of a measure has no mean: NaN
            return (sums[:, 0::2] / sums[:, 1::2]).mean(1)

    return interval_of_sums(np.array(table), mean_of_means)


def _sum_and_count(values: Sequence[float]) -> tuple[float, int]:
    return sum(sorted(values), 0.0), len(values)  # sorted: the sum is the same in any order


def interval_of_sums(
    table: Real[np.ndarray, "G S"], statistic: Callable[[Float[np.ndarray, "R S"]], Float[np.ndarray, " R"]]
) -> Interval | None:
    """Return the interval of a statistic of column sums, when rows (groups) are drawn.

    Fewer than two rows have no interval. Ratios, means of ratios and scores of a whole corpus are such statistics.
    """
    count, numbers = len(table), table.astype(np.float64)
    if count < 2:
        return None

    def of_rows(rows: Any, axis: int) -> Any:  # noqa: ANN401  # row numbers [R G] → [R]
        # How often each row was drawn, times the table: the drawn rows themselves would be S times as large.
        numbered = rows + count * np.arange(len(rows))[:, None]
        times = np.bincount(numbered.ravel(), minlength=rows.size).reshape(rows.shape)
        return statistic(times @ numbers)

    return _interval([np.arange(count)], of_rows)


def interval_over(
    of_class: Mapping[Any, Sequence[float]], over: Literal["clips", "classes"], *, classes_alike: bool = False
) -> Interval:
    """Return the interval of the mean over all clips, or over the means of classes if those count alike.

    Over "clips", every class keeps its number of clips, drawn from its own: other recordings of these same classes.
    Over "classes", classes are drawn with all of their clips: other classes of this kind, which is what a claim about
    unseen classes is about. Of a single class, only the clips can be drawn.
    """
    means = {name: [fmean(values)] for name, values in of_class.items()} if classes_alike else of_class
    interval = mean_interval(means) if over == "classes" else None
    total = sum(map(len, means.values()))
    return interval or interval_within(list(of_class.values()), [len(values) / total for values in means.values()])


def interval_within(groups: Sequence[Sequence[float]], weights: Sequence[float]) -> Interval:
    """Return the interval of the weighted sum of the groups' means, when values are drawn within each group.

    >>> interval_within([[0.0, 1.0], [3.0]], weights=[0.5, 0.5])
    (1.5, 2.0)
    """
    pairs = [(weight, np.asarray(group, np.float64)) for weight, group in zip(weights, groups, strict=True)]
    # scipy refuses a group of one value, which every draw repeats.
    constant = sum(weight * float(values[0]) for weight, values in pairs if len(values) == 1)
    varying = [(weight, values) for weight, values in pairs if len(values) > 1]
    if not varying:
        return constant, constant

    def weighted(*draws: Any, axis: int) -> Any:  # noqa: ANN401  # one [R N] for each group → [R]
        return constant + sum(weight * draw.mean(axis) for (weight, _), draw in zip(varying, draws, strict=True))

    return _interval([values for _, values in varying], weighted)


def _interval(samples: Sequence[Any], statistic: Callable[..., Any]) -> Interval:
    from scipy.stats import DegenerateDataWarning, bootstrap

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DegenerateDataWarning)
        result = bootstrap(
            samples,
            statistic,
            n_resamples=DRAWS,
            batch=_BATCH,
            vectorized=True,
            method="percentile",
            rng=np.random.default_rng(SEED),
        )
    # The ends are taken here, since scipy's are NaN as soon as one draw has no value.
    low, high = np.nanquantile(result.bootstrap_distribution, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
