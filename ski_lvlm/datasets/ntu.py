"""Facts about NTU RGB+D 60 and 120: clip names, class names, protocols, missing skeletons and zero-shot splits.

Actions are NTU's own numbers, counted from 1 (A1 is "drink water").
"""

import csv
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

from ski_lvlm.storage.clip_names import clip_name

Dataset = Literal["ntu60", "ntu120"]
Protocol = Literal["xsub", "xview", "xset", "synthetic"]
Part = Literal["seen_train", "seen_test", "unseen_test", "unseen_all"]

_DATA = Path(__file__).parent / "data"
_NAME = re.compile(r"S(\d{3})C(\d{3})P(\d{3})R(\d{3})A(\d{3})")
_LAST_SETUP_OF_NTU60 = 17
_LAST_SYNTHETIC_TRAIN_SUBJECT = 8
_TRAIN_SUBJECTS = frozenset(
    [1, 2, 4, 5, 8, 9, 13, 14, 15, 16, 17, 18, 19, 25, 27, 28, 31, 34, 35, 38]  # NTU60
    + [45, 46, 47, 49, 50, 52, 53, 54, 55, 56, 57, 58, 59, 70, 74, 78, 80, 81, 82, 83, 84, 85, 86]  # added by NTU120
    + [89, 91, 92, 93, 94, 95, 97, 98, 100, 103]
)


class ClipName(NamedTuple):
    """Parts of the name of a recording."""

    setup: int
    camera: int
    performer: int
    replication: int
    action: int

    def __str__(self) -> str:
        return "S{:03}C{:03}P{:03}R{:03}A{:03}".format(*self)


@cache
def parse_name(name: str) -> ClipName:
    """Parse a clip's name. It may have a folder, an ending such as `_rgb` and the suffix of a file.

    >>> parse_name("rgb/S018C003P008R001A061_rgb.avi")
    ClipName(setup=18, camera=3, performer=8, replication=1, action=61)
    """
    match = _NAME.fullmatch(name) or _NAME.fullmatch(clip_name(name))
    if not match:
        raise ValueError(
            f"{name!r} is not an NTU clip name; expected SsssCcccPpppRrrrAaaa such as S001C001P001R001A001, "
            "with or without _rgb and an extension: rename the file"
        )
    return ClipName(*map(int, match.groups()))


