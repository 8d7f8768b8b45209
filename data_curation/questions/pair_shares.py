"""How many question-answer pairs each clip gives, so that they are drawn evenly over classes and clips."""

from collections import defaultdict
from collections.abc import Iterable

from ski_lvlm.datasets.ntu import parse_name
from ski_lvlm.storage.digests import digest

PAIRS = 100_000  # Paper: Sec. 4, Datasets.
MOST_PER_CLIP = 6  # Assumption: as many as the published code makes of a clip; more repeat themselves


def wanted_pairs(names: Iterable[str], *, pairs: int | None, per_clip: int | None) -> dict[str, int]:
    """How many pairs each clip is to give: `per_clip` of each, or `pairs` (the paper's number) shared out.

    Raises:
        ValueError: fewer than one.
    """
    if per_clip is None:
        return pair_shares(names, pairs=PAIRS if pairs is None else pairs)
    if per_clip < 1:
        raise ValueError(f"--pairs_per_clip is {per_clip}; expected 1 or more")
    return dict.fromkeys(names, per_clip)


def pair_shares(names: Iterable[str], *, pairs: int, most: int = MOST_PER_CLIP) -> dict[str, int]:
    """Share `pairs` out, first evenly over the actions, then evenly over the clips of each, at most `most` a clip.

    What an action with few clips cannot take is given to the others. Which clips of an action get the odd pair follows
    from their names alone. Names keep their order.

    >>> pair_shares(["S001C001P001R001A001", "S001C001P002R001A001", "S001C001P001R001A002"], pairs=4, most=2)
    {'S001C001P001R001A001': 1, 'S001C001P002R001A001': 1, 'S001C001P001R001A002': 2}

    Raises:
        ValueError: no pairs wanted.
    """
    if pairs < 1:
        raise ValueError(f"--pairs is {pairs}; expected 1 or more")
    by_action: dict[int, list[str]] = defaultdict(list)
    names = list(names)
    for name in names:
        by_action[parse_name(name).action].append(name)
    room = {action: most * len(clips) for action, clips in by_action.items()}
    shares: dict[str, int] = {}
    for action, share in _evenly(room, pairs).items():
        shares |= _over_clips(by_action[action], share)
    return {name: shares[name] for name in names}


def _evenly(room: dict[int, int], total: int) -> dict[int, int]:
    """Fill the smallest rooms first: what they cannot take is left to be shared by the larger ones."""
    left, given = min(total, sum(room.values())), {}
    ordered = sorted(room, key=lambda action: (room[action], action))
    for position, action in enumerate(ordered):
        given[action] = min(room[action], left // (len(ordered) - position))
        left -= given[action]
    return given


def _over_clips(clips: list[str], share: int) -> dict[str, int]:
    each, odd = divmod(share, len(clips))
    drawn = set(sorted(clips, key=lambda name: digest(name, length=64))[:odd])
    return {name: each + (name in drawn) for name in clips}
