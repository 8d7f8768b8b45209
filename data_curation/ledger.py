"""What a run has done so far: append-only manifests of JSON lines, one per step; a kill loses only work in flight.

A record is final when it is `done` or `rejected` for its `key`, a digest of all that went in. Work that `failed` for a
passing reason, whose inputs changed, or that was never begun (`open`) is done by the next run. Records of other keys
stay valid: whoever returns to earlier settings finds what those had made.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from ski_lvlm.storage.files import append_jsonl, read_jsonl
from ski_lvlm.storage.shards import WHOLE, Shard

Record = dict[str, Any]
Progress = Callable[[], object]


class Rejected(ValueError):
    """This clip cannot be used, and trying again would not help; the message says why.

    `facts` go into the record: what was tried, what it cost.
    """

    def __init__(self, reason: str, **facts: object) -> None:
        super().__init__(reason)
        self.facts = facts


class Failed(ValueError):
    """This clip could not be done now (a busy server, say); the same command tries it again."""


def read_manifest(folder: Path, step: str) -> list[Record]:
    """All records of a step, whichever shard wrote them, oldest first."""
    records = [record for path in _manifests(folder, step) for record in read_jsonl(path)]
    return sorted(records, key=lambda record: str(record.get("at")))  # stable: equal times keep their file's order


def _manifests(folder: Path, step: str) -> list[Path]:
    return sorted([*folder.glob(f"{step}.jsonl"), *folder.glob(f"{step}.*-of-*.jsonl")])


class Ledger:
    """The records of one step, by clip.

    Args:
        folder: where the manifests of all shards lie.
        step: their name.
        shard: whose manifest is appended to.
        has_output: whether what a `done` record left on the disk is still there. A step that leaves something knows
            only its latest record of a clip: the output of earlier ones has been overwritten.
    """

    def __init__(
        self, folder: Path, step: str, *, shard: Shard = WHOLE, has_output: Callable[[Record], bool] | None = None
    ) -> None:
        self.path, self._has_output = folder / f"{step}{shard.suffix}.jsonl", has_output
        self._records: dict[tuple[str, str], Record] = {}
        self._latest: dict[str, str] = {}
        for record in read_manifest(folder, step):
            self._keep(record)

    def _keep(self, record: Record) -> None:
        name, key = record["name"], record["key"]
        if record["status"] != "failed" or not self.is_final(name, key=key):
            self._records[name, key] = record
        self._latest[name] = key

    def find(self, name: str, *, key: str) -> Record | None:
        """What was recorded of a clip with these inputs."""
        if self._has_output and self._latest.get(name) != key:
            return None
        return self._records.get((name, key))

    def is_final(self, name: str, *, key: str) -> bool:
        """Whether a clip need not be done again."""
        record = self.find(name, key=key)
        if record is None or record["status"] == "failed":
            return False
        return record["status"] == "rejected" or self._has_output is None or self._has_output(record)

    def append(self, record: Record) -> None:
        """Add a record; it is on the disk when this returns."""
        append_jsonl(self.path, record)
        self._keep(record)

    def records(self, keys: Mapping[str, str]) -> dict[str, Record]:
        """The record of each clip, in the order of `keys`; those not begun yet are `open`."""
        return {name: self.find(name, key=key) or {"name": name, "status": "open"} for name, key in keys.items()}

    def unfinished(
        self, keys: Mapping[str, str], *, enough: Callable[[Record], bool] = lambda record: True
    ) -> list[str]:
        """The clips that are not final, or whose record is not `enough` any more."""
        return [
            name
            for name, key in keys.items()
            if not self.is_final(name, key=key) or not enough(self._records[name, key])
        ]

    def run(
        self,
        keys: Mapping[str, str],
        work: Callable[[str], Record],
        *,
        workers: int,
        progress: Progress = lambda: None,
        enough: Callable[[Record], bool] = lambda record: True,
    ) -> dict[str, Record]:
        """Do what is not final yet, `workers` clips at a time, and return the records of all, in the order of `keys`.

        `work` gets a clip's name and returns what to record about it. `Rejected` and `Failed` are recorded as such; any
        other error stops the run once the clips in flight are finished and recorded.
        """
        todo = self.unfinished(keys, enough=enough)
        for _ in range(len(keys) - len(todo)):
            progress()
        for name, result in _results(todo, work, workers=workers):
            self.append(stamped(name, keys[name], result))
            progress()
        return self.records(keys)


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
                running |= {pool.submit(attempt, work, name): name for name in fresh}
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


def attempt(work: Callable[[str], Record], name: str) -> Record:
    """What to record about a clip that was worked on."""
    try:
        return {"status": "done", **work(name)}
    except Rejected as reason:
        return {"status": "rejected", "reason": str(reason), **reason.facts}
    except Failed as reason:
        return {"status": "failed", "reason": str(reason)}


def stamped(name: str, key: str, result: Record) -> Record:
    """A whole record: whose it is, what went in, what came out, and when."""
    return {"name": name, "key": key, **result, "at": now()}


def now() -> str:
    """The time of a record; texts sort as times do."""
    return datetime.now(UTC).isoformat(timespec="microseconds")
