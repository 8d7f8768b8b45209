"""Kill a command again and again from outside, at moments spread over its whole work by chance."""

import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path


def lines(*files: Path) -> int:
    """How many records there are in JSON-lines files that may not be there yet, as fast as it can be told."""
    return sum(file.read_bytes().count(b"\n") for file in files if file.exists())


def killed(
    line: list[str],
    records: Callable[[], int],
    *,
    kills: int,
    total: int,
    seed: int,
    allow: Callable[[int], None] = lambda _: None,
) -> Iterator[None]:
    """Start the command and SIGKILL it, `kills` times on the way to `total` records; yields after each kill.

    Args:
        line: the command.
        records: tells how many records it has written; each kill falls after a number of them that was drawn, and a
            random moment later.
        kills: how often.
        total: records of a run that nobody disturbs.
        seed: decides the moments.
        allow: called before each start with how many records may still be written, so that no run ends too soon.
    """
    draw = random.Random(seed)
    for target in sorted(draw.sample(range(total), kills)):
        allow(target - records())
        process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while records() < target and process.poll() is None:
            time.sleep(0.001)
        time.sleep(draw.uniform(0, 0.05))
        assert process.poll() is None, "a run ended before its kill"
        process.send_signal(signal.SIGKILL)
        process.wait()
        yield
