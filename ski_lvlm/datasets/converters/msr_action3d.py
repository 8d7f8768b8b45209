"""MSR-Action3D: text files `aAA_sSS_eEE_skeleton3D.txt`, a joint a line, 20 actions of 10 persons.

Source: Li, Zhang, Liu, "Action recognition based on a bag of 3D points", CVPR 2010 workshops.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32

from ski_lvlm.datasets.converters.conversion import Conversion, Row, class_name, numbered, odd_and_even
from ski_lvlm.datasets.converters.files import files_of, matched, none_of, videos_of
from ski_lvlm.datasets.converters.number_text import read_numbers
from ski_lvlm.skeletons.centring import CENTRED, centred, up, without_zeros
from ski_lvlm.skeletons.layouts import layout_named

CLASSES = numbered(
    [
        *("high arm wave", "horizontal arm wave", "hammer", "hand catch", "forward punch", "high throw", "draw x"),
        *("draw tick", "draw circle", "hand clap", "two hand wave", "side boxing", "bend", "forward kick", "side kick"),
        *("jogging", "tennis swing", "tennis serve", "golf swing", "pick up and throw"),
    ]
)
_LAYOUT = layout_named("kinect-20")
# Assumption: of each pair of joints the first is the left one. The data set's own description does not say. With this
# order nearly all throws, serves and drawings are done with the right hand, and left is where other Kinect data has it.
_ORDER = [6, 3, 2, 19, 0, 7, 9, 11, 1, 8, 10, 12, 4, 13, 15, 17, 5, 14, 16, 18]
_NAME = r"(?P<clip>a(?P<action>\d+)_s(?P<subject>\d+)_e(?P<take>\d+))(?:_skeleton(?:3d|_3d|_proj)?)?"
_FARTHEST = 20.0  # metres; a larger x or y is a pixel
_NUM_SAMPLES = 20


class Unit(NamedTuple):
    """The unit of a folder's joints: metres, or pixels and depths as the first release has them.

    `sign` makes y point up. Models of one unit refuse clips of the other, by the name of the cleaning.
    """

    is_metres: bool
    sign: int

    @property
    def cleaning(self) -> str:
        """Name of the cleaning."""
        return CENTRED if self.is_metres else f"{CENTRED}-pixels"


def convert(root: Path) -> Conversion:
    """Return the clips of a folder of text files. Those with `3D` in their names or folders come first.

    Files without it hold pixels and depths. They are used where no clip has metres. The protocol is the usual one: odd
    subjects train.

    Raises:
        ValueError: there are none.
    """
    paths = files_of(root, ".txt")
    files, skipped = matched(sorted(paths, key=lambda path: "3d" not in _words(path, root)), _NAME)
    if not files:
        raise none_of(root, "files such as a01_s01_e01_skeleton3D.txt")
    videos, several = videos_of(root, files)
    clips: list[Row] = []
    for name, (file, match) in sorted(files.items()):
        action, subject, take = (int(match[part]) for part in ("action", "subject", "take"))
        try:
            row: Row = {"clip": name, "class": class_name(CLASSES, action), "subject": subject, "take": take}
        except ValueError as error:
            skipped[str(file)] = str(error)
            continue
        clips.append(row | ({"video": videos[name]} if name in videos else {}))
    all_files = {name: file for name, (file, _) in files.items()}
    unit = _unit_of(all_files)
    description = {
        "name": "msr-action3d",
        "classes": CLASSES,
        "protocols": {"xsub": odd_and_even("subject", up_to=10)},
        "layout": _LAYOUT.name,
        "fps": 15,
    }
    read = partial(read_clip, files=all_files, unit=unit)
    return Conversion(description, clips, list(all_files.values()), skipped | several, unit.cleaning, read)


def _unit_of(files: Mapping[str, Path]) -> Unit:
    """Return the unit of the first readable files: metres if any of them has these."""
    samples = []
    for file in files.values():
        try:
            samples.append(_joints(file)[:, 0])
        except ValueError:
            continue
        if len(samples) == _NUM_SAMPLES or not _is_in_pixels(samples[-1]):
            break
    if not samples or not _is_in_pixels(samples[-1]):
        return Unit(is_metres=True, sign=1)
    return Unit(is_metres=False, sign=up([pose for poses in samples for pose in poses], layout=_LAYOUT))


def _words(path: Path, root: Path) -> str:
    """Return the path of a file without the data set's name, which has 3D in it."""
    return path.relative_to(root).as_posix().lower().replace("action3d", "")


def read_clip(name: str, *, files: Mapping[str, Path], unit: Unit) -> Float32[np.ndarray, "T 1 20 3"]:
    """Return the joints of a clip, in the layout's order and the unit of all clips, with y up.

    Raises:
        ValueError: the file is damaged, its lines are no whole frames, or its joints are in another unit.
    """
    joints = _joints(files[name])
    if _is_in_pixels(joints) == unit.is_metres:
        raise ValueError(
            f"{files[name]}: its joints are {'pixels and depths' if unit.is_metres else 'metres'}, but those of other "
            "clips are not; unpack all of MSRAction3DSkeletonReal3D, whose files are named skeleton3D"
        )
    joints[..., 1] *= unit.sign
    return centred(joints, layout=_LAYOUT)


def _joints(file: Path) -> Float32[np.ndarray, "T 1 20 3"]:
    """Return the joints of a file in the layout's order. The fourth number of a line is not used."""
    lines = read_numbers(file)
    if lines.shape[1] not in (3, 4) or len(lines) % 20:
        raise ValueError(
            f"{file}: found {len(lines)} lines of {lines.shape[1]} numbers; expected 20 lines a frame of 3 or 4 numbers"
        )
    return without_zeros(lines[:, :3].reshape(-1, 1, 20, 3)[:, :, _ORDER])


def _is_in_pixels(joints: Float32[np.ndarray, "..."]) -> bool:
    values = np.abs(joints[..., :2])
    return bool(values.max(initial=0, where=np.isfinite(values)) > _FARTHEST)
