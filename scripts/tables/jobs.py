"""Commands of a table: each is run once, in the order of their needs, several at a time, and resumed after a crash.

Jobs that run at the same time do not share a GPU.
"""

import argparse
import fcntl
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from ski_lvlm.cli import positive
from ski_lvlm.parallel.gpu_shards import visible_gpus
from ski_lvlm.servers.address import without_secrets
from ski_lvlm.storage.digests import digest
from ski_lvlm.storage.files import write_json

ROOT = Path(__file__).resolve().parents[2]
FINISHED = "finished.json"
ON_SEVERAL_GPUS = (  # the scripts with --gpus; the others need no GPU
    "train_ski_vlm.py",
    "train_ski_lvlm.py",
    "scripts/extract_features.py",
    "eval/zero_shot.py",
    "eval/describe.py",
)


@dataclass(frozen=True)
class Step:
    """One command with a folder of its own, in which it leaves its `product`.

    `command` begins with a script of the repository. `folder` lies in `out`.
    """

    command: tuple[str | Path, ...]
    product: str
    out: Path
    folder: Path
    needs: tuple["Step", ...] = ()

    @property
    def digest(self) -> str:
        """Digest of the command and of all that it needs, which stays the same when `out` is moved."""
        words = [_without_out(word, self.out) for word in self.command] + [step.digest for step in self.needs]
        return digest(*words)

    @property
    def title(self) -> str:
        """The folder's name below `out`."""
        return str(self.folder.relative_to(self.out))

    def words(self, gpus: int) -> tuple[str | Path, ...]:
        """Return the command on this many GPUs, which do not change its result and are no part of its digest."""
        several = gpus > 1 and self.command[0] in ON_SEVERAL_GPUS
        return (*self.command, "--gpus", str(gpus)) if several else self.command

    def command_line(self, gpus: int = 1) -> str:
        """Return the command as typed in the current folder, without the secrets of an address."""
        script, *arguments = self.words(gpus)
        words = (without_secrets(_from_here(word)) for word in arguments)
        return shlex.join(["python", _from_here(ROOT / script), *words])

    def is_finished(self) -> bool:
        """Return whether this very command has made its product.

        Raises:
            ValueError: the folder holds the result of other settings.
        """
        marker = self.folder / FINISHED
        if not marker.exists() or not (self.folder / self.product).exists():
            return False
        if f'"{self.digest}"' not in marker.read_text(encoding="utf-8"):
            raise ValueError(
                f"{self.folder} holds the result of another command, or of other steps before it, than\n"
                f"  {self.command_line()}\ndelete it to run this one, or choose another --out"
            )
        return True


def _without_out(word: str | Path, out: Path) -> str:
    if not isinstance(word, Path):
        return word
    path, base = word.resolve(), out.resolve()
    return f"OUT/{path.relative_to(base)}" if path.is_relative_to(base) else str(path)


def _from_here(word: str | Path) -> str:
    folder = Path.cwd()
    return str(word.relative_to(folder)) if isinstance(word, Path) and word.is_relative_to(folder) else str(word)


def add_job_flags(flags: argparse.ArgumentParser) -> None:
    """Add `--jobs` and `--gpus`."""
    flags.add_argument("--jobs", type=positive, default=1, help="commands at the same time, each with GPUs of its own")
    flags.add_argument("--gpus", help="GPUs of each of the --jobs: a number or all (default: one)")


class Place(NamedTuple):
    """Resources of one job: threads, processes, and their GPUs' names for CUDA_VISIBLE_DEVICES, if there are any."""

    threads: int
    processes: int = 1
    gpus: tuple[str, ...] = ()


