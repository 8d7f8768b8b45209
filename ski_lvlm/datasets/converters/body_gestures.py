"""BodyGestureDataset: 15 gestures of ten persons at 1, 4 and 6 metres, with MediaPipe's landmarks of each frame.

A clip is `S1/videos/yes_2_4m_full.avi` with `S1/3Djoints/yes_2_4m_full.npy`, or the same in `dynamic_videos` and
`dynamic_joints`.

Source: the repository GESTURE-PROJECT of J. Oliver, which names it IRIGesture in its code.
"""

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from ski_lvlm.datasets.converters.conversion import Conversion, Row
from ski_lvlm.datasets.converters.files import files_of, none_of
from ski_lvlm.datasets.converters.landmarks import read_landmarks
from ski_lvlm.skeletons.centring import CENTRED, centred
from ski_lvlm.skeletons.layouts import layout_named

# Names say what the person does or means. The word of a file is a spelling.
_NAMES = {
    "attention": "call for attention",
    "right": "point to the right",
    "left": "point to the left",
    "stop": "hold up a hand to stop",
    "yes": "sign yes",
    "shrug": "shrug",
    "random": "move otherwise",
    "static": "stand still",
    "greeting": "wave hello",
    "continue": "sign to continue",
    "turnback": "sign to turn back",
    "no": "sign no",
    "slowdown": "sign to slow down",
    "come": "beckon",
    "back": "sign to go back",
}
_PEOPLE = 10
_LAYOUT = layout_named("blazepose-33")
_SHOULDERS, _HIPS = (
    [_LAYOUT.joints.index(f"{side} {part}") for side in ("left", "right")] for part in ("shoulder", "hip")
)
_ASPECT = 640 / 480  # width by height of all videos
_TRUNK = 0.5  # metres from the hips to the shoulders
_CLEANING = f"{CENTRED}-trunk"
_NAME = re.compile(r"(?P<gesture>[a-z]+)_(?P<take>\d+)_(?P<distance>\d+)m_(?P<part>full|upper)", re.IGNORECASE)
_PERSON = re.compile(r"S(\d+)", re.IGNORECASE)


def convert(root: Path) -> Conversion:
    """Return the clips of a folder. A clip without a video of the same name in the same person's folder has none.

    The first protocol tests on persons 9 and 10. `people_1_2` to `people_9_10` leave two persons out each, so that
    everybody is tested once. `far` trains at 1 and 4 metres and tests at 6.

    Raises:
        ValueError: there are no files of landmarks.
    """
    files: dict[str, Path] = {}
    clips: list[Row] = []
    skipped: dict[str, str] = {}
    videos = {_key(path): path for path in files_of(root, ".avi", ".mp4")}
    for file in files_of(root, ".npy"):
        match, person = _NAME.fullmatch(file.stem), _PERSON.fullmatch(file.parent.parent.name)
        if match is None or person is None or match["gesture"].lower() not in _NAMES:
            skipped[str(file)] = "expected a name such as S1/3Djoints/yes_2_4m_full.npy, with one of the 15 gestures"
            continue
        clip = f"S{person[1]}_{file.stem}"
        row: Row = {"clip": clip, "class": match["gesture"].lower(), "subject": int(person[1])}
        row |= {"distance": int(match["distance"]), "take": int(match["take"]), "part": match["part"].lower()}
        clips.append(row | ({"video": str(videos[_key(file)].resolve())} if _key(file) in videos else {}))
        files[clip] = file
    if not clips:
        raise none_of(root, "files such as S1/3Djoints/yes_2_4m_full.npy")
    read = partial(read_clip, files=files)
    return Conversion(_description(), clips, list(files.values()), skipped, _CLEANING, read)


def _key(path: Path) -> tuple[str, str]:
    """Return what a clip's video and its landmarks have in common: the person's folder and the name."""
    return path.parent.parent.name.lower(), path.stem.lower()


def _description() -> dict[str, Any]:
    pairs = [(first, first + 1) for first in range(1, _PEOPLE, 2)]
    people = {f"people_{a}_{b}": {"train": {"subject": {"not": [a, b]}}, "test": {"subject": [a, b]}} for a, b in pairs}
    far = {"train": {"distance": [1, 4]}, "test": {"distance": 6}}
    classes = [{"id": word, "name": name, "spellings": {"file": word}} for word, name in _NAMES.items()]
    return {
        "name": "body-gestures",
        "classes": classes,
        "protocols": {"xsub": people["people_9_10"], **people, "far": far},
        "layout": _LAYOUT.name,
        "fps": 20,
    }


def read_clip(name: str, *, files: Mapping[str, Path]) -> Float32[np.ndarray, "T 1 33 3"]:
    """Return the joints of a clip with y up, scaled to a trunk of half a metre.

    Assumption: the files give places in the picture, so a body is smaller the farther away it is. The length of the
    trunk, as the median over the frames, makes all distances alike.

    Raises:
        ValueError: the file is damaged, or the trunk has no length.
    """
    landmarks = read_landmarks(files[name], count=_LAYOUT.num_joints)
    joints = landmarks[:, None, :, :3] * np.array([_ASPECT, -1, _ASPECT], np.float32)
    trunk = joints[:, 0, _SHOULDERS].mean(axis=1) - joints[:, 0, _HIPS].mean(axis=1)
    length = float(np.median(np.linalg.norm(trunk, axis=-1)))
    if not length > 0:
        raise ValueError(f"{files[name]}: found a trunk of length {length}; expected a body: leave the clip out")
    return centred((joints * (_TRUNK / length)).astype(np.float32), layout=_LAYOUT)
