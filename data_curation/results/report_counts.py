"""The counts of a curation run: clips at each step, reasons of rejected ones, pairs by action and part."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from data_curation.ledger import Record, done
from ski_lvlm.datasets.catalogue import DataSet

Steps = Mapping[str, Mapping[str, Record]]
NAMES_SHOWN = 5
# An HTTP status belongs to the reason, other numbers vary.
_VARIES = re.compile(r"(?<!\S)\S*/\S+|(?<!answered )(?<!\d)\d+(?:[.,]\d+)*")


class StepCount(NamedTuple):
    """The clips of one step. `held_back` passed the step before but were not sent to this one."""

    step: str
    entered: int
    done: int
    rejected: int
    failed: int
    held_back: int


class Reason(NamedTuple):
    """One reason for leaving something out, its count, a few clips, and an example."""

    reason: str
    times: int
    names: list[str]
    example: str


class ActionCount(NamedTuple):
    """Clips and pairs of one action."""

    action: str
    clips: int
    with_pairs: int
    pairs: int


class PartCount(NamedTuple):
    """The clips of one part of the split."""

    part: str
    clips: int
    actions: int
    cropped: int
    captioned: int
    with_pairs: int
    pairs: int


def step_counts(steps: Steps) -> list[StepCount]:
    """Return the counts of every step, in order.

    >>> step_counts({"crop": {"a": {"status": "done"}, "b": {"status": "rejected"}}, "caption": {}})[1].held_back
    1
    """
    counts, passed = [], None
    for step, records in steps.items():
        counts_by_status = Counter(record["status"] for record in records.values())
        held_back = 0 if passed is None else len(passed - records.keys())
        counts.append(
            StepCount(
                step,
                len(records),
                counts_by_status["done"],
                counts_by_status["rejected"],
                counts_by_status["failed"],
                held_back,
            )
        )
        passed = done(records).keys()
    return counts


def discrepancies(steps: Steps, parts: Mapping[str, Sequence[str]]) -> list[str]:
    """Return messages about counts that do not add up, skipped steps, and clips in two parts."""
    messages = [
        f"{row.step}: {row.entered} went in, not {row.done} done + {row.rejected} rejected + {row.failed} failed"
        for row in step_counts(steps)
        if row.entered != row.done + row.rejected + row.failed
    ]
    for (before, passing), (step, records) in zip(list(steps.items())[:-1], list(steps.items())[1:], strict=True):
        skipped = records.keys() - done(passing).keys()
        if skipped:
            messages.append(f"{step}: {len(skipped)} clips went in that {before} did not pass, such as {min(skipped)}")
    times = Counter(name for names in parts.values() for name in names)
    double = [name for name, count in times.items() if count > 1]
    if double:
        messages.append(f"parts: {len(double)} clips are listed more than once, such as {min(double)}")
    return messages


def reasons(items: Iterable[tuple[str, str, str]]) -> list[Reason]:
    """Group (clip, reason, wording) by reason, most frequent first, ignoring clips, paths and numbers in it.

    >>> reasons([("a", "frame 3 is black", "x"), ("b", "frame 5 is black", "y")])
    [Reason(reason='frame … is black', times=2, names=['a', 'b'], example='x')]
    """
    counts: Counter[str] = Counter()
    names: dict[str, dict[str, None]] = {}
    examples: dict[str, str] = {}
    for name, reason, wording in items:
        general = _VARIES.sub("…", _without_clip(reason, name))
        counts[general] += 1
        examples.setdefault(general, wording)
        listed = names.setdefault(general, {})
        if len(listed) < NAMES_SHOWN:
            listed[name] = None
    return [Reason(general, count, list(names[general]), examples[general]) for general, count in counts.most_common()]


def _without_clip(reason: str, name: str) -> str:
    """Return a reason without the clip's name, and without the name of a file of the clip.

    >>> _without_clip("wave 1_rgb.avi: wave 12 is black", "wave 1")
    '….avi: wave 12 is black'
    """
    return re.sub(rf"(?<!\w){re.escape(name)}(?![^\W_])\w*", "…", reason)


def clips_left_out(steps: Steps) -> dict[str, list[Reason]]:
    """Return the reasons of each step and status, under a title such as "crop: rejected"."""
    by_title = {}
    for step, records in steps.items():
        for status in ("rejected", "failed"):
            items = [
                (name, record["reason"], record["reason"])
                for name, record in records.items()
                if record["status"] == status
            ]
            if items:
                by_title[f"{step}: {status}"] = reasons(items)
    return by_title


def pairs_left_out(qa: Mapping[str, Record]) -> list[Reason]:
    """Return the reasons of rejected pairs, also of clips without any pair."""
    return reasons(
        (name, reject["reason"], reject["text"]) for name, record in qa.items() for reject in record.get("rejects", ())
    )


def pairs_by_clip(steps: Steps) -> dict[str, int]:
    """Return the number of pairs of each clip of the run."""
    counts = {name: len(record["pairs"]) for name, record in done(steps["qa"]).items()}
    return dict.fromkeys(steps["crop"], 0) | counts


def action_counts(pairs: Mapping[str, int], *, data: DataSet) -> list[ActionCount]:
    """Count clips and pairs of every class that has clips, in the data set's order.

    Raises:
        ValueError: a clip is not of the data set.
    """
    if not pairs:
        return []
    clips: Counter[int] = Counter()
    with_pairs: Counter[int] = Counter()
    total: Counter[int] = Counter()
    for label, count in zip(data.labels(list(pairs), classes=data.class_names), pairs.values(), strict=True):
        clips[label] += 1
        with_pairs[label] += count > 0
        total[label] += count
    titles = [f"{action.id} {action.name}" for action in data.description.classes]
    return [ActionCount(titles[label], clips[label], with_pairs[label], total[label]) for label in sorted(clips)]


def part_counts(
    parts: Mapping[str, Sequence[str]], *, data: DataSet, steps: Steps, pairs: Mapping[str, int]
) -> list[PartCount]:
    """Count the clips of each part at each step."""
    cropped, captioned = done(steps["crop"]), done(steps["caption"])
    return [
        PartCount(
            part,
            clips=len(names),
            actions=len(set(data.classes_of(names))) if names else 0,
            cropped=sum(name in cropped for name in names),
            captioned=sum(name in captioned for name in names),
            with_pairs=sum(pairs.get(name, 0) > 0 for name in names),
            pairs=sum(pairs.get(name, 0) for name in names),
        )
        for part, names in parts.items()
    ]


def found_by(crops: Mapping[str, Record]) -> dict[str, int]:
    """Count the crops by the way in which persons were found, most frequent first."""
    ways = Counter(record.get("found_by", "not recorded") for record in done(crops).values())
    return dict(ways.most_common())
