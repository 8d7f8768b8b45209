"""Cached digests of videos and skeletons, so that a run over 100,000 files starts without reading them."""

import logging
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from data_curation.ledger import Record, read_manifest
from ski_lvlm.storage.digests import file_digest
from ski_lvlm.storage.files import append_jsonl
from ski_lvlm.storage.shards import WHOLE, Shard

logger = logging.getLogger(__name__)
STEP = "inputs"
_MANY = 1000  # digests that a crash may lose


class InputDigests:
    """Digests by path, computed again only if a file's size or modification time has changed.

    Use as a context manager. New digests are saved from time to time and at the end. Losing some costs only time.
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

    def read(self, paths: Iterable[Path | None], *, workers: int) -> None:
        """Read the files without a digest in parallel, at the speed of the disk."""
        new = [path for path in paths if path is not None and not self._is_known(path)]
        if size := sum(path.stat().st_size for path in new) // 10**9:
            logger.warning("reading %d new files (%d GB) to compute their digests", len(new), size)
        with ThreadPoolExecutor(workers) as pool:
            for path, digest in zip(new, pool.map(file_digest, new), strict=True):
                self._keep(path, digest)

    def of(self, path: Path | None) -> str:
        """Return the digest of a file, or `absent`."""
        if path is None:
            return "absent"
        if not self._is_known(path):
            self._keep(path, file_digest(path))
        return str(self._known[str(path)]["digest"])

    def _is_known(self, path: Path) -> bool:
        return str(path) in self._known and self._known[str(path)]["state"] == _state(path)

    def _keep(self, path: Path, digest: str) -> None:
        record = {"name": str(path), "state": _state(path), "digest": digest}
        self._known[str(path)] = record
        self._fresh.append(record)
        if len(self._fresh) >= _MANY:
            self._flush()


def _state(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]
