"""Files with one clip's tokens: our own `.npy`, or other programs' `.safetensors` and `.pkl`."""

from pathlib import Path

import numpy as np
from jaxtyping import Float, Shaped

from ski_lvlm.storage.array_files import array_fault

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
