"""MSR-Action3D: text files `aAA_sSS_eEE_skeleton3D.txt`, a joint a line, 20 actions of 10 persons.

Source: Li, Zhang, Liu, "Action recognition based on a bag of 3D points", CVPR 2010 workshops.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from ski_lvlm.datasets.converters.conversion import Conversion, Row, class_name, numbered, odd_and_even
from ski_lvlm.datasets.converters.files import files_of, matched, none_of, videos_of
from ski_lvlm.datasets.converters.number_text import read_numbers
from ski_lvlm.skeletons.centring import CENTRED, centred, without_zeros
from ski_lvlm.skeletons.layouts import layout_named

CLASSES = numbered(
    [
        *("high arm wave", "horizontal arm wave", "hammer", "hand catch", "forward punch", "high throw", "draw x"),
        *("draw tick", "draw circle", "hand clap", "two hand wave", "side boxing", "bend", "forward kick", "side kick"),
        *("jogging", "tennis swing", "tennis serve", "golf swing", "pick up and throw"),
    ]
)
_LAYOUT = layout_named("kinect-20")
# Assumption: of each pair of joints the first is the right one. The data set's own description does not say.
_ORDER = [6, 3, 2, 19, 1, 8, 10, 12, 0, 7, 9, 11, 5, 14, 16, 18, 4, 13, 15, 17]
_NAME = r"(?P<clip>a(?P<action>\d+)_s(?P<subject>\d+)_e(?P<take>\d+))(?:_skeleton(?:3d|_3d|_proj)?)?"
_FARTHEST = 20.0  # metres; a larger x or y is a pixel


def convert(root: Path) -> Conversion:
    """Return the clips of a folder of text files. Those with `3D` in their names or folders come first.

    The protocol is the usual one: odd subjects train.

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
    description = {
        "name": "msr-action3d",
        "classes": CLASSES,
        "protocols": {"xsub": odd_and_even("subject", up_to=10)},
        "layout": _LAYOUT.name,
        "fps": 15,
    }
    read = partial(read_clip, files={name: file for name, (file, _) in files.items()})
    return Conversion(description, clips, [file for file, _ in files.values()], skipped | several, CENTRED, read)


def _words(path: Path, root: Path) -> str:
    """Return the path of a file without the data set's name, which has 3D in it."""
    return path.relative_to(root).as_posix().lower().replace("action3d", "")


def read_clip(name: str, *, files: Mapping[str, Path]) -> Float32[np.ndarray, "T 1 20 3"]:
    """Return the joints of a clip in metres, in the layout's order.

    The fourth number of a line is not used.

    Raises:
        ValueError: the file is damaged, its lines are no whole frames, or its joints are in pixels.
    """
    file = files[name]
    lines = read_numbers(file)
    if lines.shape[1] not in (3, 4) or len(lines) % 20:
        raise ValueError(
            f"{file}: found {len(lines)} lines of {lines.shape[1]} numbers; expected 20 lines a frame of 3 or 4 numbers"
        )
    joints = lines[:, :3].reshape(-1, 1, 20, 3)
    if np.abs(joints[..., :2]).max(initial=0, where=np.isfinite(joints[..., :2])) > _FARTHEST:
        raise ValueError(
            f"{file}: its joints are pixels and depths; expected metres: unpack MSRAction3DSkeletonReal3D, whose files "
            "are named skeleton3D"
        )
    return centred(without_zeros(joints[:, :, _ORDER]), layout=_LAYOUT)
