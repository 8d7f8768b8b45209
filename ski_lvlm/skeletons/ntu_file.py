"""NTU RGB+D `.skeleton` text files: everything the Kinect recorded about every body, frame by frame.

number of frames
  number of bodies in the frame (0 is legal)
    id, clipped edges, left hand confidence, state, right hand confidence, state, restricted, lean x y, tracking state
    number of joints
      x y z (metres)  depth x y (512 x 424)  colour x y (1920 x 1080)  orientation w x y z  tracking state
"""

import logging
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int

from ski_lvlm.storage.files import atomic_path
from ski_lvlm.storage.git_lfs import LARGEST, refuse_pointers

_JOINT_COLUMNS = 12
_BODY_COLUMNS = 10
_STATE_COLUMNS = [1, 2, 3, 4, 5, 6, 9]  # of the body line; columns 7 and 8 are the lean
_UNKNOWN = -1

logger = logging.getLogger(__name__)


class SkeletonFileError(ValueError):
    """A `.skeleton` file that is not what its own counts promise."""


@dataclass(frozen=True)
class BodyTrack:
    """One body in the frames in which the Kinect saw it.

    `frames` are frame numbers of the recording, ascending and possibly with gaps. `joints` are metres in the camera's
    frame, `colour` and `depth` pixels of 1920 x 1080 and 512 x 424 images (NaN where the Kinect gave none),
    `orientation` quaternions (w, x, y, z). `states` holds, in this order: clipped edges, left hand confidence, left
    hand state, right hand confidence, right hand state, restricted, tracking state.
    """

    frames: Int[np.ndarray, " n"]
    joints: Float32[np.ndarray, "n J 3"]
    colour: Float32[np.ndarray, "n J 2"]
    depth: Float32[np.ndarray, "n J 2"]
    orientation: Float32[np.ndarray, "n J 4"]
    joint_state: Int[np.ndarray, "n J"]
    states: Int[np.ndarray, "n 7"]
    lean: Float32[np.ndarray, "n 2"]


@dataclass(frozen=True)
class Recording:
    """All bodies of one clip, by the Kinect's 64-bit body id, in the order in which they appear."""

    name: str
    num_frames: int
    bodies: dict[int, BodyTrack]


class _Row(NamedTuple):
    """The place of one body of one frame in the text."""

    frame: int
    body_id: int
    line: int  # number of the body line, from 0
    num_joints: int


class _Lines:
    """The lines of a text, by their bounds in it."""

    def __init__(self, text: bytes) -> None:
        ends = (np.flatnonzero(np.frombuffer(text, np.uint8) == ord("\n")) + 1).tolist()
        self._bounds = [0, *ends] if text.endswith(b"\n") else [0, *ends, len(text)]
        self._text = text

    def __len__(self) -> int:
        return len(self._bounds) - 1

    def get(self, line: int, count: int = 1) -> bytes:
        """Return `count` lines. Raises an IndexError if the text is shorter."""
        return self._text[self._bounds[line] : self._bounds[line + count]]


def read_skeleton(path: Path, *, joints_only: bool = False) -> Recording:
    """Read a `.skeleton` file.

    With `joints_only` the image coordinates, orientations and lean are not read (NaN) and the states are -1, which
    saves a third of the time.

    Raises:
        SkeletonFileError: the file is empty, cut off, or malformed.
    """
    path = Path(path)
    text = path.read_bytes()
    if len(text) <= LARGEST:
        refuse_pointers(path)
    if not text:
        raise SkeletonFileError(f"{path}: the file is empty; expected a frame count; download it again")
    lines = _Lines(_plain_numbers(text))
    num_frames, rows = _walk(lines, path)
    if not rows:
        return Recording(path.stem, num_frames, {})
    joints = _joint_lines(lines, rows, path, range(3) if joints_only else range(_JOINT_COLUMNS))
    bodies = None if joints_only else _body_lines(lines, rows, path)
    order: dict[int, list[int]] = {}
    for i, row in enumerate(rows):
        order.setdefault(row.body_id, []).append(i)
    frames = np.array([row.frame for row in rows])
    tracks = {body_id: _track(frames, joints, bodies, np.array(index)) for body_id, index in order.items()}
    for body_id, track in tracks.items():
        if (np.diff(track.frames) == 0).any():
            raise SkeletonFileError(f"{path}: body {body_id} occurs twice in one frame; remove or re-download the file")
    return Recording(path.stem, num_frames, tracks)


