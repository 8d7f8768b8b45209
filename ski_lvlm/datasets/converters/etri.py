"""ETRI-Activity3D: a CSV file a clip, `A001_P001_G001_C001.csv`, 25 joints of a Kinect v2, 55 actions, 100 persons.

Source: Jang, Kim, Park, Jang, Lee, Kim, "ETRI-Activity3D: a large-scale RGB-D dataset for robots to recognize daily
activities of the elderly", IROS 2020.
"""

import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
from jaxtyping import Float32

from ski_lvlm.datasets.converters.conversion import Conversion, Row, class_name, numbered
from ski_lvlm.datasets.converters.files import files_of, matched, none_of, videos_of
from ski_lvlm.skeletons.centring import without_zeros
from ski_lvlm.skeletons.cleaning import CLEANING, clean
from ski_lvlm.skeletons.recordings import recording

CLASSES = numbered(
    [
        *("eating food with a fork", "pouring water into a cup", "taking medicine", "drinking water"),
        *("putting food in the fridge/taking food from the fridge", "trimming vegetables", "peeling fruit"),
        *("using a gas stove", "cutting vegetable on the cutting board", "brushing teeth", "washing hands"),
        *("washing face", "wiping face with a towel", "putting on cosmetics", "putting on lipstick", "brushing hair"),
        *("blow drying hair", "putting on a jacket", "taking off a jacket", "putting on/taking off shoes"),
        *("putting on/taking off glasses", "washing the dishes", "vacuuming the floor"),
        *("scrubbing the floor with a rag", "wiping off the dining table", "rubbing up furniture"),
        *("spreading bedding/folding bedding", "washing a towel by hands", "hanging out laundry"),
        *("looking around for something", "using a remote control", "reading a book", "reading a newspaper"),
        *("handwriting", "talking on the phone", "playing with a mobile phone", "using a computer", "smoking"),
        *("clapping", "rubbing face with hands", "doing freehand exercise", "doing neck roll exercise"),
        *("massaging a shoulder oneself", "taking a bow", "talking to each other", "handshaking"),
        *("hugging each other", "fighting each other", "waving a hand", "flapping a hand up and down (beckoning)"),
        *("pointing with a finger", "opening the door and walking in", "fallen on the floor"),
        *("sitting up/standing up", "lying down"),
    ],
    pairs=(45, 46, 47, 48),
)
_NAME = r"(?P<clip>A(?P<action>\d{3})_P(?P<subject>\d{3})_G(?P<group>\d{3})_C(?P<camera>\d{3}))"
_NUM_JOINTS = 25
_COORDINATE = re.compile(r"joint_?(\d+)_(?:3d_?)?([xyz])")
_STATE = re.compile(r"joint_?(\d+)_?(?:tracking_?)?state")
_FRAME = ("framenum", "frame", "framenumber", "frameindex", "frameid")
_BODY = ("trackingid", "bodyindexid", "bodyindex", "bodyid")
_UNTRACKED = 0


def convert(root: Path) -> Conversion:
    """Return the clips of a folder of CSV files. Even subjects train and odd ones test.

    Raises:
        ValueError: there are none.
    """
    files, skipped = matched(files_of(root, ".csv"), _NAME)
    if not files:
        raise none_of(root, "files such as A001_P001_G001_C001.csv")
    videos, several = videos_of(root, files)
    clips: list[Row] = []
    for name, (file, match) in files.items():
        try:
            row: Row = {"clip": name, "class": class_name(CLASSES, int(match["action"]))}
        except ValueError as error:
            skipped[str(file)] = str(error)
            continue
        row |= {column: int(match[column]) for column in ("subject", "group", "camera")}
        clips.append(row | ({"video": videos[name]} if name in videos else {}))
    description = {
        "name": "etri-activity3d",
        "classes": CLASSES,
        "protocols": {
            "xsub": {"train": {"subject": list(range(2, 101, 2))}, "test": {"subject": list(range(1, 101, 2))}}
        },
        "layout": "ntu-25",
        "fps": 30,
        "views": ["camera"],
    }
    read = partial(read_clip, files={name: file for name, (file, _) in files.items()})
    return Conversion(description, clips, [file for file, _ in files.values()], skipped | several, CLEANING, read)


