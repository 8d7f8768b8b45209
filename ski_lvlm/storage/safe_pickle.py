"""Pickles of others, read without running anything in them: numpy arrays and Python's plain containers only."""

import pickle
import zipfile
from collections.abc import Callable, Mapping
from io import BufferedIOBase
from pathlib import Path
from typing import Any

import numpy as np

from ski_lvlm.storage.git_lfs import refuse_pointers

# Where numpy's versions keep the three functions that an array or a scalar is rebuilt with.
_NUMPY_MODULES = ("numpy.core.multiarray", "numpy._core.multiarray", "numpy.core.numeric", "numpy._core.numeric")
_NUMPY_FUNCTIONS = ("_reconstruct", "scalar", "_frombuffer")
_ADMITTED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    **{
        (module, kind.__name__): kind
        for module in ("builtins", "__builtin__")  # Python 3 and Python 2
        for kind in (set, frozenset, complex, bytearray)
    },
}


_DAMAGED = (pickle.UnpicklingError, EOFError, AttributeError, ImportError, LookupError, TypeError, ValueError)


class UnsafePickleError(ValueError):
    """A pickle that asks for something other than arrays and containers, or is damaged."""


def _latin1(text: str, encoding: str) -> bytes:
    """Encode text as the bytes that Python 3 wrote into an old pickle format."""
    if encoding != "latin1":
        raise UnsafePickleError(f"the pickle encodes text as {encoding!r}; expected latin1")
    return text.encode("latin1")


class _ArraysOnly(pickle.Unpickler):
    def __init__(self, file: BufferedIOBase, records: Mapping[tuple[str, str], type] | None = None) -> None:
        super().__init__(file, encoding="latin1")
        self._records = records or {}

    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        if (module, name) in _ADMITTED:
            return _ADMITTED[module, name]
        if (module, name) in self._records:
            return self._records[module, name]
        if module in _NUMPY_MODULES and name in _NUMPY_FUNCTIONS:
            source = np._core.numeric if name == "_frombuffer" else np._core.multiarray  # type: ignore[attr-defined]
            return getattr(source, name)
        if (module, name) == ("_codecs", "encode"):
            return _latin1
        raise UnsafePickleError(f"the pickle asks for {module}.{name}")


def load_stream(content: BufferedIOBase, *, records: Mapping[tuple[str, str], type] | None = None) -> object:
    """Read a pickle from an open file, as `load_arrays`.

    `records` are classes of ours, by module and name of the class in whose place they stand. They get its state.
    """
    try:
        return _ArraysOnly(content, records).load()
    except UnsafePickleError:
        raise
    except _DAMAGED as error:
        raise UnsafePickleError(f"not a readable pickle ({error})") from error


def load_arrays(path: Path) -> object:
    """Read a pickle that holds nothing but numpy arrays, scalars and dtypes, and Python's built-in values.

    Raises:
        UnsafePickleError: it asks for anything else (nothing of it is run), or it is damaged.
        PointerError: it is a Git LFS pointer.
    """
    refuse_pointers(path)
    try:
        with Path(path).open("rb") as file:
            return _ArraysOnly(file).load()
    except UnsafePickleError as error:
        raise UnsafePickleError(
            f"{path}: {error}; only numpy arrays and Python's built-in values are read from pickles, because a pickle "
            "can run any program: if you trust the file, convert it to .npy or .npz"
        ) from error
    except _DAMAGED as error:
        reason = " ".join(str(error).split())
        if zipfile.is_zipfile(path):
            reason += ", it is a zip file as torch.save and np.savez write; save it as .npy"
        raise UnsafePickleError(f"{path}: not a readable pickle ({reason}); download or make it again") from error
