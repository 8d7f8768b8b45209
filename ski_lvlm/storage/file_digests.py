"""Fingerprints of whole files, remembered for large ones."""

import contextlib
import hashlib
import os
from pathlib import Path

from ski_lvlm.storage.files import append_jsonl, read_jsonl

_REMEMBERED_FROM = 1 << 26  # bytes; smaller files are read again in no time


def file_digest(path: Path) -> str:
    """Return a hash of all bytes of a file."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()[:16]


def remembered_digest(path: Path) -> str:
    """Return `file_digest` of a file, remembered in `SKI_CACHE` for as long as size and time of change stay."""
    status = path.stat()
    if status.st_size < _REMEMBERED_FROM:
        return file_digest(path)
    state = {"file": str(path.resolve()), "size": status.st_size, "mtime_ns": status.st_mtime_ns}
    memory = cache_folder() / "file_digests.jsonl"
    known = next((record for record in read_jsonl(memory) if {**record, **state} == record), None)
    if known is None:
        known = {**state, "digest": file_digest(path)}
        with contextlib.suppress(OSError):  # a cache that cannot be written costs time alone
            append_jsonl(memory, known)
    return str(known["digest"])


def cache_folder() -> Path:
    """Return the folder of what can be made again: `SKI_CACHE`, by default ~/.cache/ski_lvlm."""
    return Path(os.environ.get("SKI_CACHE", Path.home() / ".cache" / "ski_lvlm"))