def read_clip(name: str, *, files: Mapping[str, Path]) -> Float32[np.ndarray, "T M 25 3"]:
    """Return the cleaned joints of a clip in metres. Columns are told by their names in the first line.

    A joint that the Kinect did not track (state 0) is absent, and so is a row without a body.

    Raises:
        ValueError: the file is damaged, lacks a column, or nobody is in it.
    """
    file = files[name]
    table = _table(file)
    columns = {column.strip().lower(): column for column in table.column_names}
    frame, bodies = _only(columns, _FRAME, file), [columns[word] for word in _BODY if word in columns]
    if not bodies:
        raise ValueError(f"{file}: found no column of {' or '.join(_BODY)}; expected one in the first line")
    joints = np.stack([_numbers(table, column, file) for column in _coordinates(columns, file)], axis=1)
    joints = without_zeros(joints.reshape(-1, _NUM_JOINTS, 3))
    for joint, column in _by_joint(columns, _STATE).items():
        if 1 <= joint <= _NUM_JOINTS:
            joints[_numbers(table, column, file) == _UNTRACKED, joint - 1] = np.nan
    rows = ~np.isnan(joints).any(axis=(1, 2)) & np.logical_and.reduce([_is_given(table, body) for body in bodies])
    if not rows.any():
        raise ValueError(
            f"{file}: no body with all {_NUM_JOINTS} joints in any of its {len(joints)} lines: leave it out"
        )
    times, places = np.unique(_numbers(table, frame, file)[rows], return_inverse=True)
    ids, owners = np.unique(table[bodies[0]].cast(pa.string()).to_numpy()[rows].astype(str), return_inverse=True)
    dense = np.full((len(times), len(ids), _NUM_JOINTS, 3), np.nan, np.float32)
    dense[places, owners] = joints[rows]
    return clean(recording(name, dense)).joints


def _table(file: Path) -> pa.Table:
    try:
        return pyarrow.csv.read_csv(file, read_options=pyarrow.csv.ReadOptions(use_threads=False))
    except (pa.ArrowInvalid, OSError) as error:
        raise ValueError(f"{file}: not a readable CSV file ({error}); copy it again") from error


def _only(columns: Mapping[str, str], words: Sequence[str], file: Path) -> str:
    names = [columns[word] for word in words if word in columns]
    if not names:
        raise ValueError(
            f"{file}: found no column {words[0]!r} in its first line; the header is damaged: copy it again"
        )
    return names[0]


def _by_joint(columns: Mapping[str, str], pattern: re.Pattern[str]) -> dict[int, str]:
    return {int(match[1]): name for word, name in columns.items() if (match := pattern.fullmatch(word))}


def _coordinates(columns: Mapping[str, str], file: Path) -> list[str]:
    """Return the names of the columns of x, y and z, joint by joint."""
    matches = {(int(m[1]), m[2]): name for word, name in columns.items() if (m := _COORDINATE.fullmatch(word))}
    expected = [(joint, axis) for joint in range(1, _NUM_JOINTS + 1) for axis in "xyz"]
    missing = next((key for key in expected if key not in matches), None)
    if missing is not None:
        raise ValueError(
            f"{file}: found no column for {missing[1]} of joint {missing[0]} in its first line; expected joint1_3dX to "
            f"joint{_NUM_JOINTS}_3dZ"
        )
    return [matches[key] for key in expected]


def _numbers(table: pa.Table, column: str, file: Path) -> Float32[np.ndarray, " rows"]:
    """Return a column as numbers, NaN where it is empty."""
    try:
        return table[column].cast(pa.float32(), safe=False).to_numpy().astype(np.float32)
    except pa.ArrowInvalid as error:
        raise ValueError(f"{file}: the column {column} holds no numbers ({error}); copy the file again") from error


def _is_given(table: pa.Table, column: str) -> np.ndarray:
    return np.asarray(table[column].is_valid())
