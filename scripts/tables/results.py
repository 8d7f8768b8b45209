"""Numbers of a table from trainings, in percent: means, spreads, intervals, and differences between rows."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev
from typing import Any

from scripts.tables.rows import Row, Table
from ski_lvlm.recognition.intervals import Interval, grouped, mean_interval


@dataclass(frozen=True)
class Training:
    """One training's result in one column: the number, and its values by class or by item of a video."""

    mean: float
    values: Mapping[str, float]
    chance: float = 0.0


@dataclass(frozen=True)
class Number:
    """Mean over trainings, their standard deviation, and the interval over classes or videos.

    `groups` counts classes or videos, `items` classes or items, `values` those of all trainings.
    """

    mean: float
    spread: float | None
    interval: Interval | None
    chance: float
    per_training: tuple[float, ...]
    groups: int
    items: int
    values: int

    @property
    def is_above_chance(self) -> bool:
        """Return whether the whole interval is above chance."""
        return self.interval is not None and self.interval[0] > self.chance


def number(trainings: Sequence[Training], group_of: Callable[[str], str] = str) -> Number:
    """Combine one or more trainings. Values of one group (class, video) share clips and are drawn together."""
    means = tuple(training.mean for training in trainings)
    groups = grouped((group_of(item), value) for training in trainings for item, value in training.values.items())
    return Number(
        mean=fmean(means),
        spread=stdev(means) if len(means) > 1 else None,
        interval=mean_interval(groups),
        chance=fmean(training.chance for training in trainings),
        per_training=means,
        groups=len(groups),
        items=len({item for training in trainings for item in training.values}),
        values=sum(map(len, groups.values())),
    )


def over_trainings(means: Sequence[float]) -> Interval | None:
    """Return the 95 % interval of the mean by Student's t over trainings. None for a single training.

    >>> low, high = over_trainings([1.0, 2.0, 3.0])
    >>> f"{low:.2f} to {high:.2f}"
    '-0.48 to 4.48'
    """
    from scipy.stats import t

    if len(means) < 2:
        return None
    half = float(t.ppf(0.975, len(means) - 1)) * stdev(means) / len(means) ** 0.5
    return fmean(means) - half, fmean(means) + half


@dataclass(frozen=True)
class Comparison:
    """A row minus its baseline, over the same items in trainings of the same seed."""

    row: str
    baseline: str
    column: str
    points: Number
    verdict: str


Verdict = Callable[[Number, Number], str]  # of a difference, and of the baseline in the same trainings


def verdict_of(intervals: Iterable[Interval]) -> str:
    """Return better or worse if all intervals of a difference say so."""
    intervals = list(intervals)
    if all(low > 0 for low, _ in intervals):
        return "better"
    return "worse" if all(high < 0 for _, high in intervals) else "not significant"


def verdict_of_both(points: Number) -> str | None:
    """Return better or worse if the intervals over items and over trainings both say so. None where one is missing."""
    across = over_trainings(points.per_training)
    return verdict_of([points.interval, across]) if points.interval and across else None


Trainings = Mapping[int, Training]  # by seed


def differences(after: Trainings, before: Trainings) -> dict[int, Training]:
    """Return the differences of the items that trainings of the same seed share, by seed."""
    gains = {}
    for seed in sorted(after.keys() & before.keys()):
        start = before[seed].values
        if values := {item: value - start[item] for item, value in after[seed].values.items() if item in start}:
            gains[seed] = Training(fmean(values.values()), values)
    return gains


@dataclass(frozen=True)
class Results:
    """The trainings behind a table by (row, column), and the reasons why other cells are empty.

    `group_of` names the class or video of an item. `verdict` judges a difference.
    """

    table: Table[Any]
    columns: tuple[str, ...]
    trainings: Mapping[tuple[str, str], Trainings]
    verdict: Verdict
    group_of: Callable[[str], str] = str
    reasons: Mapping[tuple[str, str], str] = field(default_factory=dict)

    def number(self, row: Row[Any], column: str) -> Number | None:
        """Return our number in a cell, if there is one."""
        trainings = self.trainings.get((row.name, column))
        return number(list(trainings.values()), self.group_of) if trainings else None

    def per_class(self, row: Row[Any], column: str) -> dict[str, float]:
        """Return the mean over trainings of each class of a cell, or of each item of a video."""
        trainings = self.trainings.get((row.name, column), {}).values()
        values = grouped((item, value) for training in trainings for item, value in training.values.items())
        return {item: fmean(values[item]) for item in sorted(values)}

    def comparisons(self, columns: Iterable[str] | None = None) -> list[Comparison]:
        """Return the difference of each row and its baselines, in every column that has both."""
        pairs = self.table.comparisons()
        cells = [(row.name, other.name, column) for row, other in pairs for column in columns or self.columns]
        return [comparison for cell in cells if (comparison := self.comparison(*cell))]

    def comparison(self, row: str, baseline: str, column: str) -> Comparison | None:
        """Return the difference of two rows over the same items in trainings of the same seed, if there is one."""
        after, before = (self.trainings.get((name, column), {}) for name in (row, baseline))
        gains = differences(after, before)
        if not gains:
            return None
        points = number(list(gains.values()), self.group_of)
        shared = number([before[seed] for seed in gains], self.group_of)
        return Comparison(row, baseline, column, points, self.verdict(points, shared))
