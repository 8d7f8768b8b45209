"""Kinetics-Skeleton: OpenPose JSON, a file a clip, 18 joints in shares of the picture's width and height.

Source: Yan, Xiong, Lin, "Spatial temporal graph convolutional networks for skeleton-based action recognition", 2018.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from ski_lvlm.datasets.converters.conversion import Conversion, Row
from ski_lvlm.datasets.converters.files import files_of, none_of, videos_of
from ski_lvlm.skeletons.centring import CENTRED, centred
from ski_lvlm.skeletons.layouts import layout_named
from ski_lvlm.storage.json_files import read_json

_LAYOUT = layout_named("openpose-18")
_PARTS = {"train": "train", "val": "test", "test": "test"}
_NUM_PERSONS = 2


def convert(root: Path) -> Conversion:
    """Return the clips of a folder of JSON files. The `…_label.json` files give their classes, else each file does.

    A clip's part is that of its label file, or the folder that lies nearest to it and has train, val or test in its
    name, else unknown.

    Raises:
        ValueError: there are none.
    """
    paths = files_of(root, ".json")
    labels = [path for path in paths if path.stem.lower().endswith("_label")]
    skipped: dict[str, str] = {}
    entries = _entries(labels, skipped)
    files: dict[str, Path] = {}
    clips: list[Row] = []
    numbers: dict[str, int] = {}
    for path in (path for path in paths if path not in labels):
        try:
            label, number = _label(path, entries.get(path.stem))
            if path.stem in files:
                raise ValueError(f"a second file of the clip {path.stem}; {files[path.stem]} is used")
        except ValueError as error:
            skipped[str(path)] = str(error)
            continue
        files[path.stem] = path
        numbers.setdefault(label, number)
        clips.append({"clip": path.stem, "class": label, "part": _part(path, root, labels, entries)})
    if not files:
        raise none_of(root, "files of OpenPose joints, each with 'data' and 'label'")
    videos, several = videos_of(root, files)
    clips = [clip | ({"video": videos[name]} if (name := str(clip["clip"])) in videos else {}) for clip in clips]
    description = {
        "name": "kinetics-skeleton",
        "classes": [{"id": str(numbers[label]), "name": label} for label in sorted(numbers, key=lambda n: numbers[n])],
        "protocols": {"official": {"train": {"part": "train"}, "test": {"part": "test"}}},
        "layout": _LAYOUT.name,
        "fps": 30,
    }
    read = partial(read_clip, files=files)
    return Conversion(description, clips, [*labels, *files.values()], skipped | several, CENTRED, read)


def _entries(labels: list[Path], skipped: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Return what the label files say of each clip."""
    entries: dict[str, dict[str, Any]] = {}
    for path in labels:
        try:
            content = read_json(path)
            if not isinstance(content, dict) or not all(isinstance(entry, dict) for entry in content.values()):
                raise ValueError("expected an object of objects by clip name")
            entries |= {name: entry | {"part": _word(path.stem)} for name, entry in content.items()}
        except ValueError as error:
            skipped[str(path)] = str(error)
    return entries


def _label(path: Path, entry: Mapping[str, Any] | None) -> tuple[str, int]:
    """Return the class of a clip and its number."""
    entry = entry if entry is not None else read_json(path)
    if not isinstance(entry, dict) or not isinstance(entry.get("label"), str):
        raise ValueError("found no 'label'; expected the name of a class in it or in a file such as train_label.json")
    number = entry.get("label_index")
    if not isinstance(number, int):
        raise ValueError(f"its 'label_index' is {number!r}; expected a number")
    return entry["label"], number


def _part(path: Path, root: Path, labels: list[Path], entries: Mapping[str, Mapping[str, Any]]) -> str:
    if part := entries.get(path.stem, {}).get("part"):
        return str(part)
    return next((part for folder in reversed(path.relative_to(root).parts[:-1]) if (part := _word(folder))), "unknown")


def _word(text: str) -> str:
    return next((part for word, part in _PARTS.items() if word in text.lower()), "")


def read_clip(name: str, *, files: Mapping[str, Path]) -> Float32[np.ndarray, "T M 18 2"]:
    """Return the joints of a clip, with y up. A joint of score 0 is absent.

    Paper: ST-GCN's feeder keeps the two persons of a frame with the largest sums of scores, in this order.

    Raises:
        ValueError: the file is damaged, or nobody is in it.
    """
    file = files[name]
    content = read_json(file)
    frames = content.get("data") if isinstance(content, dict) else None
    if not isinstance(frames, list):
        raise ValueError(f"{file}: found no list 'data'; expected the persons of each frame: copy it again")
    joints = np.full((len(frames), _NUM_PERSONS, _LAYOUT.num_joints, 2), np.nan, np.float32)
    for time, frame in enumerate(frames):
        persons = frame.get("skeleton") if isinstance(frame, dict) else None
        scored = [_person(person, file) for person in persons or ()]
        scored.sort(key=lambda person: -person[0])
        for place, (_, pose) in enumerate(scored[:_NUM_PERSONS]):
            joints[time, place] = pose
    joints[..., 1] *= -1  # pictures count from the top
    return centred(joints, layout=_LAYOUT)


def _person(person: object, file: Path) -> tuple[float, Float32[np.ndarray, "18 2"]]:
    """Return a person's sum of scores and joints."""
    entry = person if isinstance(person, dict) else {}
    try:
        pose = np.array(entry["pose"], np.float32).reshape(_LAYOUT.num_joints, 2)
        score = np.array(entry["score"], np.float32).reshape(_LAYOUT.num_joints)
    except (KeyError, ValueError, TypeError) as error:
        raise ValueError(
            f"{file}: a person has not 36 numbers in 'pose' and 18 in 'score' ({error}); copy the file again"
        ) from error
    return float(score.sum()), np.where(score[:, None] > 0, pose, np.float32(np.nan))
