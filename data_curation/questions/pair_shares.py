"""The number of question-answer pairs of each clip, evenly distributed over classes and clips."""

from collections import defaultdict
from collections.abc import Iterable

from ski_lvlm.datasets.ntu import parse_name
from ski_lvlm.storage.digests import digest

PAIRS = 100_000  # Paper: Sec. 4, Datasets.
MAX_PER_CLIP = 6  # Assumption: as in the published code. More would repeat themselves


def planned_pairs(names: Iterable[str], *, pairs: int | None, per_clip: int | None) -> dict[str, int]:
    """Return the number of pairs of each clip: `per_clip`, or a share of `pairs` (the paper's number).

    Raises:
        ValueError: fewer than one.
    """
    if per_clip is None:
        return pair_shares(names, pairs=PAIRS if pairs is None else pairs)
    if per_clip < 1:
        raise ValueError(f"--pairs_per_clip is {per_clip}; expected 1 or more")
    return dict.fromkeys(names, per_clip)


def pair_shares(names: Iterable[str], *, pairs: int, maximum: int = MAX_PER_CLIP) -> dict[str, int]:
    """Distribute `pairs` evenly over the actions, then over the clips of each, at most `maximum` a clip.

    Pairs that an action with few clips cannot take go to the others. A hash of the names selects the clips of an action
    that get one more. Names keep their order.

    >>> pair_shares(["S001C001P001R001A001", "S001C001P002R001A001", "S001C001P001R001A002"], pairs=4, maximum=2)
    {'S001C001P001R001A001': 1, 'S001C001P002R001A001': 1, 'S001C001P001R001A002': 2}

    Raises:
        ValueError: `pairs` is below 1.
    """
    if pairs < 1:
        raise ValueError(f"--pairs is {pairs}; expected 1 or more")
    by_action: dict[int, list[str]] = defaultdict(list)
    names = list(names)
    for name in names:
        by_action[parse_name(name).action].append(name)
    room = {action: maximum * len(clips) for action, clips in by_action.items()}
    shares: dict[str, int] = {}
    for action, share in _evenly(room, pairs).items():
        shares |= _over_clips(by_action[action], share)
    return {name: shares[name] for name in names}


def _evenly(room: dict[int, int], total: int) -> dict[int, int]:
    """Distribute a total, filling the smallest rooms first, so that the larger ones share the remainder."""
    remainder, filled = min(total, sum(room.values())), {}
    ordered = sorted(room, key=lambda action: (room[action], action))
    for position, action in enumerate(ordered):
        filled[action] = min(room[action], remainder // (len(ordered) - position))
        remainder -= filled[action]
    return filled


def _over_clips(clips: list[str], share: int) -> dict[str, int]:
    each, odd = divmod(share, len(clips))
    selected = set(sorted(clips, key=lambda name: digest(name, length=64))[:odd])
    return {name: each + (name in selected) for name in clips}
