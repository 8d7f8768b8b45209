"""UTD-MHAD: `aA_sS_tT_skeleton.mat`, 27 actions of 8 persons before a Kinect v1 at 30 frames a second.

Source: Chen, Jafari, Kehtarnavaz, "UTD-MHAD: a multimodal dataset for human action recognition", ICIP 2015.
"""

import struct
import zlib
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float32
from scipy.io import loadmat
from scipy.io.matlab import MatReadError

from ski_lvlm.datasets.converters.conversion import Conversion, Row, class_name, numbered, odd_and_even
from ski_lvlm.datasets.converters.files import files_of, matched, none_of, videos_of
from ski_lvlm.skeletons.centring import CENTRED, centred, without_zeros
from ski_lvlm.skeletons.layouts import layout_named

CLASSES = numbered(
    [
        *("swipe left", "swipe right", "wave", "clap", "throw", "cross arms on the chest", "basketball shoot"),
        *("draw x", "draw circle clockwise", "draw circle counter-clockwise", "draw triangle", "bowling", "boxing"),
        *("baseball swing", "tennis swing", "arm curl", "tennis serve", "push", "knock on door", "catch"),
        *("pick up and throw", "jog in place", "walk in place", "sit to stand", "stand to sit", "forward lunge"),
        "squat",
    ]
)
_UNSEEN = {"A": (2, 9, 15, 22, 25), "B": (3, 7, 13, 20, 27), "C": (4, 11, 17, 21, 24)}
_LAYOUT = layout_named("kinect-20")
_ORDER = [3, 2, 1, 0, *range(4, 20)]  # UTD goes from the head down, the layout from the hips up
_NAME = r"(?P<clip>a(?P<action>\d+)_s(?P<subject>\d+)_t(?P<trial>\d+))(?:_skeleton)?"
_UNREADABLE = (ValueError, TypeError, KeyError, IndexError, OSError, EOFError, NotImplementedError, MemoryError)


def convert(root: Path) -> Conversion:
    """Return the clips of a folder of `.mat` files.

    Raises:
        ValueError: there are none.
    """
    files, skipped = matched(
        (path for path in files_of(root, ".mat") if not path.stem.endswith(("_depth", "_inertial"))), _NAME
    )
    if not files:
        raise none_of(root, "files such as a1_s1_t1_skeleton.mat")
    videos, several = videos_of(root, files)
    clips: list[Row] = []
    for name, (file, match) in files.items():
        action, subject, trial = (int(match[part]) for part in ("action", "subject", "trial"))
        try:
            row: Row = {"clip": name, "class": class_name(CLASSES, action), "subject": subject, "trial": trial}
        except ValueError as error:
            skipped[str(file)] = str(error)
            continue
        clips.append(row | ({"video": videos[name]} if name in videos else {}))
    read = partial(read_clip, files={name: file for name, (file, _) in files.items()})
    description = {
        "name": "utd-mhad",
        "classes": CLASSES,
        "protocols": {"xsub": odd_and_even("subject", up_to=8)},
        "splits": {name: {"unseen": [class_name(CLASSES, n) for n in unseen]} for name, unseen in _UNSEEN.items()},
        "layout": _LAYOUT.name,
        "fps": 30,
    }
    return Conversion(description, clips, [file for file, _ in files.values()], skipped | several, CENTRED, read)


def read_clip(name: str, *, files: Mapping[str, Path]) -> Float32[np.ndarray, "T 1 20 3"]:
    """Return the joints of a clip in metres, in the layout's order.

    Raises:
        ValueError: the file is no MATLAB file, or holds no `d_skel` of 20 joints, 3 coordinates and some frames.
    """
    file = files[name]
    try:
        content = loadmat(file, variable_names=["d_skel"])
    except (*_UNREADABLE, MatReadError, zlib.error, struct.error) as error:
        raise ValueError(f"{file}: not a readable .mat file ({error}); copy it again") from error
    joints = content.get("d_skel")
    if joints is None or joints.ndim != 3 or joints.shape[:2] != (20, 3) or joints.dtype.kind not in "fiu":
        shape = "nothing" if joints is None else f"{joints.dtype} {joints.shape}"
        raise ValueError(f"{file}: found {shape} in d_skel; expected numbers of shape (20, 3, frames)")
    frames = np.moveaxis(joints.astype(np.float32), 2, 0)[:, None]
    return centred(without_zeros(frames[:, :, _ORDER]), layout=_LAYOUT)
