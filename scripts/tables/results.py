"""From the evaluations of a table to its numbers, in percent: means, spreads, intervals, differences."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, harmonic_mean, stdev

from scripts.tables.rows import Row, Table
from scripts.tables.runs import Plan, replicates
from ski_lvlm.recognition.intervals import Interval, grouped, mean_interval

ENOUGH_CLASSES = 8  # fewer say too little of classes in general to call one row better


@dataclass(frozen=True)
class Score:
    """One evaluation: of one training, on the unseen classes of one split."""

    seed: int
    top1: float
    chance: float
    per_class: Mapping[str, float]


def read_score(path: Path, *, seed: int) -> Score:
    """The numbers of a `zero_shot.json`, whose shares become percent."""
    unseen = json.loads(path.read_text(encoding="utf-8"))["unseen"]
    per_class = {name: 100 * share for name, share in unseen["per_class"].items() if share is not None}
    return Score(seed, 100 * unseen["top1"], 100 * unseen["chance"], per_class)


def by_class(scores: Sequence[Score]) -> dict[str, list[float]]:
    """Return each class's accuracies in all trainings that tested it: they share clips, so are no independent draws."""
    return grouped(pair for score in scores for pair in score.per_class.items())


@dataclass(frozen=True)
class Number:
    """One cell: mean top-1 over trainings, their standard deviation, and an interval over classes and trainings."""

    mean: float
    spread: float | None
    count: int
    interval: Interval | None  # of a single class there is none
    chance: float
    per_seed: tuple[float, ...]

    @property
    def is_above_chance(self) -> bool:
        """Whether the whole interval is."""
        return self.interval is not None and self.interval[0] > self.chance


def number(scores: Sequence[Score]) -> Number:
    """Several trainings in one cell."""
    top1 = tuple(score.top1 for score in scores)
    return Number(
        mean=fmean(top1),
        spread=stdev(top1) if len(top1) > 1 else None,
        count=len(top1),
        interval=mean_interval(by_class(scores)),
        chance=fmean(score.chance for score in scores),
        per_seed=top1,
    )


@dataclass(frozen=True)
class Comparison:
    """A row minus its baseline, over pairs of the same class in trainings of the same seed."""

    row: str
    baseline: str
    column: str
    difference: float
    interval: Interval | None
    pairs: int
    verdict: str


def compare(
    row: Sequence[Score], baseline: Sequence[Score], *, names: tuple[str, str], column: str
) -> Comparison | None:
    """The paired difference, or None where no seed has both.

    There is no conclusion where the baseline does not beat chance: whatever is above it may be so by accident.
    """
    shared = {score.seed for score in row} & {score.seed for score in baseline}
    if not shared:
        return None
    ours, theirs = ([s for s in scores if s.seed in shared] for scores in (row, baseline))
    differences = grouped(
        (name, accuracy - other.per_class[name])
        for score, other in zip(ours, theirs, strict=True)
        for name, accuracy in score.per_class.items()
        if name in other.per_class
    )
    interval, base = mean_interval(differences), number(theirs)
    if len(differences) < ENOUGH_CLASSES or not interval or not base.interval:
        verdict = f"no conclusion: {len(differences)} classes"
    elif not base.is_above_chance:
        verdict = f"no conclusion: baseline {base.mean:.1f}, from {base.interval[0]:.1f}; chance {base.chance:.1f}"
    else:
        verdict = "better" if interval[0] > 0 else "worse" if interval[1] < 0 else "not told apart"
    values = [value for name in sorted(differences) for value in differences[name]]
    return Comparison(*names, column, fmean(values), interval, len(values), verdict)


@dataclass(frozen=True)
class Results:
    """What is known of a table: scores by (row, column), and why other cells are empty."""

    table: Table
    columns: tuple[str, ...]
    scores: Mapping[tuple[str, str], list[Score]]
    reasons: Mapping[tuple[str, str], str]

    def number(self, row: Row, column: str) -> Number | None:
        """Our number in a cell, if there is one."""
        scores = self.scores.get((row.name, column))
        return number(scores) if scores else None

    def mean(self, row: Row) -> float | None:
        """Harmonic mean over all splits of the table, as the paper prints it."""
        numbers = [self.number(row, split) for split in self.table.splits]
        known = [cell.mean for cell in numbers if cell]
        return harmonic_mean(known) if len(known) == len(numbers) else None

    def comparisons(self) -> list[Comparison]:
        """Each row against its baselines, in every column that has both."""
        pairs = [
            compare(
                self.scores.get((row.name, column), []),
                self.scores.get((other.name, column), []),
                names=(row.name, other.name),
                column=column,
            )
            for row, other in self.table.comparisons()
            for column in self.columns
        ]
        return [pair for pair in pairs if pair]


def collect(table: Table, *, plan: Plan, columns: Sequence[str], seeds: Mapping[str, int]) -> Results:
    """Read what is finished; `seeds` says how many trainings of each row are asked for."""
    scores: dict[tuple[str, str], list[Score]] = defaultdict(list)
    reasons: dict[tuple[str, str], str] = {}
    for row in table.rows:
        for column in columns:
            for replicate in replicates(column, seeds[row.name]):
                step = plan.evaluation(row, replicate)
                if isinstance(step, str):
                    reasons[row.name, column] = step
                elif step.is_finished():
                    path = step.folder / step.product
                    scores[row.name, column].append(read_score(path, seed=replicate.seed))
                else:
                    reasons[row.name, column] = "not run"
    return Results(table, tuple(columns), dict(scores), reasons)