def _plain_numbers(text: bytes) -> bytes:
    """Return the text with `nan` and `inf` where Windows programs write `-1.#IND`, `1.#QNAN` or `1.#INF00`."""
    if b"#" not in text and b"(" not in text:
        return text
    text = re.sub(rb"1\.#INF\w*", b"inf", text)
    return re.sub(rb"-?(1\.#(IND|QNAN|SNAN)\w*|nan\(\w*\))", b"nan", text)


def _walk(lines: _Lines, path: Path) -> tuple[int, list[_Row]]:
    """Follow the counts through the file without parsing the joints."""
    rows: list[_Row] = []
    at, frame, num_frames = 0, 0, 0
    try:
        num_frames = int(lines.get(0))
        at = 1
        for frame in range(num_frames):
            num_bodies = int(lines.get(at))
            at += 1
            for _ in range(num_bodies):
                body_id = int((lines.get(at).split(None, 1) or [b""])[0])
                rows.append(_Row(frame, body_id, at, int(lines.get(at + 1))))
                at += 2 + rows[-1].num_joints
    except IndexError as error:
        raise SkeletonFileError(_cut_off(path, lines, frame, num_frames)) from error
    except ValueError as error:
        raise SkeletonFileError(
            f"{path}: line {at + 1} (frame {frame + 1} of {num_frames}) or the one after it does not hold a count as "
            f"expected ({error}); the file is malformed: download it again"
        ) from error
    if at > len(lines):
        raise SkeletonFileError(_cut_off(path, lines, frame, num_frames))
    if lines.get(at, len(lines) - at).strip():
        logger.warning("%s: ignored %d lines after the last of %d frames", path, len(lines) - at, num_frames)
    return num_frames, rows


def _cut_off(path: Path, lines: _Lines, frame: int, num_frames: int) -> str:
    return (
        f"{path}: the file is cut off at line {len(lines)}, in frame {frame + 1} of the {num_frames} it promises; "
        "download it again"
    )


def _joint_lines(
    lines: _Lines, rows: list[_Row], path: Path, columns: range
) -> Float32[np.ndarray, "rows J {len(columns)}"]:
    """Return these columns of every body's joints."""
    num_joints = rows[0].num_joints
    if any(row.num_joints != num_joints for row in rows):
        raise SkeletonFileError(f"{path}: the number of joints changes between bodies; expected {num_joints} in all")
    # Where a file is cut off, only its last line can be short without a wrong count.
    is_whole = _is_numbers(lines.get(rows[-1].line + 1 + num_joints), _JOINT_COLUMNS)
    text = b"".join([lines.get(row.line + 2, num_joints) for row in rows])
    table = _table(text, columns, len(rows) * num_joints, of=_JOINT_COLUMNS)
    if not is_whole or table is None:
        numbers = (number for row in rows for number in range(row.line + 2, row.line + 2 + num_joints))
        raise SkeletonFileError(_bad_line(lines, numbers, _JOINT_COLUMNS, f"{path}: a joint"))
    return table.reshape(len(rows), num_joints, len(columns))


def _body_lines(lines: _Lines, rows: list[_Row], path: Path) -> Float32[np.ndarray, "rows 10"]:
    """Return the ten numbers of every body line. The id among them is not precise and not used."""
    text = b"".join([lines.get(row.line) for row in rows])
    table = _table(text, range(_BODY_COLUMNS), len(rows), of=_BODY_COLUMNS)
    if table is None:
        raise SkeletonFileError(_bad_line(lines, (row.line for row in rows), _BODY_COLUMNS, f"{path}: a body"))
    return table


