"""NW-UCLA as CTR-GCN's authors released it: a JSON file a clip, `aAA_sSS_eEE_vVV.json`, 20 joints of a Kinect v1.

Source: Wang, Nie, Xia, Wu, Zhu, "Cross-view action modeling, learning and recognition", CVPR 2014.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from ski_lvlm.datasets.converters.conversion import Conversion, Row
from ski_lvlm.datasets.converters.files import files_of, matched, none_of, videos_of
from ski_lvlm.skeletons.centring import CENTRED, centred, without_zeros
from ski_lvlm.skeletons.layouts import layout_named
from ski_lvlm.storage.json_files import read_json

# By the number in a clip's name. The label in a file is the rank among these numbers, from 1.
_NAMES = {
    1: "pick up with one hand",
    2: "pick up with two hands",
    3: "drop trash",
    4: "walk around",
    5: "sit down",
    6: "stand up",
    8: "put on a jacket",
    9: "take off a jacket",
    11: "throw",
    12: "carry",
}
_RANKS = {number: rank for rank, number in enumerate(_NAMES, start=1)}
_LAYOUT = layout_named("kinect-20")
_NAME = r"(?P<clip>a(?P<action>\d+)_s(?P<subject>\d+)_e(?P<take>\d+)_v(?P<view>\d+))"


def convert(root: Path) -> Conversion:
    """Return the clips of a folder of JSON files.

    Raises:
        ValueError: there are none.
    """
    files, skipped = matched(files_of(root, ".json"), _NAME)
    if not files:
        raise none_of(root, "files such as a01_s01_e00_v01.json")
    videos, several = videos_of(root, files)
    clips: list[Row] = []
    for name, (file, match) in files.items():
        action, subject, take, view = (int(match[part]) for part in ("action", "subject", "take", "view"))
        if action not in _NAMES:
            skipped[str(file)] = f"found action {action}; expected one of {', '.join(map(str, _NAMES))}"
            continue
        row: Row = {"clip": name, "class": _NAMES[action], "subject": subject, "take": take, "view": view}
        clips.append(row | ({"video": videos[name]} if name in videos else {}))
    description = {
        "name": "nw-ucla",
        "classes": [{"id": str(number), "name": name, "persons": 1} for number, name in _NAMES.items()],
        "protocols": {"xview": {"train": {"view": [1, 2]}, "test": {"view": 3}}},
        "layout": _LAYOUT.name,
        "fps": 30,
        "views": ["view"],
    }
    read = partial(read_clip, files={name: file for name, (file, _) in files.items()})
    return Conversion(description, clips, [file for file, _ in files.values()], skipped | several, CENTRED, read)


def read_clip(name: str, *, files: Mapping[str, Path]) -> Float32[np.ndarray, "T 1 20 3"]:
    """Return the joints of a clip in metres.

    Raises:
        ValueError: the file is damaged, holds no frames of 20 joints, or a label that its name contradicts.
    """
    file = files[name]
    content = read_json(file)
    if not isinstance(content, dict) or not isinstance(content.get("skeletons"), list):
        raise ValueError(f"{file}: found no list 'skeletons'; expected an object with 'skeletons' and 'label'")
    action = int(name[1:].partition("_")[0])
    if "label" in content and str(content["label"]) not in (str(_RANKS[action]), str(action)):
        raise ValueError(
            f"{file}: its label is {content['label']!r}, but action {action} of its name has {_RANKS[action]}: "
            "rename the file, or correct the label"
        )
    try:
        joints = np.array(content["skeletons"], np.float32)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{file}: frames of unequal numbers of joints ({error}); copy it again") from error
    if joints.ndim != 3 or joints.shape[1:] != (20, 3):
        raise ValueError(f"{file}: found skeletons of shape {joints.shape}; expected (frames, 20, 3)")
    return centred(without_zeros(joints)[:, None], layout=_LAYOUT)
