"""Maps of clips, computed once by a frozen encoder and read from disk row by row, in half precision.

STAR's maps are large: 205 kB a clip, 7 GB for the training clips of NTU60. They are appended batch by batch, so that
another start goes on behind the last whole batch.
"""

import math
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from jaxtyping import Float, Float16
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from ski_lvlm.cli import progress
from ski_lvlm.datasets.skeleton_clips import SkeletonClips, collate
from ski_lvlm.skeleton_text.features import FeatureTable, clips_key
from ski_lvlm.storage.array_files import array_fault, npy_header
from ski_lvlm.storage.files import write_json
from ski_lvlm.storage.json_files import read_json

_BATCH = 64
_TYPE = np.dtype("<f2")


@dataclass(frozen=True)
class _State:
    """Whole clips in a file, and what the file is of. It is written after them."""

    key: str
    shape: list[int]  # of the whole array
    clips: int

    @property
    def header(self) -> bytes:
        """Return the beginning of the file."""
        return npy_header(self.shape, _TYPE.str)

    @property
    def size(self) -> int:
        """Return the bytes of the file so far."""
        return self.size_of(self.clips)

    def size_of(self, clips: int) -> int:
        """Return the bytes of a file of so many clips."""
        return len(self.header) + clips * math.prod(self.shape[1:]) * _TYPE.itemsize


def map_table(
    map_of: Callable[[Tensor], Float[Tensor, "B F U J"]],
    clips: SkeletonClips,
    *,
    file: Path,
    encoder: str,
    device: torch.device,
) -> FeatureTable:
    """Return the maps of clips as `feature_maps` does, with the classes that the clips show."""
    maps = feature_maps(map_of, clips, file=file, encoder=encoder, device=device)
    return FeatureTable.of(maps, torch.tensor(clips.labels, dtype=torch.int64))


def feature_maps(
    map_of: Callable[[Tensor], Float[Tensor, "B F U J"]],
    clips: SkeletonClips,
    *,
    file: Path,
    encoder: str,
    device: torch.device,
) -> Float16[Tensor, "N F U J"]:
    """Compute the maps of clips, or open those that an earlier start left in `file`. They stay on disk.

    Args:
        map_of: returns maps of clips, on `device`, with NaN for a joint that is absent.
        clips: not augmented.
        file: an .npy file. A .json file beside it says how far it is.
        encoder: digest of the encoder and of the kind of map.
        device: of the encoder.

    Raises:
        ValueError: a map is not finite or too large for half precision, the disk is too small, or the file is damaged.
    """
    key = clips_key(encoder, clips)
    state = _read_state(file, key)
    if state is None or state.clips < len(clips) or not _has_size(file, state.size):
        _write(map_of, clips, file, key, device)
    return _mapped(file)


def _mapped(file: Path) -> Float16[Tensor, "N F U J"]:
    try:
        return torch.from_numpy(np.load(file, mmap_mode="c", allow_pickle=False))  # "r" is no tensor's memory
    except (OSError, ValueError, EOFError) as error:
        fault = array_fault(file, error, remedy="delete it and run the same command again")
        raise ValueError(f"{file}: cannot be read: {fault}") from error


@torch.no_grad()
def _write(
    map_of: Callable[[Tensor], Float[Tensor, "B F U J"]],
    clips: SkeletonClips,
    file: Path,
    key: str,
    device: torch.device,
) -> None:
    partial = file.with_suffix(".npy.partial")
    file.parent.mkdir(parents=True, exist_ok=True)
    state = _read_state(file, key)
    if state is None or not _has_size(partial, state.size):
        state = None
        file.unlink(missing_ok=True)  # of another encoder, and as large
    start = state.clips if state else 0
    loader = DataLoader(Subset(clips, range(start, len(clips))), batch_size=_BATCH, collate_fn=collate)
    with (
        partial.open("r+b" if state else "wb") as content,
        progress(file.stem, total=len(clips), completed=start) as advance,
    ):
        for batch in loader:
            maps = _in_half(map_of(batch["skeleton"].to(device)))
            if state is None:
                state = _begun(content, _State(key, [len(clips), *maps.shape[1:]], 0), file.parent)
            state = _appended(content, maps, state)
            write_json(_state_file(file), asdict(state))
            advance(len(maps))
    partial.replace(file)


def _in_half(maps: Float[Tensor, "B F U J"]) -> Float16[np.ndarray, "B F U J"]:
    half = maps.half().cpu().numpy()
    if np.isinf(half).any() or np.isnan(half).all(axis=(1, 2, 3)).any():
        raise ValueError(
            "the skeleton encoder's maps are not numbers, or beyond 65504; its training diverged: pretrain it again"
        )
    return half


def _begun(content: BinaryIO, state: _State, folder: Path) -> _State:
    free, need = shutil.disk_usage(folder).free, state.size_of(state.shape[0])
    if free < need:
        raise ValueError(
            f"{folder}: {free / 1e9:.1f} GB are free, but maps of {state.shape[0]} clips take {need / 1e9:.1f} GB; "
            "free space or choose another --output_dir"
        )
    content.write(state.header)
    return state


def _appended(content: BinaryIO, maps: Float16[np.ndarray, "B F U J"], state: _State) -> _State:
    content.seek(state.size)
    content.truncate()
    content.write(np.ascontiguousarray(maps, dtype=_TYPE).data)
    content.flush()
    os.fsync(content.fileno())
    return _State(state.key, state.shape, state.clips + len(maps))


def _state_file(file: Path) -> Path:
    return file.with_suffix(".json")


def _read_state(file: Path, key: str) -> _State | None:
    """Return the state of a file that is of `key`. A damaged one counts as none."""
    try:
        content = read_json(_state_file(file))
        state = _State(**content)
    except (ValueError, TypeError, OSError):
        return None
    is_whole = isinstance(state.shape, Sequence) and all(type(n) is int for n in (*state.shape, state.clips))
    return state if is_whole and state.key == key else None


def _has_size(file: Path, size: int) -> bool:
    return file.is_file() and file.stat().st_size >= size
