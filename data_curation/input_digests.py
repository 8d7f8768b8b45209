"""Fingerprints of videos and skeletons, remembered so that a run over 100,000 files starts without reading them."""

import hashlib
import os
from pathlib import Path

from data_curation.ledger import Record, digest, read_manifest
from ski_lvlm.files import append_jsonl
from ski_lvlm.shards import WHOLE, Shard

STEP = "inputs"
_MANY = 1000  # digests that a kill may cost
_EDGE = 65536  # bytes read from either end of a file


def file_digest(path: Path) -> str:
    """Fingerprint of a file from its size and both ends, cheap even for terabytes of video."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        edges = file.read(_EDGE)
        file.seek(max(0, size - _EDGE))
        edges += file.read(_EDGE)
    return digest(size, hashlib.sha256(edges).hexdigest())


class InputDigests:
    """Digests by path, read again only where a file's size or time of change is another.

    Use as a context manager: what was read is kept now and then, and when it ends. Losing some costs time alone.
    """

    def __init__(self, folder: Path, *, shard: Shard = WHOLE) -> None:
        self._file = folder / f"{STEP}{shard.suffix}.jsonl"
        self._known = {record["name"]: record for record in read_manifest(folder, STEP)}
        self._fresh: list[Record] = []

    def __enter__(self) -> "InputDigests":
        return self

    def __exit__(self, *_: object) -> None:
        self._flush()

    def _flush(self) -> None:
        if self._fresh:
            append_jsonl(self._file, *self._fresh)
            self._fresh = []

    def of(self, path: Path | None) -> str:
        """The digest of a file, or `absent`."""
        if path is None:
            return "absent"
        found = path.stat()
        state = [found.st_size, found.st_mtime_ns]
        record = self._known.get(str(path))
        if record is None or record["state"] != state:
            record = {"name": str(path), "state": state, "digest": file_digest(path)}
            self._fresh.append(record)
            if len(self._fresh) >= _MANY:
                self._flush()
        return str(record["digest"])
