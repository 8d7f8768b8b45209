"""Digests of texts and of whole files. Those of large files are cached."""

import contextlib
import hashlib
import os
from pathlib import Path

from ski_lvlm.storage.files import append_jsonl, read_jsonl

_CACHED_FROM = 1 << 26  # bytes; smaller files are read again in no time


def digest(*parts: object, length: int = 16) -> str:
    """Return the first hexadecimal digits of the SHA-256 of everything that prints.

    >>> digest("a", 1) == digest("a", 1), digest("a", 1) == digest("a1")
    (True, False)
    """
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:length]


def digest_number(text: str, *, num_bytes: int = 8) -> int:
    """Return a whole number below 256 ** `num_bytes` that depends on the text alone.

    >>> digest_number("a") == int(digest("a"), 16)
    True
    """
    return int(digest(text, length=2 * num_bytes), 16)


def file_digest(path: Path, *, length: int = 16) -> str:
    """Return the first hexadecimal digits of the SHA-256 of a file."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()[:length]


def remembered_digest(path: Path) -> str:
    """Return `file_digest` of a file, cached in `SKI_CACHE` until its size or time of change differs."""
    status = path.stat()
    if status.st_size < _CACHED_FROM:
        return file_digest(path)
    state = {"file": str(path.resolve()), "size": status.st_size, "mtime_ns": status.st_mtime_ns}
    cache = cache_folder() / "file_digests.jsonl"
    entry = next((entry for entry in read_jsonl(cache) if {**entry, **state} == entry), None)
    if entry is None:
        entry = {**state, "digest": file_digest(path)}
        with contextlib.suppress(OSError):  # without a cache it only takes longer
            append_jsonl(cache, entry)
    return str(entry["digest"])


def cache_folder() -> Path:
    """Return the folder of files that can be made again: `SKI_CACHE`, by default ~/.cache/ski_lvlm."""
    return Path(os.environ.get("SKI_CACHE", Path.home() / ".cache" / "ski_lvlm"))
