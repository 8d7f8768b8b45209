"""Processes of a training on this machine: their number, their start and their end."""

import argparse
import atexit
import logging
import os
import platform
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import distributed
from transformers.hf_argparser import string_to_bool

from ski_lvlm.cli import underscored
from ski_lvlm.parallel.parent import ending_with

_COPIES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS")  # mpirun, mpiexec, srun


def adapted_flags(flags: Sequence[str]) -> list[str]:
    """Return flags as the Trainer needs them on this machine.

    Hyphens become underscores. Without a GPU `--use_cpu True` is added, and a line says so. The `deepspeed` launcher,
    recognised by its `--local_rank=N`, gets zero2.json unless a configuration is given.

    >>> adapted_flags(["--output-dir", "x-y", "--use_cpu", "True"])
    ['--output_dir', 'x-y', '--use_cpu', 'True']
    """
    adapted = [underscored(flag) for flag in flags]
    names = {flag.split("=")[0] for flag in adapted}
    if not torch.cuda.is_available() and "--use_cpu" not in names:
        if os.environ.get("RANK", "0") == "0":
            sys.stderr.write("no GPU found: training on the CPU (--use_cpu True)\n")
        adapted += ["--use_cpu", "True"]
    if "--local_rank" in names and "--deepspeed" not in names:
        adapted += ["--deepspeed", str(Path(__file__).resolve().parents[2] / "zero2.json")]
    return [flag for flag in adapted if not flag.startswith("--local_rank=")]


def start_processes(script: str, flags: Sequence[str]) -> None:
    """Start `script` once on each of `--gpus` and exit with their exit code. Return where this process is enough.

    Raises:
        ValueError: `--gpus` is no number of GPUs of this machine, or mpirun or srun started several lone copies.
    """
    if "LOCAL_RANK" in os.environ:  # a launcher has started this process
        ending_with(os.getppid())()
        return
    _refuse_lone_copies(os.environ)
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--gpus", default="")
    parser.add_argument("--use_cpu", nargs="?", const=True, default=False, type=string_to_bool)
    options, _ = parser.parse_known_args(flags)
    available = 0 if options.use_cpu else torch.cuda.device_count()
    if not options.gpus:
        if available > 1:
            sys.stderr.write(
                f"found {available} GPUs, training on one. Use all with --gpus {available}, "
                f"or: torchrun --nproc_per_node {available} {Path(script).name} …\n"
            )
        return
    processes = asked_processes(options.gpus, available=available)
    if processes > 1:
        if not available:
            sys.stderr.write(f"--gpus {options.gpus}: training in {processes} processes on the CPU\n")
        sys.exit(_run(script, flags, processes=processes))


def asked_processes(gpus: str, *, available: int) -> int:
    """Return the number of processes that `--gpus` asks for. `available` is the number of GPUs, or 0 for the CPU.

    >>> asked_processes("all", available=8), asked_processes("2", available=0)
    (8, 2)

    Raises:
        ValueError: neither a whole number above 0 nor "all", or more than there are.
    """
    if gpus == "all":
        return max(1, available)
    if not gpus.isascii() or not gpus.isdigit() or int(gpus) < 1:
        raise ValueError(f"--gpus {gpus}: expected a whole number from 1 or 'all'; for the CPU give --use_cpu True")
    if available and int(gpus) > available:
        raise ValueError(
            f"--gpus {gpus}: found {available} on this machine; give --gpus {available}, look at CUDA_VISIBLE_DEVICES, "
            "or use torchrun --nnodes for several machines"
        )
    return int(gpus)


def check_processes(gpus: str, *, use_cpu: bool) -> None:
    """Make sure that as many processes run on this machine as `--gpus` asked for.

    Raises:
        ValueError: a launcher started another number.
    """
    if not gpus:
        return
    expected = asked_processes(gpus, available=0 if use_cpu else torch.cuda.device_count())
    running = int(os.environ.get("LOCAL_WORLD_SIZE") or os.environ.get("LOCAL_SIZE") or 1)
    if running != expected:
        raise ValueError(
            f"--gpus {gpus}: found {running} processes on this machine, expected {expected}; leave --gpus out where a "
            "launcher starts the processes, else run the command itself"
        )


