"""Validation clips, held out of training: single performances, or all clips of some subjects."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Literal, get_args

from ski_lvlm.datasets.ntu import parse_name
from ski_lvlm.storage.digests import digest_number

By = Literal["clip", "subject"]


def hold_out(clips: Iterable[str], *, share: float, by: By = "clip", seed: int = 0) -> frozenset[str]:
    """Return the validation clips, about `share` of all, independently of their order.

    By `clip`, a hash of its name decides, so a clip stays on its side when others are added or removed, and a larger
    share only adds clips. Assumption: the views of one performance by NTU's three cameras stay together, because
    otherwise training would contain held-out performances from the side. By `subject`, the clips of the
    selected subjects come closest to `share` of every action. This selection depends on all clips.

    Raises:
        ValueError: `share` is outside [0, 1), `by` is unknown, or by `subject` there are fewer than two.
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
    subjects = _subjects(names, share, seed)
    return frozenset(name for name in names if parse_name(name).performer in subjects)


def _draw(unit: object, seed: int) -> float:
    """Return a number in [0, 1) that depends only on its arguments."""
    return digest_number(f"hold out {seed} {unit}") / 2**64


def _performance(name: str) -> str:
    try:
        return str(parse_name(name)._replace(camera=0))
    except ValueError:
        return name


def _subjects(names: list[str], share: float, seed: int) -> frozenset[int]:
    """Select subjects, at least one and never all, while the actions' shares come closer to `share`."""
    clips_of: dict[int, Counter[int]] = defaultdict(Counter)
    for name in map(parse_name, names):
        clips_of[name.performer][name.action] += 1
    if len(clips_of) < 2:
        raise ValueError(
            f"found clips of {len(clips_of)} subjects, expected two or more to hold out one of them; hold out by clip"
        )
    total = sum(clips_of.values(), Counter())
    candidates = sorted(clips_of, key=lambda subject: (_draw(subject, seed), subject))
    selected: list[int] = []
    counts: Counter[int] = Counter()
    while len(candidates) > 1:
        best = min(candidates, key=lambda subject: _unevenness(counts + clips_of[subject], total, share))
        if selected and _unevenness(counts + clips_of[best], total, share) >= _unevenness(counts, total, share):
            break
        candidates.remove(best)
        selected.append(best)
        counts += clips_of[best]
    return frozenset(selected)


def _unevenness(counts: Counter[int], total: Counter[int], share: float) -> float:
    return sum((counts[action] / count - share) ** 2 for action, count in total.items())
