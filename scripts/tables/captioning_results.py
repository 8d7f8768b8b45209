"""From the grades of Table 3's trainings to its numbers: means, intervals over videos, differences between rows."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev

from eval.pages.score_items import Item, read_items, read_scores
from ski_lvlm.recognition.intervals import Interval, grouped, mean_interval

ACTION = "action"  # captions that name the right action, in percent
Items = Mapping[str, float]  # item → score, from 0 to 100
Training = Mapping[str, Items]  # measure → its items


def read_training(scores: Path, predictions: Path, *, actions: bool) -> Training:
    """The items of each metric that was run, x 20, and their average over those metrics; with `actions` also which
    captions name the action in the clip's NTU name.

    The average is over the items that have a score in every metric that was run.
    """
    run = {name for name, metric in read_scores(scores)["metrics"].items() if metric["status"] == "run"}
    measures: dict[str, dict[str, float]] = {name: {} for name in (*sorted(run), "average")}
    for item in read_items(scores):
        means = item.means()
        for name, mean in means.items():
            measures[name][item.key] = 20 * mean
        if means.keys() == run:
            measures["average"][item.key] = 20 * fmean(means.values())
    return measures | ({ACTION: named_actions(predictions)} if actions else {})


def named_actions(predictions: Path) -> dict[str, float]:
    """100 for each clip whose caption names its action, else 0; a clip without a caption names none. By item key."""
    from data_curation.captioning.kinematics import named_action
    from ski_lvlm.datasets.ntu import parse_name

    return {
        f"{item['video_name']}_0": 100.0
        * (named_action(item.get("pred") or "") == parse_name(item["video_name"]).action)
        for item in json.loads(predictions.read_text(encoding="utf-8"))
    }


def over_videos(items: Items) -> Interval | None:
    """95 % bootstrap interval of the mean when videos are drawn, each with all of its items; None for a single video.

    >>> over_videos({"v_0": 50.0, "v_1": 50.0, "w_0": 50.0})
    (50.0, 50.0)
    """
    return mean_interval(grouped((Item(key).video_name, value) for key, value in items.items()))


def over_trainings(means: Sequence[float]) -> Interval | None:
    """95 % interval of the mean by Student's t, when trainings are drawn anew; None for a single one.

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
class Number:
    """One cell: mean over trainings, their standard deviation, interval over videos, and each training's own mean."""

    mean: float
    spread: float | None
    interval: Interval | None
    per_training: tuple[float, ...]
    items: int


def number(trainings: Sequence[Training], measure: str) -> Number | None:
    """The cell of one row, or None where nothing was measured."""
    found = [training[measure] for training in trainings if training.get(measure)]
    if not found:
        return None
    means = tuple(fmean(items.values()) for items in found)
    each = _by_item(found)
    return Number(fmean(means), stdev(means) if len(means) > 1 else None, over_videos(each), means, len(each))


def _by_item(trainings: Sequence[Items]) -> Items:
    """The mean over trainings of each item that any of them has."""
    keys = {key for items in trainings for key in items}
    return {key: fmean(items[key] for items in trainings if key in items) for key in keys}


@dataclass(frozen=True)
class Comparison:
    """A row minus its baseline, over the same items in trainings of the same seed."""

    row: str
    baseline: str
    measure: str
    difference: float
    over_videos: Interval | None
    over_trainings: Interval | None
    items: int
    trainings: int

    @property
    def verdict(self) -> str:
        """Better or worse only if neither other videos nor other trainings are likely to turn it."""
        if self.over_trainings is None or self.over_videos is None:
            return f"no conclusion: one {'video' if self.over_videos is None else 'training'}"
        intervals = (self.over_videos, self.over_trainings)
        if all(low > 0 for low, _ in intervals):
            return "better"
        return "worse" if all(high < 0 for _, high in intervals) else "not told apart"


def compare(
    row: Mapping[int, Training], baseline: Mapping[int, Training], *, names: tuple[str, str], measure: str
) -> Comparison | None:
    """The paired difference of trainings by seed; None where no seed has both. Items that one of them lacks are left
    out."""
    differences = []
    for seed in sorted(row.keys() & baseline.keys()):
        ours, theirs = row[seed].get(measure, {}), baseline[seed].get(measure, {})
        differences.append({key: ours[key] - theirs[key] for key in ours if key in theirs})
    differences = [items for items in differences if items]
    if not differences:
        return None
    means, each = [fmean(items.values()) for items in differences], _by_item(differences)
    intervals = over_videos(each), over_trainings(means)
    return Comparison(*names, measure, fmean(means), *intervals, len(each), len(means))
