"""Toyota Smarthome, trimmed: `Action_pNN_rNN_vNN_cNN.mp4` and JSON files of LCR-Net++ poses, 31 actions, 18 persons.

Source: Das, Dai, Koperski, Minciullo, Garattoni, Bremond, Francesca, "Toyota Smarthome: real-world activities of daily
living", ICCV 2019.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from ski_lvlm.datasets.converters.conversion import Conversion, Row
from ski_lvlm.datasets.converters.files import files_of, matched, none_of, videos_of
from ski_lvlm.skeletons.centring import CENTRED, centred, up, without_zeros
from ski_lvlm.skeletons.layouts import Layout, layout_named
from ski_lvlm.storage.clip_names import VIDEO_SUFFIXES
from ski_lvlm.storage.json_files import read_json

# By the words in the clips' names.
_NAMES = {
    "Cook.Cleandishes": "clean dishes",
    "Cook.Cleanup": "clean up the kitchen",
    "Cook.Cut": "cut food",
    "Cook.Stir": "stir food",
    "Cook.Usestove": "use a stove",
    "Cutbread": "cut bread",
    "Drink.Frombottle": "drink from a bottle",
    "Drink.Fromcan": "drink from a can",
    "Drink.Fromcup": "drink from a cup",
    "Drink.Fromglass": "drink from a glass",
    "Eat.Attable": "eat at a table",
    "Eat.Snack": "eat a snack",
    "Enter": "enter the room",
    "Getup": "get up",
    "Laydown": "lie down",
    "Leave": "leave the room",
    "Makecoffee.Pourgrains": "pour coffee grains",
    "Makecoffee.Pourwater": "pour water to make coffee",
    "Maketea.Boilwater": "boil water for tea",
    "Maketea.Insertteabag": "insert a tea bag",
    "Pour.Frombottle": "pour from a bottle",
    "Pour.Fromcan": "pour from a can",
    "Pour.Fromkettle": "pour from a kettle",
    "Readbook": "read a book",
    "Sitdown": "sit down",
    "Takepills": "take pills",
    "Uselaptop": "use a laptop",
    "Usetablet": "use a tablet",
    "Usetelephone": "use a telephone",
    "Walk": "walk",
    "WatchTV": "watch TV",
}
_CROSS_VIEW = (
    *("Cutbread", "Drink.Frombottle", "Drink.Fromcan", "Drink.Fromcup", "Drink.Fromglass", "Eat.Attable"),
    *("Eat.Snack", "Enter", "Getup", "Leave", "Pour.Frombottle", "Pour.Fromcan", "Readbook", "Sitdown", "Takepills"),
    *("Uselaptop", "Usetablet", "Usetelephone", "Walk"),
)
_BY_WORD = {word.lower(): name for word, name in _NAMES.items()}
_NAME = (
    r"(?P<clip>(?P<action>[A-Z]+(?:\.[A-Z]+)?)_p(?P<subject>\d+)_r(?P<repetition>\d+)_v(?P<take>\d+)_c(?P<camera>\d+))"
    r"(?:_pose3d)?"
)
_LAYOUTS = {13: layout_named("lcrnet-13"), 17: layout_named("lcrnet-17")}
_NUM_SAMPLES = 20  # files that tell the layout and which way is up


def convert(root: Path) -> Conversion:
    """Return the clips of a folder of videos, JSON files of poses, or both. Refined poses (`_pose3d`) come first.

    Raises:
        ValueError: there are neither.
    """
    poses, skipped = matched(sorted(files_of(root, ".json"), key=lambda path: "_pose3d" not in path.name), _NAME)
    videos, no_clips = matched(files_of(root, *VIDEO_SUFFIXES), _NAME)
    names = {name: match for name, (_, match) in (videos | poses).items()}
    if not names:
        raise none_of(root, "files such as Walk_p02_r00_v01_c02.mp4 and Walk_p02_r00_v01_c02.json")
    paths, several = videos_of(root, names)
    clips: list[Row] = []
    for name, match in sorted(names.items()):
        action = match["action"].lower()
        if action not in _BY_WORD:
            skipped[name] = f"found the action {match['action']}; expected one of {', '.join(_NAMES)}"
            continue
        row: Row = {"clip": name, "class": _BY_WORD[action]}
        row |= {column: int(match[column]) for column in ("subject", "repetition", "take", "camera")}
        clips.append(row | ({"video": paths[name]} if name in paths else {}))
    files = {name: file for name, (file, _) in poses.items()}
    sample = _sample(files)
    layout = _LAYOUTS[len(sample[0])] if sample else None
    description = _description() | ({"layout": layout.name} if layout else {})
    read = partial(read_clip, files=files, layout=layout, sign=up(sample, layout=layout)) if layout else None
    all_files = [file for file, _ in (*poses.values(), *videos.values())]
    return Conversion(description, clips, all_files, skipped | no_clips | several, CENTRED if layout else "", read)


def _description() -> dict[str, Any]:
    seen_from_2 = [_NAMES[word] for word in _CROSS_VIEW]
    return {
        "name": "smarthome",
        "classes": [{"id": word, "name": name, "persons": 1} for word, name in _NAMES.items()],
        "protocols": {
            "xsub": {"train": {"subject": [3, 4, 6, 7, 9, 12, 13, 15, 17, 19, 25]}},
            "xview1": {"train": {"camera": 1}, "test": {"camera": 2}, "classes": seen_from_2},
            "xview2": {"train": {"camera": [1, 3, 4, 6, 7]}, "test": {"camera": 2}, "classes": seen_from_2},
        },
        "views": ["camera"],
    }


def _sample(files: Mapping[str, Path]) -> list[Float32[np.ndarray, "J 3"]]:
    """Return the poses in the first readable files, of as many joints as the first of them has."""
    poses: list[Float32[np.ndarray, "J 3"]] = []
    num_files = 0
    for file in files.values():
        try:
            in_file = [pose for frame in _frames(file) for pose in frame]
        except ValueError:
            continue
        poses += in_file
        num_files += bool(in_file)
        if num_files == _NUM_SAMPLES:
            break
    return [pose for pose in poses if len(pose) == len(poses[0])]


def read_clip(name: str, *, files: Mapping[str, Path], layout: Layout, sign: int) -> Float32[np.ndarray, "T M J 3"]:
    """Return the joints of a clip with y up, in the unit of the file.

    Assumption: a person keeps their place in the list of a frame, as the published loaders take it.

    Raises:
        ValueError: there is no file of poses, it is damaged, or its joints are others than the first file's.
    """
    if name not in files:
        raise ValueError(f"{name}: no JSON file of its poses")
    frames = _frames(files[name])
    num_persons = max(map(len, frames), default=0)
    joints = np.full((len(frames), num_persons, layout.num_joints, 3), np.nan, np.float32)
    for time, frame in enumerate(frames):
        for person, pose in enumerate(frame):
            if len(pose) != layout.num_joints:
                raise ValueError(f"{files[name]}: found {len(pose)} joints; expected {layout.num_joints}, as elsewhere")
            joints[time, person] = pose
    joints = without_zeros(joints)
    joints[..., 1] *= sign
    return centred(joints, layout=layout)


def _frames(file: Path) -> list[list[Float32[np.ndarray, "J 3"]]]:
    """Return the poses of each frame. A file lists all x, then all y, then all z of a pose."""
    content = read_json(file)
    if not isinstance(content, dict) or not isinstance(content.get("frames"), list):
        raise ValueError(f"{file}: found no list 'frames'; expected the poses of each frame: copy it again")
    return [[_pose(person, file) for person in frame or ()] for frame in content["frames"]]


def _pose(person: object, file: Path) -> Float32[np.ndarray, "J 3"]:
    numbers = person.get("pose3d") if isinstance(person, dict) else None
    try:
        pose = np.array(numbers, np.float32)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{file}: a 'pose3d' holds no plain numbers ({error}); copy it again") from error
    if pose.ndim != 1 or len(pose) // 3 not in _LAYOUTS or len(pose) % 3:
        raise ValueError(f"{file}: found a 'pose3d' of shape {pose.shape}; expected 39 or 51 numbers")
    return pose.reshape(3, -1).T
