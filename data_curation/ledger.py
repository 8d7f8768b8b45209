"""What a run has done so far: one append-only file of JSON lines per step, so that a kill loses only work in flight.

A record is final when it is `done` or `rejected` and its `key` (a digest of all that went in) is still the same; work
that `failed` for a passing reason, or whose inputs changed, is done again. The last record of a name counts.
"""

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from ski_lvlm.files import append_jsonl, read_jsonl

Record = dict[str, Any]
Progress = Callable[[], object]
_EDGE = 65536  # bytes read from either end of a file for its digest


class Rejected(ValueError):
    """This clip cannot be used, and trying again would not help; the message says why."""


class Failed(ValueError):
    """This clip could not be done now (a busy server, say); the same command tries it again."""


class FolderBusy(ValueError):
    """Another process works in this folder."""


def digest(*parts: object) -> str:
    """A short fingerprint of anything that prints.

    >>> digest("a", 1) == digest("a", 1), digest("a", 1) == digest("a1")
    (True, False)
    """
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:16]


def file_digest(path: Path) -> str:
    """Fingerprint of a file from its size and both ends, cheap even for terabytes of video."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        edges = file.read(_EDGE)
        file.seek(max(0, size - _EDGE))
        edges += file.read(_EDGE)
    return digest(size, hashlib.sha256(edges).hexdigest())


@contextmanager
def only_process(folder: Path) -> Iterator[None]:
    """Hold the folder for this process; the system lets go of it however the process ends.

    Raises:
        FolderBusy: another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise FolderBusy(
                f"{folder}: another process (pid {holder}) is working here; wait for it, or name another --out"
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


class Ledger:
    """The records of one step, by clip name.

    Args:
        path: a `.jsonl` file; created with the first record.
        has_output: whether what a `done` clip left on the disk is still there.
    """

    def __init__(self, path: Path, *, has_output: Callable[[str], bool] = lambda name: True) -> None:
        self.path, self._has_output = path, has_output
        self._latest: dict[str, Record] = {record["name"]: record for record in read_jsonl(path)}

    def is_final(self, name: str, *, key: str) -> bool:
        """Whether a clip need not be done again."""
        record = self._latest.get(name)
        if record is None or record["key"] != key or record["status"] == "failed":
            return False
        return record["status"] == "rejected" or self._has_output(name)

    def append(self, record: Record) -> None:
        """Add a record; it is on the disk when this returns."""
        append_jsonl(self.path, record)
        self._latest[record["name"]] = record

    def run(
        self, keys: Mapping[str, str], work: Callable[[str], Record], *, workers: int, progress: Progress = lambda: None
    ) -> dict[str, Record]:
        """Do what is not final yet, `workers` clips at a time, and return the records of all, in the order of `keys`.

        `work` gets a clip's name and returns what to record about it. `Rejected` and `Failed` are recorded as such; any
        other error stops the run once the clips in flight are finished and recorded.
        """
        todo = []
        for name, key in keys.items():
            if self.is_final(name, key=key):
                progress()
            else:
                todo.append(name)
        for name, result in _results(todo, work, workers=workers):
            self.append({"name": name, "key": keys[name], **result, "at": _now()})
            progress()
        return {name: self._latest[name] for name in keys}


def done(records: Mapping[str, Record]) -> dict[str, Record]:
    """Those records whose clip goes on to the next step."""
    return {name: record for name, record in records.items() if record["status"] == "done"}


def _results(names: Iterable[str], work: Callable[[str], Record], *, workers: int) -> Iterator[tuple[str, Record]]:
    """Work on names in threads, a few ahead; the first error is raised when all that had begun is given out."""
    waiting, problem = iter(names), None
    running: dict[Future[Record], str] = {}
    with ThreadPoolExecutor(workers) as pool:
        while True:
            if problem is None:
                fresh = islice(waiting, 2 * workers - len(running))
                running |= {pool.submit(_attempt, work, name): name for name in fresh}
            if not running:
                break
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                name = running.pop(future)
                if future.exception() is None:
                    yield name, future.result()
                else:
                    problem = future.exception()
    if problem is not None:
        raise problem


def _attempt(work: Callable[[str], Record], name: str) -> Record:
    try:
        return {"status": "done", **work(name)}
    except Rejected as reason:
        return {"status": "rejected", "reason": str(reason)}
    except Failed as reason:
        return {"status": "failed", "reason": str(reason)}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
