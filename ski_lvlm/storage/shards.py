"""Shards: parts of a set of clips that machines with one shared folder work on, and locks that keep them apart.

A shard writes manifests of its own (`captions.2-of-8.jsonl`) and reads those of all. The clips of a shard follow from
their names alone, so machines need nothing but the folder.
"""

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from ski_lvlm.storage.digests import digest_number


@dataclass(frozen=True)
class Shard:
    """Part `index` (from 1) of `count`."""

    index: int
    count: int

    @property
    def suffix(self) -> str:
        """Part of its files' names, behind that of the step.

        >>> Shard(2, 8).suffix, WHOLE.suffix
        ('.2-of-8', '')
        """
        return "" if self == WHOLE else f".{self.index}-of-{self.count}"

    def holds(self, name: str) -> bool:
        """Return whether a clip belongs to this shard."""
        return digest_number(name) % self.count == self.index - 1

    def divided(self, count: int) -> list["Shard"]:
        """Return the `count` shards of a finer division that replace this one.

        Their clips differ from this shard's. Together, the `divided` shards of all shards hold all clips.

        >>> Shard(2, 2).divided(2)
        [Shard(index=3, count=4), Shard(index=4, count=4)]
        """
        first = (self.index - 1) * count
        return [Shard(first + number, self.count * count) for number in range(1, count + 1)]

    def select(self, names: Iterable[str]) -> list[str]:
        """Return the clips of this shard, in the given order."""
        return [name for name in names if self.holds(name)]


WHOLE = Shard(1, 1)


def parse_shard(text: str) -> Shard:
    """Parse `i/n`, counted from 1.

    >>> parse_shard("2/8")
    Shard(index=2, count=8)
    """
    match = re.fullmatch(r"(\d+)/(\d+)", text.strip())
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise ValueError(f"--shard is {text!r}; expected i/n from 1/n to n/n, such as 1/8 on the first of 8 machines")
    return Shard(int(match[1]), int(match[2]))


@contextmanager
def only_process(folder: Path, shard: Shard = WHOLE) -> Iterator[None]:
    """Lock a folder, or a shard's part of it, for this process.

    Shards of one division may work side by side. The same shard twice, another division, and the whole may not. The
    system releases the lock however the process ends. A forked child, such as a worker that decodes, does not hold it.

    Raises:
        ValueError: another process works here.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        with FileLock(folder / ".lock.entry"):  # one process at a time looks who works here
            for other in sorted(folder.glob(".lock*-of-*")) + [folder / ".lock"]:
                if other.exists() and not _may_run_beside(other, shard):
                    _lock(other).release()
            path = folder / f".lock{shard.suffix}"
            stack.callback(_lock(path).release)
            path.write_text(str(os.getpid()), encoding="ascii")
        yield


def _may_run_beside(lock: Path, shard: Shard) -> bool:
    return shard != WHOLE and lock.name.endswith(f"-of-{shard.count}") and lock.name != f".lock{shard.suffix}"


def _lock(path: Path) -> FileLock:
    lock = FileLock(path)
    try:
        lock.acquire(blocking=False)
    except Timeout as error:
        holder = path.read_text(encoding="ascii").strip() or "unknown"
        part = path.name.removeprefix(".lock").lstrip(".")
        raise ValueError(
            f"{path.parent}: another process (pid {holder}{f', shard {part}' if part else ''}) is working here; wait "
            "for it, or name another --out"
        ) from error
    return lock
