"""Run the commands of a table once each, in the order of their needs, several at a time, and go on after a kill.

Each of the jobs that run at the same time has GPUs of its own.
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
ON_SEVERAL_GPUS = (  # the scripts that know --gpus, beside those that a processor alone does
    "train_ski_vlm.py",
    "train_ski_lvlm.py",
    "scripts/extract_features.py",
    "eval/zero_shot.py",
    "eval/describe.py",
)


@dataclass(frozen=True)
class Step:
    """One command with a folder of its own, in which `product` is there once the command has done its work.

    `command` begins with a script of the repository; `folder` lies in `out`.
    """

    command: tuple[str | Path, ...]
    product: str
    out: Path
    folder: Path
    needs: tuple["Step", ...] = ()

    @property
    def digest(self) -> str:
        """Of the command and of all those before it, so that a changed setting is noticed; `out` may be moved."""
        words = [_fixed(word, self.out) for word in self.command] + [step.digest for step in self.needs]
        return digest(*words)

    @property
    def title(self) -> str:
        """The folder's name below `out`."""
        return str(self.folder.relative_to(self.out))

    def words(self, gpus: int) -> tuple[str | Path, ...]:
        """The command on this many GPUs. They change nothing in its result, so they are no part of its digest."""
        several = gpus > 1 and self.command[0] in ON_SEVERAL_GPUS
        return (*self.command, "--gpus", str(gpus)) if several else self.command

    def shown(self, gpus: int = 1) -> str:
        """The command as one types it where one stands, without the secrets of an address."""
        script, *arguments = self.words(gpus)
        words = (without_secrets(_from_here(word)) for word in arguments)
        return shlex.join(["python", _from_here(ROOT / script), *words])

    def is_finished(self) -> bool:
        """Whether the product is there and is this very command's.

        Raises:
            ValueError: the folder holds what other settings made.
        """
        marker = self.folder / FINISHED
        if not marker.exists() or not (self.folder / self.product).exists():
            return False
        if f'"{self.digest}"' not in marker.read_text(encoding="utf-8"):
            raise ValueError(
                f"{self.folder} holds the result of another command, or of other steps before it, than\n"
                f"  {self.shown()}\ndelete it to run this one, or choose another --out"
            )
        return True


def _fixed(word: str | Path, out: Path) -> str:
    if not isinstance(word, Path):
        return word
    path, base = word.resolve(), out.resolve()
    return f"OUT/{path.relative_to(base)}" if path.is_relative_to(base) else str(path)


def _from_here(word: str | Path) -> str:
    here = Path.cwd()
    return str(word.relative_to(here)) if isinstance(word, Path) and word.is_relative_to(here) else str(word)


def add_job_flags(flags: argparse.ArgumentParser) -> None:
    """Add `--jobs` and `--gpus`."""
    flags.add_argument("--jobs", type=positive, default=1, help="commands at the same time, each with GPUs of its own")
    flags.add_argument("--gpus", help="a number or all: GPUs of each of the --jobs; default: one")


class Place(NamedTuple):
    """What one of the jobs may use: threads, and processes with a GPU each.

    `gpus` are their names for CUDA_VISIBLE_DEVICES, none on a machine without GPUs.
    """

    threads: int
    processes: int = 1
    gpus: tuple[str, ...] = ()


def places(*, jobs: int, gpus: str | None = None) -> list[Place]:
    """Share this machine out to `jobs` jobs, with so many GPUs each.

    Args:
        jobs: how many commands run at the same time.
        gpus: a number, "all" for as many as there are for each job, or None for one, counted round where there are
            fewer than jobs.

    Raises:
        ValueError: `gpus` is no such number, or the jobs together want more than there are.
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
    own = [tuple(names[(job * each + k) % len(names)] for k in range(each)) if names else () for job in range(jobs)]
    return [Place(threads, each, gpus_of_job) for gpus_of_job in own]


class Runner(Protocol):
    """Runs a command with output to `log` and returns its exit code; the child keeps the file `lock` open."""

    def __call__(self, command: Sequence[str], *, log: Path, threads: int, gpus: Sequence[str], lock: int) -> int:
        """Run it."""


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
    """Only one process works in a folder: another table waits, even for the child of one that was killed."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()


def in_order(targets: Iterable[Step]) -> list[Step]:
    """The targets and all they need, each once, after what it needs."""
    ordered: dict[Step, None] = {}
    for step in targets:
        ordered |= dict.fromkeys([*in_order(step.needs), step])
    return list(ordered)


def run_step(step: Step, *, runner: Runner, place: Place) -> bool:
    """Run one step unless it is finished; False if it failed."""
    with _locked(step.folder) as lock:
        if step.is_finished():
            return True
        print(f"▶ {step.title}\n  {step.shown(place.processes)}", flush=True)
        started = time.monotonic()
        script, *arguments = step.words(place.processes)
        log, command = step.folder / "log.txt", [sys.executable, str(ROOT / script), *map(str, arguments)]
        code = runner(command, log=log, threads=place.threads, gpus=place.gpus, lock=lock)
        seconds = time.monotonic() - started
        if code or not (step.folder / step.product).exists():
            print(f"✗ {step.title}: exit code {code} after {seconds:.0f} s\n{_tail(log)}", flush=True)
            return False
        settings = {"command": step.shown(place.processes), "digest": step.digest, "seconds": round(seconds, 1)}
        write_json(step.folder / FINISHED, settings)
        print(f"✓ {step.title}: {seconds:.0f} s", flush=True)
        return True


def _tail(log: Path, *, lines: int = 8) -> str:
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    return "\n".join(["  | " + line for line in text.splitlines()[-lines:]] + [f"  all of it: {log}"])


def run_steps(
    targets: Iterable[Step], *, jobs: int, gpus: str | None = None, runner: Runner = subprocess_runner
) -> list[Step]:
    """Run all steps that are not finished, `jobs` at a time; what needs a failed one is left out.

    Returns the steps that failed.

    Raises:
        ValueError: a folder holds what other settings made, or as `places`; before anything is run.
    """
    waiting = [step for step in in_order(targets) if not step.is_finished()]
    finished = {step for step in in_order(targets) if step not in waiting}
    print(f"{len(waiting)} steps to run, {len(finished)} done before", flush=True)
    free = places(jobs=jobs, gpus=gpus) if waiting else []
    running: dict[Future[bool], tuple[Step, Place]] = {}
    failed: list[Step] = []
    with ThreadPoolExecutor(jobs) as pool:
        while waiting or running:
            ready = [step for step in waiting if finished.issuperset(step.needs)][: len(free)]
            for step in ready:
                place = free.pop(0)
                running[pool.submit(run_step, step, runner=runner, place=place)] = step, place
            waiting = [step for step in waiting if step not in ready]
            if not running:
                break  # whatever waits needs a step that failed
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                step, place = running.pop(future)
                free.append(place)
                (finished.add if future.result() else failed.append)(step)
    return failed
