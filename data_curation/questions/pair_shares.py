"""The number of question-answer pairs of each clip, evenly distributed over classes and clips."""

from collections import defaultdict
from collections.abc import Iterable

from ski_lvlm.datasets.catalogue import DataSet
from ski_lvlm.storage.digests import digest

PAIRS = 100_000  # Paper: Sec. 4, Datasets.
MAX_PER_CLIP = 6  # Assumption: as in the published code. More would repeat themselves


def planned_pairs(names: Iterable[str], *, data: DataSet, pairs: int | None, per_clip: int | None) -> dict[str, int]:
    """Return the number of pairs of each clip: `per_clip`, or a share of `pairs` (the paper's number).

    Raises:
        ValueError: fewer than one.
    """
    if per_clip is None:
        return pair_shares(names, data=data, pairs=PAIRS if pairs is None else pairs)
    if per_clip < 1:
        raise ValueError(f"--pairs_per_clip is {per_clip}; expected 1 or more")
    return dict.fromkeys(names, per_clip)


def pair_shares(names: Iterable[str], *, data: DataSet, pairs: int, maximum: int = MAX_PER_CLIP) -> dict[str, int]:
    """Distribute `pairs` evenly over the classes, then over the clips of each, at most `maximum` a clip.

    Pairs that a class with few clips cannot take go to the others. A hash of the names selects the clips of a class
    that get one more. Names keep their order.

    Raises:
        ValueError: `pairs` is below 1.
    """
    if pairs < 1:
        raise ValueError(f"--pairs is {pairs}; expected 1 or more")
    by_class: dict[int, list[str]] = defaultdict(list)
    names = list(names)
    for name, label in zip(names, data.labels(names, classes=data.class_names), strict=True):
        by_class[label].append(name)
    room = {label: maximum * len(clips) for label, clips in by_class.items()}
    shares: dict[str, int] = {}
    for label, share in _evenly(room, pairs).items():
        shares |= _over_clips(by_class[label], share)
    return {name: shares[name] for name in names}


def _evenly(room: dict[int, int], total: int) -> dict[int, int]:
    """Distribute a total, filling the smallest rooms first, so that the larger ones share the remainder."""
    remainder, filled = min(total, sum(room.values())), {}
    ordered = sorted(room, key=lambda label: (room[label], label))
    for position, label in enumerate(ordered):
        filled[label] = min(room[label], remainder // (len(ordered) - position))
        remainder -= filled[label]
    return filled


def _over_clips(clips: list[str], share: int) -> dict[str, int]:
    each, odd = divmod(share, len(clips))
    selected = set(sorted(clips, key=lambda name: digest(name, length=64))[:odd])
    return {name: each + (name in selected) for name in clips}
