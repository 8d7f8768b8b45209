"""Base of the campaigns: a real command that is killed at random moments, or whose server fails at random."""

import math
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tests.cases.llm_server import Answer

ROOT = Path(__file__).resolve().parents[1]


def new_folder(folder: Path) -> Path:
    """Return a folder that must not exist yet.

    Raises:
        ValueError: it exists.
    """
    if folder.exists():
        raise ValueError(f"{folder} exists; name a new folder with --out, or delete it")
    return folder


def synthesize(folder: Path, clips: int, *flags: str) -> None:
    """Make synthetic clips."""
    script = str(ROOT / "data_curation" / "synthesize.py")
    subprocess.run([sys.executable, script, "--out", str(folder), "--clips", str(clips), *flags], check=True)


def count_records(*files: Path) -> int:
    """Return the number of records in JSON-lines files, which may not exist yet, as fast as possible."""
    return sum(file.read_bytes().count(b"\n") for file in files if file.exists())


class Runs(NamedTuple):
    """Folders of an undisturbed run and of one with kills, the records and seconds of the first."""

    whole: Path
    killed: Path
    total: int
    seconds: float


def run_with_kills(
    line: Callable[[Path], list[str]],
    folder: Path,
    *,
    files: Callable[[Path], list[Path]],
    kills: int,
    seed: int,
    after_kill: Callable[[Path], None],
    allow: Callable[[float], None] = lambda _: None,
) -> Runs:
    """Run a command without disturbance, then in another folder with SIGKILLs of the real process, and to its end.

    Args:
        line: the command line for an output folder.
        folder: a new folder for both.
        files: the JSON-lines files of an output folder. Each kill falls after a random number of records in them and a
            random moment more.
        kills: how often.
        seed: decides the moments.
        after_kill: called with the output folder after each kill.
        allow: called before each start with the number of records that may still be written, so that no run ends too
            soon.
    """
    whole, out = folder / "whole", folder / "killed"
    start = time.monotonic()
    subprocess.run(line(whole), stdout=subprocess.DEVNULL, check=True)
    seconds, total = time.monotonic() - start, count_records(*files(whole))
    draw = random.Random(seed)
    for target in sorted(draw.sample(range(total), kills)):
        allow(target - count_records(*files(out)))
        process = subprocess.Popen(line(out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while count_records(*files(out)) < target and process.poll() is None:
            time.sleep(0.001)
        time.sleep(draw.uniform(0, 0.05))
        assert process.poll() is None, "a run ended before its kill"
        process.send_signal(signal.SIGKILL)
        process.wait()
        after_kill(out)
    allow(math.inf)
    subprocess.run(line(out), stdout=subprocess.DEVNULL, check=True)
    return Runs(whole, out, total, seconds)


class RandomAnswers:
    """Answers of a server that fails at random.

    Attributes:
        counts: how often it did what.
    """

    def __init__(
        self,
        ways: Mapping[str, Callable[[], Answer]],
        good: Callable[[dict[str, Any], random.Random], Answer],
        *,
        seed: int,
        pick: Callable[[random.Random], str],
    ) -> None:
        """Answer with the way to fail that `pick` draws, or with `good` where it draws "good"."""
        self.counts = Counter[str]()
        self._ways, self._good, self._pick, self._draw = ways, good, pick, random.Random(seed)

    def __call__(self, request: dict[str, Any]) -> Answer:
        """Answer a request."""
        if is_ping(request):
            return Answer("yes")
        way = self._pick(self._draw)
        self.counts[way] += 1
        return self._good(request, self._draw) if way == "good" else self._ways[way]()


def is_ping(request: dict[str, Any]) -> bool:
    """Return whether a request only tests the server."""
    return "Say yes." in str(request["messages"])
