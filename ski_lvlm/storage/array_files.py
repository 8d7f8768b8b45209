"""What is wrong with an `.npy` or `.npz` file that NumPy does not read: a pointer, Python objects, or a cut file."""

import zipfile
from io import BufferedIOBase, BytesIO
from pathlib import Path

import numpy as np

from ski_lvlm.storage.git_lfs import PointerError, refuse_pointers
from ski_lvlm.storage.safe_pickle import UnsafePickleError, load_stream

_OF_NTU_S_CONVERTER = {"nbodys", "skel_body0"}


def array_fault(file: Path, error: Exception, *, remedy: str) -> str:
    """Return why a file is no plain array and what to do.

    Args:
        file: what NumPy did not read.
        error: what NumPy said.
        remedy: what helps if the file is just damaged.
    """
    try:
        refuse_pointers(file)
        return _objects_in(file) or f"{error}; {remedy}"
    except PointerError as pointer:
        return str(pointer).removeprefix(f"{file}: ")
    except (OSError, EOFError, ValueError, zipfile.BadZipFile):  # too damaged to say more
        return f"{error}; {remedy}"


def _objects_in(file: Path) -> str | None:
    """What an array of Python objects holds; None for any other array."""
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            texts = {member: _objects_of(BytesIO(archive.read(member))) for member in archive.namelist()}
        return next((f"{member} is {text}" for member, text in texts.items() if text), None)
    with file.open("rb") as content:
        return _objects_of(content)


def _objects_of(content: BufferedIOBase) -> str | None:
    version = np.lib.format.read_magic(content)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(content)
    if not dtype.hasobject:
        return None
    try:
        held = load_stream(content)
    except UnsafePickleError as error:
        return f"an array of Python objects ({error}); save it as a plain array of numbers"
    return _described(held.item() if isinstance(held, np.ndarray) and shape == () else held)


def _described(held: object) -> str:
    if isinstance(held, dict) and set(held) >= _OF_NTU_S_CONVERTER:
        return (
            "the dictionary that NTU's own converter txt2npy.py writes, which does not keep which body is which from "
            "frame to frame; give NTU's .skeleton files instead, by --ntu"
        )
    what = f"a dictionary of {', '.join(map(str, list(held)[:5]))}" if isinstance(held, dict) else "Python objects"
    return f"{what} and no plain array; save one array of numbers a clip, for example np.save(file, joints)"
