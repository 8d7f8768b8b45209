"""Tensors that are made once, written to a file, and mapped by every process that needs them.

Such a file can always be made again. So a damaged or outdated one is replaced, and where no folder can be written to,
each process makes the tensors for itself.
"""

import contextlib
import importlib.metadata
import logging
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from filelock import FileLock
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from ski_lvlm.storage.digests import digest, file_digest
from ski_lvlm.storage.files import atomic_path

logger = logging.getLogger(__name__)
_PACKAGE = Path(__file__).resolve().parents[1]
_ROOMS = ("datasets", "llm", "lvlm", "storage")  # whose rules the tensors follow


def cached_tensors(
    name: str, folders: Sequence[Path], *, state: str, make: Callable[[], Mapping[str, Tensor]]
) -> dict[str, Tensor]:
    """Return tensors from the file `name`.safetensors in one of the folders, made and written if need be.

    The first process that needs them makes them. Others wait for its lock.

    Args:
        name: what the tensors are of. Another state replaces the file.
        folders: where the file may be, in order of preference. None: the tensors stay in memory.
        state: digest of all that the tensors depend on.
        make: makes the tensors.
    """
    files = [folder / f"{name}.safetensors" for folder in folders]
    for candidate in files:
        if (tensors := _read(candidate, state, explain=False)) is not None:
            return tensors
    with _first_lock(files) as file:
        if file is None:
            return dict(make())
        if (tensors := _read(file, state)) is not None:
            return tensors
        fresh = dict(make())
        try:
            _write(file, fresh, state)
        except (OSError, SafetensorError) as error:
            logger.warning("%s could not be written (%s); the next start makes it again", file, error)
            return fresh
        return _read(file, state) or fresh  # mapped, it is shared with the other processes


@contextlib.contextmanager
def _first_lock(files: Sequence[Path]) -> Iterator[Path | None]:
    """Hold the lock of the first file that can be locked. None: there is no such file."""
    with contextlib.ExitStack() as stack:
        for file in files:
            try:
                file.parent.mkdir(parents=True, exist_ok=True)
                stack.enter_context(FileLock(f"{file}.lock"))
            except (OSError, NotImplementedError) as error:  # read-only, full, or a file system without locks
                logger.warning("%s cannot be made (%s)", file, error)
                continue
            yield file
            return
        yield None


def _read(file: Path, state: str, *, explain: bool = True) -> dict[str, Tensor] | None:
    """Map the tensors of a file. None: there is no such file, it is damaged, or has another state."""
    if not file.is_file():
        return None
    try:
        with safe_open(file, framework="pt") as opened:
            entries = opened.metadata() or {}
        if entries.get("state") != state:
            return None
        tensors = load_file(file)
        reason = None if entries.get("checksum") == _checksum(tensors) else "its checksum differs"
    except (SafetensorError, OSError) as error:
        reason = str(error)
    if reason is None:
        return tensors
    if explain:
        logger.warning("%s is damaged (%s); making it again", file, reason)
    return None


def _write(file: Path, tensors: Mapping[str, Tensor], state: str) -> None:
    for partial in file.parent.glob(f".{file.stem}.*.partial{file.suffix}"):  # of processes that were killed
        partial.unlink(missing_ok=True)
    with atomic_path(file) as temporary:
        save_file(dict(tensors), temporary, metadata={"state": state, "checksum": _checksum(tensors)})


def _checksum(tensors: Mapping[str, Tensor]) -> str:
    checksum = 0
    for key in sorted(tensors):
        content: Any = tensors[key].numpy()
        checksum = zlib.crc32(content, zlib.crc32(key.encode(), checksum))
    return str(checksum)


@lru_cache(maxsize=1)
def rules_digest() -> str:
    """Return a digest of the code and the libraries that read instructions and make samples of them."""
    sources = [file_digest(file) for room in _ROOMS for file in sorted((_PACKAGE / room).rglob("*.py"))]
    versions = [importlib.metadata.version(name) for name in ("transformers", "tokenizers", "jinja2")]
    return digest(*sources, *versions)
