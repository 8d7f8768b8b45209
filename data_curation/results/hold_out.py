"""Which clips are held out of training to watch its progress: single performances, or all clips of some subjects."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Literal, get_args

from ski_lvlm.datasets.ntu import parse_name
from ski_lvlm.storage.digests import digest_number

By = Literal["clip", "subject"]


def hold_out(clips: Iterable[str], *, share: float, by: By = "clip", seed: int = 0) -> frozenset[str]:
    """The clips for validation, about `share` of all; the order in which clips are given does not matter.

    By `clip`, a hash of its name decides, so a clip stays on its side when others are added or left out, and a larger
    share only adds clips. Assumption: the views of one performance by NTU's three cameras go together, since otherwise
    what is held out would be seen in training from the side. By `subject`, the subjects are chosen whose clips come
    closest to `share` of every action; this choice depends on all clips.

    Raises:
        ValueError: `share` outside [0, 1), unknown `by`; by `subject`: fewer than two, or names that are not NTU's.
    """
    names = sorted(set(clips))
    if not 0 <= share < 1:
        raise ValueError(f"the share to hold out is {share}; expected 0 (nothing) or more, and less than 1")
    if by not in get_args(By):
        raise ValueError(f"cannot hold out by {by!r}; expected one of {', '.join(get_args(By))}")
    if share == 0:
        return frozenset()
    if by == "clip":
        return frozenset(name for name in names if _draw(_performance(name), seed) < share)
    chosen = _subjects(names, share, seed)
    return frozenset(name for name in names if parse_name(name).performer in chosen)


def _draw(what: object, seed: int) -> float:
    """A number in [0, 1) that depends on nothing but its arguments."""
    return digest_number(f"hold out {seed} {what}") / 2**64


def _performance(name: str) -> str:
    try:
        return str(parse_name(name)._replace(camera=0))
    except ValueError:
        return name


def _subjects(names: list[str], share: float, seed: int) -> frozenset[int]:
    """Add one subject after another as long as the actions' shares come closer to `share`: at least one, never all."""
    clips_of: dict[int, Counter[int]] = defaultdict(Counter)
    for name in map(parse_name, names):
        clips_of[name.performer][name.action] += 1
    if len(clips_of) < 2:
        raise ValueError(
            f"found clips of {len(clips_of)} subjects, expected two or more to hold out one of them; hold out by clip"
        )
    total = sum(clips_of.values(), Counter())
    left = sorted(clips_of, key=lambda subject: (_draw(subject, seed), subject))
    chosen: list[int] = []
    held: Counter[int] = Counter()
    while len(left) > 1:
        best = min(left, key=lambda subject: _unevenness(held + clips_of[subject], total, share))
        if chosen and _unevenness(held + clips_of[best], total, share) >= _unevenness(held, total, share):
            break
        left.remove(best)
        chosen.append(best)
        held += clips_of[best]
    return frozenset(chosen)


def _unevenness(held: Counter[int], total: Counter[int], share: float) -> float:
    return sum((held[action] / count - share) ** 2 for action, count in total.items())
