"""The recordings of NTU RGB+D 60 and 120, and the parts of their names.

Everything else that is known of them is in `descriptions/`, as for any data set.
"""

import re
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from ski_lvlm.datasets.catalogue import open_data_set
from ski_lvlm.storage.clip_names import clip_name

NtuName = Literal["ntu60", "ntu120"]
NTU = get_args(NtuName)

_NAME = re.compile(r"S(\d{3})C(\d{3})P(\d{3})R(\d{3})A(\d{3})")
_PERFORMERS = Path(__file__).parent / "descriptions" / "ntu_performers.txt"
_LAST_SETUP_OF_NTU60 = 17


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
def all_names(dataset: str) -> tuple[str, ...]:
    """Return every clip that was recorded, in ascending order: 56,880 of NTU60, 114,480 of NTU120."""
    lines = _PERFORMERS.read_text(encoding="ascii").splitlines()
    names = []
    for setup, performers in (line.split(":") for line in lines if not line.startswith("#")):
        if dataset == "ntu60" and int(setup) > _LAST_SETUP_OF_NTU60:
            break
        actions = range(1, 61) if int(setup) <= _LAST_SETUP_OF_NTU60 else range(61, 121)
        grid = ((c, int(p), r, a) for c in (1, 2, 3) for p in performers.split() for r in (1, 2) for a in actions)
        names += [str(ClipName(int(setup), *parts)) for parts in grid]
    return tuple(names)


@cache
def names_with_skeleton(dataset: str) -> tuple[str, ...]:
    """Return the clips with a usable skeleton, in ascending order: 56,578 of NTU60, 113,945 of NTU120."""
    missing = open_data_set(dataset).description.without_skeleton
    return tuple(name for name in all_names(dataset) if name not in missing)
