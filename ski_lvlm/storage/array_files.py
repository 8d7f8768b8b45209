"""Headers of `.npy` files that grow, and explanations of `.npy` and `.npz` files that NumPy does not read.

Such a file is a pointer, holds Python objects, or is cut.
"""

import zipfile
from collections.abc import Mapping, Sequence
from io import BufferedIOBase, BytesIO
from pathlib import Path

import numpy as np

from ski_lvlm.storage.git_lfs import PointerError, refuse_pointers
from ski_lvlm.storage.safe_pickle import UnsafePickleError, load_stream

_NTU_CONVERTER_KEYS = {"nbodys", "skel_body0"}


def npy_header(shape: Sequence[int], dtype: str) -> bytes:
    """Return the beginning of a `.npy` file.

    Its length does not depend on the size of the array, so that it can be written again when the array has grown.

    >>> len(npy_header((7,), "<f4")) == len(npy_header((70_000_000,), "<f4"))
    True
    """
    buffer = BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": dtype, "fortran_order": False, "shape": tuple(shape)})
    return buffer.getvalue()


def read_objects(file: Path, records: Mapping[tuple[str, str], type]) -> np.ndarray:
    """Return the array of Python objects in a `.npy` file.

    `records` are classes of ours, by module and name of the class in whose place they stand.

    Raises:
        UnsafePickleError: it holds other classes, or is damaged.
        PointerError: it is a Git LFS pointer.
    """
    refuse_pointers(file)
    try:
        with file.open("rb") as content:
            _header(content)
            value = load_stream(content, records=records)
    except ValueError as error:
        raise UnsafePickleError(f"{file}: {error}; copy it again") from error
    if not isinstance(value, np.ndarray):
        raise UnsafePickleError(f"{file}: found {type(value).__name__}; expected an array of Python objects")
    return value


def array_fault(file: Path, error: Exception, *, remedy: str) -> str:
    """Return why NumPy raised `error` for a file, and the remedy. `remedy` is that for a damaged file."""
    try:
        refuse_pointers(file)
        return _objects_in_file(file) or f"{error}; {remedy}"
    except PointerError as pointer:
        return str(pointer).removeprefix(f"{file}: ")
    except (OSError, EOFError, ValueError, zipfile.BadZipFile):  # too damaged to say more
        return f"{error}; {remedy}"


def _objects_in_file(file: Path) -> str | None:
    """Describe an array of Python objects. The result is None for any other array."""
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            texts = {member: _objects_in_stream(BytesIO(archive.read(member))) for member in archive.namelist()}
        return next((f"{member} is {text}" for member, text in texts.items() if text), None)
    with file.open("rb") as content:
        return _objects_in_stream(content)


def _objects_in_stream(content: BufferedIOBase) -> str | None:
    shape, dtype = _header(content)
    if not dtype.hasobject:
        return None
    try:
        value = load_stream(content)
    except UnsafePickleError as error:
        return f"an array of Python objects ({error}); save it as a plain array of numbers"
    return _describe(value.item() if isinstance(value, np.ndarray) and shape == () else value)


def _header(content: BufferedIOBase) -> tuple[tuple[int, ...], np.dtype]:
    """Read the header of a `.npy` file: shape and type of its array."""
    version = np.lib.format.read_magic(content)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(content)
    return shape, dtype


def _describe(value: object) -> str:
    if isinstance(value, dict) and set(value) >= _NTU_CONVERTER_KEYS:
        return (
            "the dictionary that NTU's own converter txt2npy.py writes, which does not keep which body is which from "
            "frame to frame; give NTU's .skeleton files instead, by --ntu"
        )
    kind = f"a dictionary of {', '.join(map(str, list(value)[:5]))}" if isinstance(value, dict) else "Python objects"
    return f"{kind} and no plain array; save one array of numbers a clip, for example np.save(file, joints)"
