"""The packed set: all cleaned skeletons in one memory-mapped file, which every process and rank shares.

A folder with `joints.npy` (float32, clip after clip, NaN where a person is absent) and `index.json` (layout, cleaning,
and of each clip the name, frames and persons). While a set is being written its files end in `.partial`, and a
journal says which clips are safe; a killed writer goes on after the last of these.
"""

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, NamedTuple

import numpy as np
from jaxtyping import Float32

from ski_lvlm.skeletons.layouts import Layout, layout_named
from ski_lvlm.storage.array_files import array_fault
from ski_lvlm.storage.files import append_jsonl, atomic_path, read_jsonl
from ski_lvlm.storage.json_files import read_json

_FORMAT = 1
_VALUE_BYTES = 4


class PackedError(ValueError):
    """A packed set is absent, incomplete or damaged."""


class Prepared(NamedTuple):
    """A clip for the packed set, or why there is none."""

    name: str
    joints: Float32[np.ndarray, "T M J C"] | None
    problem: str = ""


class PackedSkeletons:
    """A packed set that is open for reading; `get` returns views of the mapped file, so nothing is loaded up front."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        index = _read_index(self.folder)
        self.names: list[str] = index["names"]
        self.layout: Layout = layout_named(index["layout"])
        self.cleaning: str = index["cleaning"]
        self.source: str = index["source"]
        self._shapes = np.column_stack([index["frames"], index["persons"]]).reshape(-1, 2)
        self._clip_values = self.layout.num_joints * self.layout.dimensions
        self._offsets = np.concatenate([[0], np.cumsum(self._shapes.prod(axis=1))]) * self._clip_values
        self._rows = {name: row for row, name in enumerate(self.names)}
        self._values = _map_joints(self.folder / "joints.npy", int(self._offsets[-1]))

    @classmethod
    def open(cls, folder: Path) -> "PackedSkeletons":
        """Open the packed set in `folder`.

        Raises:
            PackedError: there is none, or its two files do not belong together.
        """
        return cls(folder)

    def __reduce__(self) -> tuple[type["PackedSkeletons"], tuple[Path]]:
        """Worker processes map the file themselves; the joints are never copied between processes."""
        return type(self), (self.folder,)

    def __len__(self) -> int:
        return len(self.names)

    def __contains__(self, name: object) -> bool:
        return name in self._rows

    def num_frames(self, name: str) -> int:
        """How many frames the clip has."""
        return int(self._shapes[self._row(name), 0])

    def get(self, name: str) -> Float32[np.ndarray, "T M J C"]:
        """The clip's joints, read-only; NaN where a person is absent.

        Raises:
            PackedError: the set does not hold the clip.
        """
        row = self._row(name)
        frames, persons = self._shapes[row]
        values = self._values[self._offsets[row] : self._offsets[row + 1]]
        return values.reshape(frames, persons, self.layout.num_joints, self.layout.dimensions)

    def _row(self, name: str) -> int:
        if name not in self._rows:
            raise PackedError(
                f"{self.folder}: no clip {name!r} among its {len(self)} skeletons; it may be on NTU's list of missing "
                "skeletons: leave it out, or prepare the folder that holds it"
            )
        return self._rows[name]


def _read_index(folder: Path) -> dict:
    path = folder / "index.json"
    if not path.is_file():
        raise PackedError(f"{folder}: no packed skeletons (index.json) here; make them with scripts/prepare_ntu.py")
    try:
        index = read_json(path)
    except ValueError as error:
        raise PackedError(
            f"{path}: damaged ({error}); delete the folder and run scripts/prepare_ntu.py again"
        ) from error
    if index.get("format") != _FORMAT:
        raise PackedError(
            f"{path}: format {index.get('format')!r}, but this code reads {_FORMAT}; run scripts/prepare_ntu.py again"
        )
    return index


def _map_joints(path: Path, expected: int) -> Float32[np.ndarray, " values"]:
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        fault = array_fault(path, error, remedy="run scripts/prepare_ntu.py again")
        raise PackedError(f"{path}: cannot be read: {fault}") from error
    if values.shape != (expected,) or values.dtype != np.float32:
        raise PackedError(
            f"{path}: {values.shape} {values.dtype} values, but the index promises {expected} of float32; the files do "
            "not belong together: run scripts/prepare_ntu.py again"
        )
    return values.view(np.ndarray)


class PackedWriter:
    """Writes a packed set clip by clip; use it as a context manager.

    Everything goes to `.partial` files until the block ends without an error; then the set replaces an older one. If
    the folder holds a journal of an unfinished set from the same `source`, its clips are kept and are in `names`.
    """

    def __init__(self, folder: Path, *, layout: Layout, cleaning: str, source: str) -> None:
        self.folder = Path(folder)
        self.layout = layout
        self.cleaning = cleaning
        self._journal = self.folder / "journal.jsonl.partial"
        self._data_path = self.folder / "joints.npy.partial"
        self._start = {"source": source, "layout": layout.name, "cleaning": cleaning, "format": _FORMAT}
        self._clips: list[dict] = []
        self._unsafe: list[dict] = []
        self._file: BinaryIO | None = None

    @property
    def names(self) -> list[str]:
        """The clips that the set holds so far."""
        return [clip["name"] for clip in self._clips + self._unsafe]

    def __enter__(self) -> "PackedWriter":
        self.folder.mkdir(parents=True, exist_ok=True)
        records = read_jsonl(self._journal)
        if records and records[0] == self._start and self._data_path.exists():
            self._clips = self._safe_clips(records[1:])
        else:
            self._journal.unlink(missing_ok=True)
            append_jsonl(self._journal, self._start)
        self._file = self._data_path.open("r+b" if self._clips else "wb")
        self._file.write(_header(0))
        self._file.seek(self._end(self._clips))
        self._file.truncate()
        return self

    def _safe_clips(self, records: list[dict]) -> list[dict]:
        """The journal's clips whose joints reached the disk."""
        free = self._data_path.stat().st_size - len(_header(0))
        clips: list[dict] = []
        for batch in records:
            free -= _VALUE_BYTES * self._num_values(batch["clips"])
            if free < 0:
                break
            clips += batch["clips"]
        return clips

    def _end(self, clips: list[dict]) -> int:
        return len(_header(0)) + _VALUE_BYTES * self._num_values(clips)

    def _num_values(self, clips: list[dict]) -> int:
        per_person = self.layout.num_joints * self.layout.dimensions
        return sum(clip["frames"] * clip["persons"] for clip in clips) * per_person

    def add(self, name: str, joints: Float32[np.ndarray, "T M J C"]) -> None:
        """Append one clip.

        Raises:
            PackedError: the disk is full; what was written before is kept for the next attempt.
        """
        expected = (self.layout.num_joints, self.layout.dimensions)
        if joints.shape[2:] != expected:
            raise PackedError(f"{name}: joints {joints.shape[2:]}, but the layout {self.layout.name} has {expected}")
        assert self._file, "enter the writer's context first"
        with _disk_full_explained(self.folder):
            self._file.write(np.ascontiguousarray(joints).data)
        self._unsafe.append({"name": name, "frames": joints.shape[0], "persons": joints.shape[1]})

    def checkpoint(self) -> None:
        """Make what was added so far survive a kill."""
        assert self._file, "enter the writer's context first"
        with _disk_full_explained(self.folder):
            self._file.flush()
            os.fsync(self._file.fileno())
            append_jsonl(self._journal, {"clips": self._unsafe})
        self._clips, self._unsafe = self._clips + self._unsafe, []

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        assert self._file, "enter the writer's context first"
        if kind is None:
            self.checkpoint()
            self._file.seek(0)
            self._file.write(_header(self._num_values(self._clips)))
        with _disk_full_explained(self.folder):
            self._file.close()
        if kind is None:
            self._publish()
        elif not self._clips:
            self._data_path.unlink()
            self._journal.unlink()

    def _publish(self) -> None:
        """Put the set in place; between the two replacements the old index is gone, so a kill leaves no wrong pair."""
        columns = {key: [clip[key] for clip in self._clips] for key in ("name", "frames", "persons")}
        index = {**self._start, "names": columns.pop("name")}
        with _disk_full_explained(self.folder), atomic_path(self.folder / "index.json") as temporary:
            temporary.write_text(json.dumps({**index, **columns}), encoding="utf-8")
            (self.folder / "index.json").unlink(missing_ok=True)
            self._data_path.replace(self.folder / "joints.npy")
        self._journal.unlink()


def _header(num_values: int) -> bytes:
    """The `.npy` header of a flat float32 array; numpy pads it so that its length does not depend on the number."""
    buffer = BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<f4", "fortran_order": False, "shape": (num_values,)})
    return buffer.getvalue()


@contextmanager
def _disk_full_explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        raise PackedError(
            f"{folder}: the disk is full; NTU120 needs about 4 GB. Free space or choose another --out and run the same "
            "command again: it goes on where it stopped"
        ) from error
