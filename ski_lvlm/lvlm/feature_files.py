"""Files with one clip's tokens: our own `.npy`, or other programs' `.safetensors` and `.pkl`."""

import io
import math
import os
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Shaped

from ski_lvlm.storage.array_files import array_fault

_HEADER = 128  # bytes of the header that numpy writes before tokens
SUFFIXES = (".npy", ".safetensors", ".pkl")


class FeatureError(ValueError):
    """Features that are missing, damaged or of the wrong kind. The message names the file and the remedy."""


def read_tokens(file: Path, *, finite: bool = True) -> Float[np.ndarray, "N F"]:
    """Read the tokens in a file. A `.npy` is memory-mapped: with `finite=False` no values are read for the shape.

    Raises:
        FeatureError: damaged, not one array of N x F floating-point numbers, or (with `finite`) NaN or infinite values.
    """
    readers = {".npy": _read_npy, ".safetensors": _read_safetensors, ".pkl": _read_pickle}
    tokens = readers[file.suffix.lower()](file)
    check_tokens(tokens, file, finite=finite)
    return tokens


def count_tokens(file: Path) -> int:
    """Return N of the tokens in a file. Of a `.npy` only the beginning is read.

    Raises:
        FeatureError: as `read_tokens` without a look at the values.
    """
    if file.suffix.lower() == ".npy":
        with file.open("rb") as content:
            header = _header(content.read(_HEADER))
            if header and os.fstat(content.fileno()).st_size >= header.size:
                return header.num_tokens
    return len(read_tokens(file, finite=False))  # says what is wrong, if anything is


class _Header(NamedTuple):
    num_tokens: int
    size: int  # bytes of the file at least


@lru_cache(maxsize=1024)  # most files of a folder begin alike
def _header(start: bytes) -> _Header | None:
    """Return the header at the start of a `.npy`, or None if it is longer or not one of tokens."""
    content = io.BytesIO(start)
    try:
        version = np.lib.format.read_magic(content)
        shape, _, dtype = np.lib.format.read_array_header_1_0(content) if version == (1, 0) else ((), False, None)
    except ValueError:
        return None
    if dtype is None or len(shape) != 2 or 0 in shape or dtype.kind != "f":
        return None
    return _Header(shape[0], content.tell() + math.prod(shape) * dtype.itemsize)


def check_tokens(tokens: Shaped[np.ndarray, "..."], file: Path, *, finite: bool = True) -> None:
    """Make sure that an array is floating-point N x F and (with `finite`) finite. `file` is for the message."""
    if tokens.ndim != 2 or 0 in tokens.shape or tokens.dtype.kind != "f":
        raise FeatureError(
            f"{file}: found an array of shape {tokens.shape} and type {tokens.dtype}, expected floating-point N x F "
            "(tokens x width) without a batch axis"
        )
    if finite and (bad := int((~np.isfinite(tokens)).sum())):
        raise FeatureError(
            f"{file}: {bad} of {tokens.size} values are NaN or infinite in {tokens.dtype}; extract this clip again"
        )


def _read_npy(file: Path) -> np.ndarray:
    try:
        return np.load(file, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        fault = array_fault(file, error, remedy="delete it and extract this clip again")
        raise FeatureError(f"{file}: not a whole .npy array: {fault}") from error


def _read_safetensors(file: Path) -> np.ndarray:
    from ski_lvlm.storage.weight_files import WeightFileError, read_safetensors

    try:
        tensors = read_safetensors(file)
    except WeightFileError as error:
        raise FeatureError(f"{file}: not a whole safetensors file: {error}") from error
    if len(tensors) != 1:
        raise FeatureError(f"{file}: found {len(tensors)} tensors {sorted(tensors)}, expected one of shape N x F")
    tokens = next(iter(tensors.values()))
    return (tokens.float() if tokens.is_floating_point() else tokens).numpy()  # numpy has no bfloat16


def _read_pickle(file: Path) -> np.ndarray:
    from ski_lvlm.storage.safe_pickle import load_arrays

    tokens = load_arrays(file)
    if not isinstance(tokens, np.ndarray):
        raise FeatureError(f"{file}: holds a {type(tokens).__name__}, expected one array of shape N x F")
    return tokens