def _refuse_lone_copies(environment: Mapping[str, str]) -> None:
    for name in _COPIES:
        if int(environment.get(name) or 1) > 1:
            raise ValueError(
                f"{name} is {environment[name]}: several copies of this command run without knowing of each other; "
                "start one for each machine (srun --ntasks-per-node 1) with --gpus N, or with torchrun"
            )


def _run(script: str, flags: Sequence[str], *, processes: int) -> int:
    """Run the script in several processes and return the exit code of the first that failed, else 0."""
    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // processes)))
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # the processes say what failed
    # --standalone lets the operating system choose the port: several runs on one machine do not collide.
    words = ["--standalone", "--local_addr", "127.0.0.1", "--nproc_per_node", str(processes), script, *flags]
    try:
        run.run(run.parse_args(words))
    except ChildFailedError as error:
        return abs(error.get_first_failure()[1].exitcode)
    except SignalException as error:
        return 128 + int(error.sigval)
    return 0


def check_shared_folder(folder: Path) -> None:
    """Make sure that all processes see one folder: the first creates a file there and the others look for it.

    Raises:
        ValueError: a process does not see the file. All processes raise it, so that none waits for another.
    """
    if not distributed.is_initialized() or distributed.get_world_size() == 1:
        return
    name = [f".shared-{uuid.uuid4().hex}"]
    distributed.broadcast_object_list(name)
    token = folder / name[0]
    if distributed.get_rank() == 0:
        folder.mkdir(parents=True, exist_ok=True)
        token.touch()
    distributed.barrier()
    views: list[str | None] = [None] * distributed.get_world_size()
    distributed.all_gather_object(views, None if _appears(token) else f"{platform.node()}:{folder.resolve()}")
    if distributed.get_rank() == 0:
        token.unlink()
    if lone := sorted({view for view in views if view}):
        raise ValueError(
            f"process 0 wrote into {folder}, but {', '.join(lone[:4])} does not show it: {len(lone)} of the folders "
            "are not shared. Give an --output_dir on storage that all machines mount at the same place, and start "
            "there with deepspeed --hostfile FILE, one line 'NAME slots=GPUS' a machine, or with torchrun --nnodes"
        )


def _appears(file: Path, *, attempts: int = 20) -> bool:
    """Return whether a file exists, after some waiting if need be."""
    for _ in range(attempts):  # network file systems may show another machine's file a little later
        if file.exists():
            return True
        time.sleep(0.25)
    return False


def stand_alone() -> None:
    """Let `--deepspeed` work without a launcher: as one process, rank 0 of 1."""
    # Port 0 lets the operating system choose a free one, so that several runs on one machine do not collide.
    alone = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    for name, value in alone.items():
        os.environ.setdefault(name, value)


def join_deepspeed() -> None:
    """Connect DeepSpeed's processes before a model is loaded, since ZeRO-3 partitions it while loading."""
    import deepspeed

    deepspeed.init_distributed(dist_backend="nccl" if torch.cuda.is_available() else "gloo", verbose=False)


def leave_process_group() -> None:
    """Wait for the other processes, leave their group, and end this process at once if it was one of several."""
    if not distributed.is_initialized():
        return
    is_alone = distributed.get_world_size() == 1
    distributed.barrier()
    distributed.destroy_process_group()
    _remove_shared_buffers()
    if not is_alone:
        # A normal exit of the interpreter lets threads of the group outlive their owner. Now and then that aborts a
        # process whose work is done ("terminate called without an active exception") and fails the whole launch.
        atexit._run_exitfuncs()  # loggers such as W&B finish here
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def _remove_shared_buffers() -> None:
    """Remove what DeepSpeed leaves in shared memory when processes reduce on a CPU: 64 MiB for each of them."""
    place = f"{os.getuid()}_{os.environ.get('MASTER_ADDR')}_{os.environ.get('MASTER_PORT')}_{os.environ.get('RANK')}"
    Path("/dev/shm", f"deepspeed_allreduce_buffer_{place}").unlink(missing_ok=True)
