"""Packed set: all cleaned skeletons in one memory-mapped file, which every process and rank shares.

A folder with `joints.npy` (float32, clip after clip, NaN where a person is absent) and `index.json` (layout, cleaning,
and of each clip the name, frames and persons). A set that is being written is `joints.npy.partial`, without an index.
"""

import errno
import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from jaxtyping import Float32

from ski_lvlm.skeletons.layouts import Layout, layout_named
from ski_lvlm.skeletons.preprocessing import Preprocessing
from ski_lvlm.storage.array_files import array_fault, npy_header
from ski_lvlm.storage.files import atomic_path
from ski_lvlm.storage.json_files import read_json
from ski_lvlm.storage.shards import only_process

_FORMAT = 1


class PackedSkeletons:
    """A packed set that is open for reading. `get` returns views of the mapped file, and no copies."""

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
            ValueError: there is none, or its two files do not belong together.
        """
        return cls(folder)

    def __reduce__(self) -> tuple[type["PackedSkeletons"], tuple[Path]]:
        return type(self), (self.folder,)  # worker processes map the file themselves, and no joint is copied to them

    def __len__(self) -> int:
        return len(self.names)

    def __contains__(self, name: object) -> bool:
        return name in self._rows

    def num_frames(self, name: str) -> int:
        """Return the number of frames of a clip."""
        return int(self._shapes[self._row(name), 0])

    def get(self, name: str) -> Float32[np.ndarray, "T M J C"]:
        """Return the clip's joints, read-only, and NaN where a person is absent.

        Raises:
            ValueError: the set does not hold the clip.
        """
        row = self._row(name)
        frames, persons = self._shapes[row]
        values = self._values[self._offsets[row] : self._offsets[row + 1]]
        return values.reshape(frames, persons, self.layout.num_joints, self.layout.dimensions)

    def check_made_for(self, preprocessing: Preprocessing) -> None:
        """Make sure that an encoder trained with this preprocessing may be fed from the set.

        Raises:
            ValueError: the set has another layout or cleaning.
        """
        preprocessing.check_matches(replace(preprocessing, layout=self.layout.name, cleaning=self.cleaning))

    def _row(self, name: str) -> int:
        if name not in self._rows:
            raise ValueError(
                f"{self.folder}: no clip {name!r} among its {len(self)} skeletons; it may be known to have no "
                "usable skeleton: leave it out, or prepare the folder that holds it"
            )
        return self._rows[name]


def _read_index(folder: Path) -> dict:
    path = folder / "index.json"
    if not path.is_file():
        raise ValueError(
            f"{folder}: no packed skeletons (index.json) here; make them with scripts/prepare_ntu.py, "
            "scripts/prepare.py or scripts/estimate_skeletons.py"
        )
    try:
        index = read_json(path)
    except ValueError as error:
        raise ValueError(
            f"{path}: damaged ({error}); delete the folder and run the command that made it again"
        ) from error
    if index.get("format") != _FORMAT:
        raise ValueError(
            f"{path}: format {index.get('format')!r}, but this code reads {_FORMAT}; run the command that made it again"
        )
    return index


def _map_joints(path: Path, expected: int) -> Float32[np.ndarray, " values"]:
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        fault = array_fault(path, error, remedy="run the command that made it again")
        raise ValueError(f"{path}: cannot be read: {fault}") from error
    if values.shape != (expected,) or values.dtype != np.float32:
        raise ValueError(
            f"{path}: {values.shape} {values.dtype} values, but the index promises {expected} of float32; the files do "
            "not belong together: run the command that made them again"
        )
    return values.view(np.ndarray)


class PackedWriter:
    """Writer of a packed set, clip by clip. It comes from `packed_writer`."""

    def __init__(self, file: BinaryIO, layout: Layout) -> None:
        self.names: list[str] = []
        self.shapes: list[tuple[int, ...]] = []
        self._file, self._layout = file, layout

    def add(self, name: str, joints: Float32[np.ndarray, "T M J C"]) -> None:
        """Append one clip."""
        expected = (self._layout.num_joints, self._layout.dimensions)
        if joints.shape[2:] != expected:
            raise ValueError(f"{name}: joints {joints.shape[2:]}, but the layout {self._layout.name} has {expected}")
        self._file.write(np.ascontiguousarray(joints).data)
        self.names.append(name)
        self.shapes.append(joints.shape)


@contextmanager
def packed_writer(folder: Path, *, layout: Layout, cleaning: str, source: str) -> Iterator[PackedWriter]:
    """Yield a writer. Its set replaces an older one when the block ends without an error.

    Raises:
        ValueError: another process writes here, or the disk is full.
    """
    folder = Path(folder)
    partial = folder / "joints.npy.partial"
    with only_process(folder), _disk_full_explained(folder):
        try:
            with partial.open("wb") as file:
                file.write(npy_header((0,), "<f4"))
                writer = PackedWriter(file, layout)
                yield writer
                file.seek(0)
                file.write(npy_header((sum(math.prod(shape) for shape in writer.shapes),), "<f4"))
                file.flush()
                os.fsync(file.fileno())
            frames, persons = ([shape[axis] for shape in writer.shapes] for axis in (0, 1))
            index: dict[str, Any] = {"source": source, "layout": layout.name, "cleaning": cleaning, "format": _FORMAT}
            index |= {"names": writer.names, "frames": frames, "persons": persons}
            with atomic_path(folder / "index.json") as temporary:
                temporary.write_text(json.dumps(index), encoding="utf-8")
                # A crash between the two replacements leaves joints without an index, and never a wrong pair.
                (folder / "index.json").unlink(missing_ok=True)
                partial.replace(folder / "joints.npy")
        finally:
            partial.unlink(missing_ok=True)


@contextmanager
def _disk_full_explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        raise ValueError(
            f"{folder}: the disk is full; NTU120 needs about 4 GB. Free space or choose another --out and run the same "
            "command again"
        ) from error
