"""Validation clips, held out of training: single performances, or all clips of some subjects."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, get_args

from ski_lvlm.datasets.catalogue import DataSet
from ski_lvlm.datasets.clip_groups import performances, recordings
from ski_lvlm.storage.digests import digest_number

By = Literal["clip", "subject"]
SUBJECT = "subject"


def hold_out(clips: Iterable[str], *, data: DataSet, share: float, by: By = "clip", seed: int = 0) -> frozenset[str]:
    """Return the validation clips, about `share` of all, independently of their order.

    By `clip`, a hash of its name decides, so a clip stays on its side when others are added or removed, and a larger
    share only adds clips. Assumption: the views of one performance, as by NTU's three cameras, stay together, because
    otherwise training would contain held-out performances from the side. By `subject`, the clips of the
    selected subjects come closest to `share` of every class. This selection depends on all clips.

    Raises:
        ValueError: `share` is outside [0, 1), `by` is unknown, or by `subject` there are fewer than two, or none known.
    """
    names = sorted(set(clips))
    if not 0 <= share < 1:
        raise ValueError(f"the share to hold out is {share}; expected 0 (nothing) or more, and less than 1")
    if by not in get_args(By):
        raise ValueError(f"cannot hold out by {by!r}; expected one of {', '.join(get_args(By))}")
    if share == 0:
        return frozenset()
    if by == "clip":
        units = zip(names, performances(data, names), strict=True)
        return frozenset(name for name, unit in units if _draw(unit, seed) < share)
    subject_of = subjects(names, data=data)
    labels = data.labels(names, classes=data.class_names) if names else []
    selected = _selected_subjects(list(subject_of.values()), labels, share, seed)
    return frozenset(name for name in names if subject_of[name] in selected)


def subjects(names: Sequence[str], *, data: DataSet) -> Mapping[str, object]:
    """Return the subject of each clip.

    Raises:
        ValueError: the clips have no such column, or it is empty for one of them.
    """
    if not names:
        return {}
    columns = recordings(data, names)
    if SUBJECT not in columns[0]:
        raise ValueError(
            f"the clips of {data.name} have no column {SUBJECT!r}, only {', '.join(columns[0]) or 'class'}; add it, or "
            "divide by clip"
        )
    subject_of = {name: recording[SUBJECT] for name, recording in zip(names, columns, strict=True)}
    if unknown := [name for name, subject in subject_of.items() if subject is None]:
        raise ValueError(
            f"the subject of {len(unknown)} clips of {data.name} is empty, such as {unknown[0]!r}; fill it in, or "
            "divide by clip"
        )
    return subject_of


def _draw(unit: object, seed: int) -> float:
    """Return a number in [0, 1) that depends only on its arguments."""
    return digest_number(f"hold out {seed} {unit}") / 2**64


def _selected_subjects(
    subject_of_each: Sequence[object], labels: Sequence[int], share: float, seed: int
) -> frozenset[object]:
    """Select subjects, at least one and never all, while the classes' shares come closer to `share`."""
    clips_of: dict[object, Counter[int]] = defaultdict(Counter)
    for subject, label in zip(subject_of_each, labels, strict=True):
        clips_of[subject][label] += 1
    if len(clips_of) < 2:
        raise ValueError(
            f"found clips of {len(clips_of)} subjects, expected two or more to hold out one of them; hold out by clip"
        )
    total = sum(clips_of.values(), Counter())
    candidates = sorted(clips_of, key=lambda subject: (_draw(subject, seed), str(subject)))
    selected: list[object] = []
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
    return sum((counts[label] / count - share) ** 2 for label, count in total.items())