def _table(
    text: bytes, columns: range, num_lines: int, *, of: int
) -> Float32[np.ndarray, "{num_lines} {len(columns)}"] | None:
    """Return columns of lines of `of` numbers, or None if the text is anything else."""
    try:
        selection = None if len(columns) == of else columns  # with a selection, numpy accepts surplus numbers
        table = np.loadtxt(BytesIO(text), np.float32, comments=None, usecols=selection, ndmin=2)
    except ValueError:
        return None
    return table if table.shape == (num_lines, len(columns)) else None


def _bad_line(lines: _Lines, numbers: Iterable[int], columns: int, subject: str) -> str:
    """Return a message about the first of these lines that is not `columns` numbers."""
    bad = next((n for n in numbers if not _is_numbers(lines.get(n), columns)), None)
    place = "" if bad is None else f" in line {bad + 1}, {lines.get(bad)[:60].decode(errors='replace').strip()!r}"
    return (
        f"{subject} is not the {columns} numbers expected{place}; the file is cut off or malformed: download it again"
    )


def _is_numbers(line: bytes, count: int) -> bool:
    try:
        return len([float(word) for word in line.split()]) == count
    except ValueError:
        return False


def _track(
    frames: Int[np.ndarray, " rows"],
    joints: Float32[np.ndarray, "rows J columns"],
    bodies: Float32[np.ndarray, "rows 10"] | None,
    index: Int[np.ndarray, " n"],
) -> BodyTrack:
    columns = joints[index] if len(index) < len(joints) else joints
    shape = columns.shape[:2]
    if bodies is None:
        nan = np.broadcast_to(np.float32(np.nan), (*shape, 4))
        unknown = np.broadcast_to(_UNKNOWN, (shape[0], max(7, shape[1])))
        pixels, lean = nan[..., :2], nan[:, 0, :2]
        return BodyTrack(frames[index], columns, pixels, pixels, nan, unknown[:, : shape[1]], unknown[:, :7], lean)
    return BodyTrack(
        frames=frames[index],
        joints=columns[..., 0:3],
        depth=columns[..., 3:5],
        colour=columns[..., 5:7],
        orientation=columns[..., 7:11],
        joint_state=columns[..., 11].astype(np.int64),
        states=bodies[index][:, _STATE_COLUMNS].astype(np.int64),
        lean=bodies[index][:, 7:9],
    )


def write_skeleton(path: Path, recording: Recording) -> None:
    """Write a recording as `.skeleton` text, with the seven significant digits that NTU's own files have."""
    frames: list[list[str]] = [[] for _ in range(recording.num_frames)]
    for body_id, track in recording.bodies.items():
        for frame, text in zip(track.frames, _body_texts(body_id, track), strict=True):
            frames[frame].append(text)
    parts = [f"{recording.num_frames}\n"]
    for texts in frames:
        parts += [f"{len(texts)}\n", *texts]
    with atomic_path(Path(path)) as temporary:
        temporary.write_text("".join(parts), encoding="ascii", newline="\n")


def _body_texts(body_id: int, track: BodyTrack) -> Iterator[str]:
    num_joints = track.joints.shape[1]
    joint_line = "%.7g " * (_JOINT_COLUMNS - 1) + "%d\n"
    pattern = f"{body_id} %d %d %d %d %d %d %.7g %.7g %d\n{num_joints}\n" + joint_line * num_joints
    joints = np.concatenate(
        [track.joints, track.depth, track.colour, track.orientation, track.joint_state[..., None]], axis=-1
    )
    bodies = np.concatenate([track.states[:, :6], track.lean, track.states[:, 6:]], axis=-1)
    for body, joint in zip(bodies.tolist(), joints.reshape(len(joints), -1).tolist(), strict=True):
        yield pattern % (*body, *joint)
