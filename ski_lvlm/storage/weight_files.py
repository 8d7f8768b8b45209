"""Checks of weight files, so that a damaged one gives one clear line and not an error inside a library."""

import json
import pickle
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from ski_lvlm.storage.git_lfs import refuse_pointers

_FOREIGN = (SafetensorError, EOFError, pickle.UnpicklingError, zipfile.BadZipFile)


class WeightFileError(ValueError):
    """A damaged file of weights, or one that belongs to them."""


@contextmanager
def weights_explained(model: str | Path) -> Iterator[None]:
    """Check a model's files before they are loaded, and name the damaged one if loading fails.

    Args:
        model: a folder, a file, or a hub id. The files of a hub id are found by the library that loads them.

    Raises:
        PointerError: a file is a Git LFS pointer.
        WeightFileError: a file is cut short, empty or no such file at all.
    """
    check_weights(Path(model))
    try:
        yield
    except _FOREIGN as error:
        raise WeightFileError(f"the weights of {model} are damaged ({_first_line(error)}); fetch them again") from error


def check_weights(path: Path) -> None:
    """Make sure that a file, or each file directly in a folder, is whole. Only their ends are read.

    Raises:
        PointerError: a file is a Git LFS pointer.
        WeightFileError: a file is damaged.
    """
    if not path.exists():
        return
    refuse_pointers(path)
    for file in sorted(path.iterdir()) if path.is_dir() else [path]:
        if file.is_file() and (reason := damage_of(file)):
            raise WeightFileError(f"{file}: damaged or not copied to its end ({reason}); fetch it again")


def read_safetensors(file: Path) -> dict[str, Tensor]:
    """Return the tensors of a file by name.

    Raises:
        PointerError: the file is a Git LFS pointer.
        WeightFileError: it is cut short or no such file.
    """
    refuse_pointers(file)
    try:
        return load_file(file)
    except SafetensorError as error:
        raise WeightFileError(f"{file}: damaged or not copied to its end ({error}); fetch it again") from error


def damage_of(file: Path, *, checksums: bool = False) -> str | None:
    """Return the damage of a file of a kind that models consist of, by its suffix, or None.

    With `checksums`, a zip file as `torch.save` writes is read to its end.
    """
    if file.suffix == ".json":
        return _json_damage(file)
    if file.suffix == ".safetensors":
        return _safetensors_damage(file)
    if file.suffix in (".pt", ".pth", ".bin"):
        return _torch_damage(file, checksums=checksums)
    if file.suffix == ".gguf" and (start := _start(file, 4)) != b"GGUF":
        return f"it begins with {start!r}"
    return "it is empty" if file.suffix == ".model" and not _start(file, 1) else None


def _start(file: Path, count: int) -> bytes:
    with file.open("rb") as content:
        return content.read(count)


def _json_damage(file: Path) -> str | None:
    try:
        json.loads(file.read_bytes())
    except ValueError as error:
        return f"no JSON: {error}"
    return None


def _safetensors_damage(file: Path) -> str | None:
    try:
        with safe_open(file, framework="pt"):  # the header says how long the file must be
            return None
    except SafetensorError as error:
        return _first_line(error)


def _torch_damage(file: Path, *, checksums: bool) -> str | None:
    # A zip file ends with its table of contents. Of an older file, a pickle, only the beginning is known.
    start = _start(file, 2)
    if start in (b"", b"PK"):
        return _zip_damage(file, checksums=checksums)
    is_other = file.suffix == ".bin"  # which many formats are called
    return None if start[:1] == b"\x80" or is_other else f"it begins with {start!r}"


def _zip_damage(file: Path, *, checksums: bool) -> str | None:
    try:
        with zipfile.ZipFile(file) as archive:
            changed = archive.testzip() if checksums else None
    except (zipfile.BadZipFile, EOFError) as error:
        return _first_line(error)
    return f"checksum of {changed}" if changed else None


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
