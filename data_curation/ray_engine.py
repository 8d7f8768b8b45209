"""Shards of a run as tasks of a Ray cluster whose machines share the output folder and this repository."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from ski_lvlm.cli import without

RETRIES = 3  # of a shard whose machine was lost. It resumes from its manifests
_OWN_FLAGS = ("--engine", "--shards", "--gpus_per_shard", "--shard")


def run_shards(argv: Sequence[str], *, shards: int, workers: int, gpus: float) -> dict[str, int]:
    """Run `build.py` once for each shard, and return the exit codes by shard.

    Uses the cluster at RAY_ADDRESS, or starts Ray on this machine.

    Raises:
        ImportError: Ray is not installed.
        ValueError: fewer than one shard, or a shard ended with a code above 1. The message has its last line.
    """
    if shards < 1:
        raise ValueError(f"--shards is {shards}; expected 1 or more")
    try:
        import ray
    except ImportError as error:
        raise ImportError("--engine ray needs Ray; run: python -m pip install ray==2.60.0") from error
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no usage statistics without consent
    ray.init(log_to_driver=False, include_dashboard=False)
    largest = max((node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]), default=0)
    if largest < workers:
        ray.shutdown()
        raise ValueError(
            f"a shard needs --workers {workers} CPUs, and no machine of the cluster has more than {largest:g}"
        )
    task = ray.remote(num_cpus=workers, num_gpus=gpus, max_retries=RETRIES)(_run_one)
    try:
        command = [str(Path(__file__).with_name("build.py").resolve()), *without(argv, _OWN_FLAGS)]
        names = [f"{index}/{shards}" for index in range(1, shards + 1)]
        results = ray.get([task.remote([*command, "--shard", name], str(Path.cwd())) for name in names])
    finally:
        ray.shutdown()
    for name, (code, last_line) in zip(names, results, strict=True):
        if code > 1 or code < 0:
            raise ValueError(f"shard {name} ended with code {code}: {last_line}")
    return {name: code for name, (code, _) in zip(names, results, strict=True)}


def _run_one(command: Sequence[str], folder: str) -> tuple[int, str]:
    # A separate process, so that a shard's threads, models and locks end with it.
    line = [sys.executable, *command]
    result = subprocess.run(line, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    lines = result.stderr.strip().splitlines()
    return result.returncode, lines[-1] if lines else ""


def shard_summary(codes: dict[str, int]) -> str:
    """Return a line about the results of the shards."""
    unfinished = [name for name, code in codes.items() if code]
    return f"{len(codes)} shards have run" + (f"; clips are left in {', '.join(unfinished)}" if unfinished else "")
