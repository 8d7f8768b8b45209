"""The progress of a run: append-only manifests of JSON lines, one per step. A crash loses only work in flight.

A record is final when it is `done` or `rejected` for its `key`, a digest of all inputs. The next run processes clips
that `failed` for a temporary reason, whose inputs changed, or that are still `open`. Records of other keys stay valid,
so that a return to earlier settings finds their results.
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
    """A clip that cannot be used. The message says why.

    `facts` go into the record, for example the cost.
    """

    def __init__(self, reason: str, **facts: object) -> None:
        super().__init__(reason)
        self.facts = facts


class Failed(ValueError):
    """A clip that failed for a temporary reason, such as a busy server. The same command tries it again."""


def read_manifest(folder: Path, step: str) -> list[Record]:
    """Read all records of a step by all shards, oldest first."""
    records = [record for path in _manifests(folder, step) for record in read_jsonl(path)]
    return sorted(records, key=lambda record: str(record.get("at")))  # stable: equal times keep their file's order


def _manifests(folder: Path, step: str) -> list[Path]:
    return sorted([*folder.glob(f"{step}.jsonl"), *folder.glob(f"{step}.*-of-*.jsonl")])


class Ledger:
    """The records of one step, by clip.

    Args:
        folder: the folder of the manifests of all shards.
        step: their name.
        shard: the shard whose manifest is written.
        has_output: whether the output file of a `done` record still exists. With it only the latest record of a clip
            counts, because it has overwritten the output of earlier ones.
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
        """Return the record of a clip with these inputs, or None."""
        if self._has_output and self._latest.get(name) != key:
            return None
        return self._records.get((name, key))

    def is_final(self, name: str, *, key: str) -> bool:
        """Return whether a clip needs no further processing."""
        record = self.find(name, key=key)
        if record is None or record["status"] == "failed":
            return False
        return record["status"] == "rejected" or self._has_output is None or self._has_output(record)

    def append(self, record: Record) -> None:
        """Save a record."""
        append_jsonl(self.path, record)
        self._keep(record)

    def records(self, keys: Mapping[str, str]) -> dict[str, Record]:
        """Return the record of each clip, in the order of `keys`. Those that are not begun are `open`."""
        return {name: self.find(name, key=key) or {"name": name, "status": "open"} for name, key in keys.items()}

    def unfinished(
        self, keys: Mapping[str, str], *, enough: Callable[[Record], bool] = lambda record: True
    ) -> list[str]:
        """Return the clips that are not final, or whose record is not `enough` any more."""
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
        """Run `work` on the clips that are not final, in parallel, and return all records in the order of `keys`.

        `work` takes a clip's name and returns its record. `Rejected` and `Failed` are recorded as such. Any other error
        stops the run once the clips in flight are recorded.
        """
        todo = self.unfinished(keys, enough=enough)
        for _ in range(len(keys) - len(todo)):
            progress()
        for name, result in _results(todo, work, workers=workers):
            self.append(stamped(name, keys[name], result))
            progress()
        return self.records(keys)


def done(records: Mapping[str, Record]) -> dict[str, Record]:
    """Return the records of the clips that continue to the next step."""
    return {name: record for name, record in records.items() if record["status"] == "done"}


def _results(names: Iterable[str], work: Callable[[str], Record], *, workers: int) -> Iterator[tuple[str, Record]]:
    """Yield the results of threads. The first error is raised after the results of all running ones."""
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
    """Call `work` on a clip and return its record."""
    try:
        return {"status": "done", **work(name)}
    except Rejected as reason:
        return {"status": "rejected", "reason": str(reason), **reason.facts}
    except Failed as reason:
        return {"status": "failed", "reason": str(reason)}


def stamped(name: str, key: str, result: Record) -> Record:
    """Return a result with its clip, the digest of its inputs, and the time."""
    return {"name": name, "key": key, **result, "at": now()}


def now() -> str:
    """Return the current time as a text that sorts by time."""
    return datetime.now(UTC).isoformat(timespec="microseconds")