@cache
def _class_table() -> list[dict[str, str]]:
    with (_DATA / "ntu_class_names.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def class_names(style: str = "canonical", *, actions: Sequence[int] = range(1, 121)) -> list[str]:
    """Return the names of `actions`, all 120 by default, in one of the published spellings.

    `canonical` is ours (NTU's names with typing errors corrected), `ntu` the data set's own, `ski` the paper's NTU120
    label files and `ski60` its NTU60 ones, `star` and `synse` those projects' (SynSE published only unseen ones).

    >>> class_names()[0], class_names("star", actions=[44, 95])
    ('drink water', ['headache', 'capitulate'])

    Raises:
        ValueError: no such style, or the style has no name for an action.
    """
    table = _class_table()
    if style not in table[0] or style == "action":
        raise ValueError(f"unknown spelling {style!r} of class names; expected one of {', '.join(list(table[0])[1:])}")
    names = [table[a - 1][style] if 1 <= a <= len(table) else "" for a in actions]
    unknown = [f"A{a}" for a, name in zip(actions, names, strict=True) if not name]
    if unknown:
        raise ValueError(f"no {style!r} spelling is known of {', '.join(unknown)}; use 'canonical' names for these")
    return names


@cache
def missing_skeletons(dataset: Dataset) -> frozenset[str]:
    """Return the clips without a usable skeleton: 302 in NTU60, 535 in NTU120."""
    lines = (_DATA / "ntu_missing_skeletons.txt").read_text(encoding="ascii").splitlines()
    names = [line for line in lines if not line.startswith("#")]
    return frozenset(n for n in names if dataset == "ntu120" or parse_name(n).setup <= _LAST_SETUP_OF_NTU60)


@cache
def all_names(dataset: Dataset) -> tuple[str, ...]:
    """Return every clip that was recorded, in ascending order: 56,880 of NTU60, 114,480 of NTU120."""
    lines = (_DATA / "ntu_performers.txt").read_text(encoding="ascii").splitlines()
    names = []
    for setup, performers in (line.split(":") for line in lines if not line.startswith("#")):
        if dataset == "ntu60" and int(setup) > _LAST_SETUP_OF_NTU60:
            break
        actions = range(1, 61) if int(setup) <= _LAST_SETUP_OF_NTU60 else range(61, 121)
        grid = ((c, int(p), r, a) for c in (1, 2, 3) for p in performers.split() for r in (1, 2) for a in actions)
        names += [str(ClipName(int(setup), *parts)) for parts in grid]
    return tuple(names)


@cache
def names_with_skeleton(dataset: Dataset) -> tuple[str, ...]:
    """Return the clips with a usable skeleton, in ascending order: 56,578 of NTU60, 113,945 of NTU120."""
    missing = missing_skeletons(dataset)
    return tuple(name for name in all_names(dataset) if name not in missing)


def is_train(name: str, protocol: Protocol) -> bool:
    """Return whether the protocol trains on the clip.

    `xsub` splits by performer, `xview` by camera (1 is for testing), and `xset` by set-up (odd ones are for testing).
    The synthetic set trains on performers 1 to 8.
    """
    return _training_rule(protocol)(parse_name(name))


def _training_rule(protocol: Protocol) -> Callable[[ClipName], bool]:
    rules: dict[str, Callable[[ClipName], bool]] = {
        "xsub": lambda clip: clip.performer in _TRAIN_SUBJECTS,
        "xview": lambda clip: clip.camera != 1,
        "xset": lambda clip: clip.setup % 2 == 0,
        "synthetic": lambda clip: clip.performer <= _LAST_SYNTHETIC_TRAIN_SUBJECT,
    }
    if protocol not in rules:
        raise ValueError(f"unknown protocol {protocol!r}; expected one of {', '.join(rules)}")
    return rules[protocol]


@dataclass(frozen=True)
class Split:
    """The seen actions, on which a zero-shot model is trained, and the unseen ones, both ascending."""

    name: str
    dataset: str
    seen: tuple[int, ...]
    unseen: tuple[int, ...]


def _split(name: str, num_actions: int, unseen: Sequence[int]) -> Split:
    seen_actions = tuple(a for a in range(1, num_actions + 1) if a not in unseen)
    return Split(name, name.split("/", maxsplit=1)[0], seen_actions, tuple(unseen))


def _synthetic(name: str, unseen: Sequence[int]) -> Split:
    return Split(name, "synthetic", tuple(a for a in SYNTHETIC_ACTIONS if a not in unseen), tuple(unseen))


SYNTHETIC_ACTIONS = (1, 5, 6, 7, 8, 9, 10, 23, 27, 28, 29, 50, 58, 59, 60, 64)
SPLITS: dict[str, Split] = {
    split.name: split
    for split in (
        _split("ntu60/55-5", 60, [11, 12, 20, 27, 57]),
        _split("ntu60/48-12", 60, [4, 6, 10, 13, 16, 41, 43, 48, 52, 57, 59, 60]),
        _split("ntu120/110-10", 120, [5, 14, 38, 44, 50, 66, 89, 96, 100, 107]),
        _split(
            *("ntu120/96-24", 120),
            [6, 10, 12, 17, 19, 21, 23, 30, 36, 40, 46, 50, 60, 69, 71, 82, 85, 88, 94, 95, 105, 114, 115, 120],
        ),
        _synthetic("synthetic", (6, 23, 60, 64)),
        _synthetic("synthetic/1", (1, 8, 27, 50)),
        _synthetic("synthetic/2", (5, 9, 28, 58)),
    )
}


def split_named(name: str) -> Split:
    """Return the zero-shot split called `name`."""
    if name not in SPLITS:
        raise ValueError(f"unknown split {name!r}; expected one of {', '.join(SPLITS)}")
    return SPLITS[name]


def split_class_names(split: Split, style: str, *, actions: Sequence[int]) -> list[str]:
    """Return the names of a split's actions. The spelling `ski` differs between NTU60 and NTU120."""
    return class_names("ski60" if (style, split.dataset) == ("ski", "ntu60") else style, actions=actions)


def clips(names: Iterable[str], *, split: Split, protocol: Protocol, part: Part) -> list[str]:
    """Return those of `names` that belong to one part of a split, in the given order.

    The synthetic split has its own division by performer, whatever the protocol.

    Assumption: the paper does not say whether unseen classes are tested on the protocol's test clips (`unseen_test`,
    as in other papers) or on all of their clips (`unseen_all`). Both are offered.
    """
    is_for_training = _training_rule("synthetic" if split.dataset == "synthetic" else protocol)
    actions = frozenset(split.seen if part.startswith("seen") else split.unseen)
    clips_of_actions = {name: clip for name in names if (clip := parse_name(name)).action in actions}
    if part == "unseen_all":
        return list(clips_of_actions)
    return [name for name, clip in clips_of_actions.items() if is_for_training(clip) == (part == "seen_train")]


def labels(names: Iterable[str], *, actions: Sequence[int]) -> list[int]:
    """Return each clip's class as an index into `actions`.

    >>> labels(["S001C001P001R001A012"], actions=SPLITS["ntu60/55-5"].unseen)
    [1]
    """
    index = {action: i for i, action in enumerate(actions)}
    return [index[parse_name(name).action] for name in names]
