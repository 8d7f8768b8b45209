"""Sharing one folder between machines: which clips are whose, and that nobody works on another's.

A shard writes manifests of its own (`captions.2-of-8.jsonl`) and reads those of all. Which clips are its own follows
from their names alone, so machines need nothing but the folder.
"""

import fcntl
import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO


class FolderBusy(ValueError):
    """Another process works in this folder."""


@dataclass(frozen=True)
class Shard:
    """Part `index` (from 1) of `count`."""

    index: int
    count: int

    @property
    def suffix(self) -> str:
        """What its files are called besides the step's name.

        >>> Shard(2, 8).suffix, WHOLE.suffix
        ('.2-of-8', '')
        """
        return "" if self == WHOLE else f".{self.index}-of-{self.count}"

    def holds(self, name: str) -> bool:
        """Whether a clip is this shard's."""
        return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) % self.count == self.index - 1

    def divided(self, count: int) -> list["Shard"]:
        """The shards of a division `count` times as fine that stand in for this one.

        Their clips are others than this shard's, but those of all `divided` shards are all clips.

        >>> Shard(2, 2).divided(2)
        [Shard(index=3, count=4), Shard(index=4, count=4)]
        """
        first = (self.index - 1) * count
        return [Shard(first + number, self.count * count) for number in range(1, count + 1)]

    def own(self, names: Iterable[str]) -> list[str]:
        """The clips of this shard, in the given order."""
        return [name for name in names if self.holds(name)]


WHOLE = Shard(1, 1)


def parse_shard(text: str) -> Shard:
    """Read `i/n`, counted from 1.

    >>> parse_shard("2/8")
    Shard(index=2, count=8)

    Raises:
        ValueError: not such a text, or a part that does not exist.
    """
    match = re.fullmatch(r"(\d+)/(\d+)", text.strip())
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise ValueError(f"--shard is {text!r}; expected i/n from 1/n to n/n, such as 1/8 on the first of 8 machines")
    return Shard(int(match[1]), int(match[2]))


_held: set[TextIO] = set()  # locks of this process


def _let_go() -> None:
    """A forked child, such as a worker that decodes, must not hold on to what its parent holds when that is killed.

    Its copies are closed, not unlocked: an unlocked copy would unlock the parent's.
    """
    for file in _held:
        file.close()
    _held.clear()


os.register_at_fork(after_in_child=_let_go)


@contextmanager
def only_process(folder: Path, shard: Shard = WHOLE) -> Iterator[None]:
    """Hold a folder, or a shard's part of it, for this process; the system lets go of it however the process ends.

    Shards of one division may work side by side; the same shard twice, another division, and the whole may not.

    Raises:
        FolderBusy: another process is in the way.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        with ExitStack() as gate:  # one process at a time looks who is there
            _take(gate, folder / ".lock.entry", wait=True)
            for other in sorted(folder.glob(".lock*-of-*")) + [folder / ".lock"]:
                if other.exists() and not _may_run_beside(other, shard):
                    with ExitStack() as free:
                        _take(free, other)
            own = _take(stack, folder / f".lock{shard.suffix}")
            own.truncate(0)
            own.write(str(os.getpid()))
            own.flush()
        yield


def _may_run_beside(lock: Path, shard: Shard) -> bool:
    return shard != WHOLE and lock.name.endswith(f"-of-{shard.count}") and lock.name != f".lock{shard.suffix}"


def _take(stack: ExitStack, path: Path, *, wait: bool = False) -> TextIO:
    file = stack.enter_context(path.open("a+"))
    _held.add(file)
    stack.callback(_held.discard, file)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError as error:
        file.seek(0)
        holder = file.read().strip() or "unknown"
        part = path.name.removeprefix(".lock").lstrip(".")
        raise FolderBusy(
            f"{path.parent}: another process (pid {holder}{f', shard {part}' if part else ''}) is working here; wait "
            "for it, or name another --out"
        ) from error
    return file