def places(*, jobs: int, gpus: str | None = None) -> list[Place]:
    """Divide this machine among `jobs` jobs.

    Each gets `gpus` GPUs: a number, or "all" for as many as there are for each. None gives each job one, and several
    jobs the same one where there are fewer.

    Raises:
        ValueError: `gpus` is no such number, or the jobs together need more than there are.
    """
    from ski_lvlm.parallel.launch import asked_processes

    names = visible_gpus()
    each = asked_processes(gpus or "1", available=len(names) // jobs if gpus == "all" else len(names))
    if gpus and names and jobs * each > len(names):
        raise ValueError(
            f"--jobs {jobs} and --gpus {gpus}: found {len(names)} GPUs, expected {jobs * each}, as each job has its "
            "own; lower one of the two"
        )
    threads = max(1, (os.cpu_count() or 1) // jobs)
    numbers = range(jobs * each if names else 0)
    shares = [tuple(names[n % len(names)] for n in numbers[job * each : (job + 1) * each]) for job in range(jobs)]
    return [Place(threads, each, share) for share in shares]


class Runner(Protocol):
    """Function that runs a command with output to `log`. The child inherits the file descriptor `lock`."""

    def __call__(self, command: Sequence[str], *, log: Path, threads: int, gpus: Sequence[str], lock: int) -> int:
        """Return the exit code."""


def subprocess_runner(command: Sequence[str], *, log: Path, threads: int, gpus: Sequence[str], lock: int) -> int:
    """Run a command in a process of its own."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    if gpus:
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
    with log.open("ab") as output:
        return subprocess.run(
            command, stdout=output, stderr=subprocess.STDOUT, env=environment, pass_fds=(lock,)
        ).returncode


@contextmanager
def _locked(folder: Path) -> Iterator[int]:
    """Lock a folder for one process and its child."""
    # The child of a killed table inherits the lock and holds it until it ends, so that no second trainer writes beside
    # it. filelock cannot do this: it keeps its descriptor to itself.
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".step.lock").open("w") as file:  # .lock is the command's own
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()


def in_order(targets: Iterable[Step]) -> list[Step]:
    """Return the targets and all that they need, each once, after what it needs."""
    ordered: dict[Step, None] = {}
    for step in targets:
        ordered |= dict.fromkeys([*in_order(step.needs), step])
    return list(ordered)


def run_step(step: Step, *, runner: Runner, place: Place) -> bool:
    """Run one step unless it is finished. Return False if it failed."""
    with _locked(step.folder) as lock:
        if step.is_finished():
            return True
        print(f"▶ {step.title}\n  {step.command_line(place.processes)}", flush=True)
        start = time.monotonic()
        script, *arguments = step.words(place.processes)
        log, command = step.folder / "log.txt", [sys.executable, str(ROOT / script), *map(str, arguments)]
        code = runner(command, log=log, threads=place.threads, gpus=place.gpus, lock=lock)
        seconds = time.monotonic() - start
        if code or not (step.folder / step.product).exists():
            print(f"✗ {step.title}: exit code {code} after {seconds:.0f} s\n{_tail(log)}", flush=True)
            return False
        settings = {"command": step.command_line(place.processes), "digest": step.digest, "seconds": round(seconds, 1)}
        write_json(step.folder / FINISHED, settings)
        print(f"✓ {step.title}: {seconds:.0f} s", flush=True)
        return True


def _tail(log: Path, *, lines: int = 8) -> str:
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    return "\n".join(["  | " + line for line in text.splitlines()[-lines:]] + [f"  whole log: {log}"])


def run_steps(
    targets: Iterable[Step], *, jobs: int, gpus: str | None = None, runner: Runner = subprocess_runner
) -> list[Step]:
    """Run all unfinished steps, `jobs` at a time, and return those that failed. Steps that need them are skipped.

    Raises:
        ValueError: before any run, if a folder holds the result of other settings, or as `places`.
    """
    steps = in_order(targets)
    waiting = [step for step in steps if not step.is_finished()]
    finished = set(steps) - set(waiting)
    print(f"{len(waiting)} steps to run, {len(finished)} finished before", flush=True)
    free = places(jobs=jobs, gpus=gpus) if waiting else []
    running: dict[Future[bool], tuple[Step, Place]] = {}
    failed: list[Step] = []
    with ThreadPoolExecutor(jobs) as pool:
        while True:
            for step in [step for step in waiting if finished.issuperset(step.needs)][: len(free)]:
                waiting.remove(step)
                place = free.pop(0)
                running[pool.submit(run_step, step, runner=runner, place=place)] = step, place
            if not running:
                return failed  # a step that is still waiting needs one that failed
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                step, place = running.pop(future)
                free.append(place)
                (finished.add if future.result() else failed.append)(step)
