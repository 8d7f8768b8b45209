"""Git LFS pointers: the small text files that `git clone` leaves where large files should be."""

from collections.abc import Iterable
from pathlib import Path

_BEGINNING = b"version https://git-lfs"
LARGEST = 1024  # bytes; the specification's own limit


class PointerError(ValueError):
    """A Git LFS pointer in the place of a file."""


def refuse_pointers(path: Path | str) -> None:
    """Make sure that a file, or each file directly in a folder, is no Git LFS pointer.

    Raises:
        PointerError: one is.
    """
    path = Path(path)
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    if pointers := list(_pointers(files)):
        names = f"{pointers[0]} and {len(pointers) - 1} other files" if len(pointers) > 1 else f"{pointers[0]}"
        raise PointerError(
            f"{names}: found a Git LFS pointer, expected the file itself; run `git lfs pull` in that folder"
        )


def _pointers(files: Iterable[Path]) -> Iterable[Path]:
    for file in files:
        if file.is_file() and file.stat().st_size <= LARGEST:
            with file.open("rb") as content:
                if content.read(len(_BEGINNING)) == _BEGINNING:
                    yield file
