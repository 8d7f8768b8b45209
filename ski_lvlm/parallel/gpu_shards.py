"""One command on all GPUs of a machine: a process for each GPU that works on one shard, then a run that joins them.

On a machine without a GPU the processes share its processors instead.
"""

import argparse
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from pathlib import Path
from types import FrameType
from typing import NamedTuple

from ski_lvlm.cli import underscored, without
from ski_lvlm.parallel.parent import ending_with
from ski_lvlm.storage.shards import WHOLE, Shard, parse_shard

Main = Callable[[Sequence[str] | None], int]
_FATAL = 2  # exit codes from here on: a user's mistake, or a process that a signal ended
_GRACE = 5.0  # seconds between the request to end and the kill
_POLL = 0.05  # seconds


def add_shard_flags(flags: argparse.ArgumentParser) -> None:
    """Add `--shard` and `--gpus`."""
    flags.add_argument(
        "--shard", help="i/n: work on part i of n, on GPU i of this machine. The run without it joins the parts"
    )
    flags.add_argument(
        "--gpus",
        help="a number or all: start this many shards, each with its own GPU (or a share of the processors where "
        "there is no GPU), then join them. With --shard i/n, machine i of n does its part with this many",
    )


def shard_of(args: argparse.Namespace) -> Shard:
    """Return the shard that `--shard` names, or the whole."""
    return parse_shard(args.shard) if args.shard else WHOLE


def processors(processes: int = 1) -> int:
    """Return the number of processors that each of `processes` may use, at least one."""
    return max(1, len(os.sched_getaffinity(0)) // processes)


def gpu_names(count: int) -> list[str]:
    """Return the first `count` GPUs by the names that CUDA_VISIBLE_DEVICES has for them."""
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    return (allowed.split(",") if allowed else [str(number) for number in range(count)])[:count]


def visible_gpus() -> list[str]:
    """Return the GPUs that torch finds here, by the names that CUDA_VISIBLE_DEVICES has for them."""
    import torch

    return gpu_names(torch.cuda.device_count())


def take_gpu(shard: Shard) -> None:
    """Make "cuda" mean the shard's GPU in this process. Shards share GPUs where there are fewer."""
    import torch

    if gpus := torch.cuda.device_count():
        torch.cuda.set_device((shard.index - 1) % gpus)


def run_on_gpus(
    script: str,
    flags: Sequence[str] | None,
    args: argparse.Namespace,
    main: Main,
    *,
    workers: Callable[[int], int] | None = None,
) -> int:
    """Run `script` once for each of `--gpus` shards, then `main` without these flags, which joins them.

    Args:
        script: path of the command.
        flags: its command line, None for that of this process.
        args: the parsed command line.
        main: runs the command in this process.
        workers: from the number of processes, the value of `--workers` of each, if the command line has none.

    Returns the exit code of the run that joins. If a shard ends with an error or by a signal, the other shards are
    stopped, no run joins them, and the worst exit code is returned.

    Raises:
        ValueError: `--gpus` is no number of GPUs of this machine.
        KeyboardInterrupt: Ctrl-C, or SIGTERM or SIGHUP. All processes have ended.
    """
    from ski_lvlm.parallel.launch import asked_processes

    gpus = visible_gpus()
    count = asked_processes(args.gpus, available=len(gpus))
    words = list(sys.argv[1:] if flags is None else flags)
    part = shard_of(args)
    if count == 1:
        return main(without(words, ["--gpus"]))
    plain = without(words, ["--gpus", "--shard"])
    command = [sys.executable, str(Path(script).resolve()), *plain]
    if workers and not any(underscored(word).partition("=")[0] == "--workers" for word in words):
        command += ["--workers", str(workers(count))]
    code = _run_shards(command, part.divided(count), gpus[:count] or [None] * count)
    return code if code >= _FATAL or part != WHOLE else main(plain)


class _Child(NamedTuple):
    shard: Shard
    process: subprocess.Popen[str]
    readers: list[threading.Thread]

    def print_output(self) -> None:
        for source, is_error in ((self.process.stdout, False), (self.process.stderr, True)):
            reader = threading.Thread(target=_copy_lines, args=(self.shard, source, is_error), daemon=True)
            reader.start()
            self.readers.append(reader)


def _run_shards(command: Sequence[str], shards: Sequence[Shard], places: Sequence[str | None]) -> int:
    """Run a command on all shards and return the worst exit code."""
    threads = max(1, _threads() // len(shards))
    codes: list[int] = []
    with _signals_interrupt(), _children() as running:
        for shard, gpu in zip(shards, places, strict=True):
            running.append(_start(command, shard, gpu=gpu, threads=threads))
        for child in running:  # threads start only now, since a fork beside threads is not safe
            child.print_output()
        while running:
            for child in [child for child in running if _has_ended(child.process)]:
                codes.append(_end(child))
                running.remove(child)
                if codes[-1] >= _FATAL:
                    label = f"[{child.shard.index}/{child.shard.count}]"
                    sys.stderr.write(f"{label} ended with exit code {codes[-1]}: the other shards are stopped\n")
                    return codes[-1]
            time.sleep(_POLL)
    return max(codes)


def _threads() -> int:
    """Return the number of threads that this process would use: OMP_NUM_THREADS, else one for each processor."""
    first = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(first) if first.isdigit() else processors()


def _start(command: Sequence[str], shard: Shard, *, gpu: str | None, threads: int) -> _Child:
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONUNBUFFERED": "1"}
    if gpu is not None:
        environment["CUDA_VISIBLE_DEVICES"] = gpu
    process = subprocess.Popen(
        [*command, "--shard", f"{shard.index}/{shard.count}"],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,  # a group of its own, so that its decoding workers end with it
        preexec_fn=ending_with(os.getpid()),
    )
    return _Child(shard, process, [])


def _copy_lines(shard: Shard, source: TextIOWrapper, is_error: bool) -> None:
    """Copy each line with its shard before it."""
    with source:
        for line in source:
            if line.strip():
                target = sys.stderr if is_error else sys.stdout
                target.write(f"[{shard.index}/{shard.count}] {line.rstrip()}\n")
                target.flush()


def _has_ended(process: subprocess.Popen[str]) -> bool:
    """Return whether a process has ended."""
    if process.returncode is not None:
        return True
    # It is not reaped, so that its process id still names its group.
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _signal_group(child: _Child, number: int) -> None:
    if child.process.returncode is None:  # once reaped, its process id may be another's
        with suppress(ProcessLookupError):
            os.killpg(child.process.pid, number)


def _end(child: _Child) -> int:
    """Kill the child's group, print its last lines, and return its exit code as a shell does."""
    _signal_group(child, signal.SIGKILL)
    code = child.process.wait()
    for reader in child.readers:
        reader.join(_GRACE)
    return code if code >= 0 else 128 - code


@contextmanager
def _children() -> Iterator[list[_Child]]:
    """Yield a list. When the block ends, children that are still in the list are ended."""
    running: list[_Child] = []
    try:
        yield running
    finally:
        for child in running:
            _signal_group(child, signal.SIGTERM)
        deadline = time.monotonic() + _GRACE
        while time.monotonic() < deadline and not all(_has_ended(child.process) for child in running):
            time.sleep(_POLL)
        for child in running:
            _end(child)


@contextmanager
def _signals_interrupt() -> Iterator[None]:
    """Treat SIGTERM and SIGHUP as Ctrl-C."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [n for n in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) != signal.SIG_IGN]  # nohup
    earlier = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
