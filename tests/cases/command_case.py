"""Commands as processes. They end with all that they started, and a busy machine does not make them fail."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from tests.cases.forked_script import SETTINGS, ForkedScript

ROOT = Path(__file__).resolve().parents[2]
HANG = 1800.0  # seconds; a command that takes longer hangs
BIN = Path(sys.executable).parent
ENVIRONMENT = os.environ | SETTINGS | {"PATH": f"{BIN}:{os.environ['PATH']}"}

FORKED = {
    ROOT / name
    for name in (
        "train_ski_lvlm.py",
        "train_ski_vlm.py",
        "eval/describe.py",
        "eval/zero_shot.py",
        "scripts/extract_features.py",
        "tests/cases/train_video_llm.py",
    )
}


@contextmanager
def started(command: Sequence[str], **options) -> Iterator[subprocess.Popen | ForkedScript]:
    """Start a command in a session of its own, which ends when the block does. Scripts that import long are forked."""
    settings = {"env": ENVIRONMENT, "cwd": "/", **options}
    if is_forked(command, **settings):
        outputs = {name: settings.get(name) for name in ("stdout", "stderr")}
        process = ForkedScript(command[1:], env=settings["env"], cwd=settings["cwd"], **outputs)
    else:
        process = subprocess.Popen(command, start_new_session=True, text=True, **settings)
    try:
        yield process
    finally:
        kill(process)


def is_forked(command: Sequence[str], **options) -> bool:
    """Return whether a command is started as a fork: a script of this checkout that imports for seconds."""
    script = Path(command[1]) if len(command) > 1 and command[0] == sys.executable else Path()
    outputs = {options.get(name) for name in ("stdout", "stderr")}
    return (
        sys.platform == "linux"
        and script in FORKED
        and options.keys() <= {"env", "cwd", "stdin", "stdout", "stderr"}
        and outputs <= {subprocess.PIPE, subprocess.DEVNULL, None}
        and options["env"].items() >= SETTINGS.items()
    )


def run(command: Sequence[str], *, stdin: str = "", **options) -> subprocess.CompletedProcess:
    """Run a command to its end and return what it printed."""
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with started(command, **pipes, **options) as process:
        output, errors = process.communicate(stdin, timeout=HANG)
    return subprocess.CompletedProcess(command, process.returncode, output, errors)


def kill(process: subprocess.Popen | ForkedScript) -> None:
    """SIGKILL a process with its descendants: torchrun gives each of its workers a session of its own."""
    family = descendants(process.pid) if process.poll() is None else []
    for end, pid in [(os.killpg, process.pid), *((os.kill, pid) for pid in family)]:
        with suppress(ProcessLookupError):
            end(pid, signal.SIGKILL)
    process.kill()  # a fork that has no session yet is in no group of its own
    process.wait()


def descendants(pid: int) -> list[int]:
    """Return the processes below this one."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    below = [int(child) for children in tasks for child in children.read_text().split()]
    return [*below, *(pid for child in below for pid in descendants(child))]


def is_running(pid: int) -> bool:
    """Return whether a process runs. One that ended and that nobody has waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def until(condition: Callable[[], object]) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + HANG
    while not condition():
        assert time.monotonic() < deadline, "it hangs"
        time.sleep(0.002)


def kill_at(command: Sequence[str], name: str, times: int, *, folder: Path, **options) -> None:
    """SIGKILL a Python command when it or a child is about to write a file for the nth time.

    Only the command is killed at first. Its children are killed when this returns.

    Args:
        command: what to start.
        name: pattern of the file's name.
        times: n, from 1. The process has written the file n - 1 times before.
        folder: for the file that marks the moment.
        options: of `subprocess.Popen`.
    """
    mark = folder / "held"
    mark.unlink(missing_ok=True)
    hold = {"PYTHONPATH": f"{ROOT / 'tests' / 'hold'}:{ROOT}", "HOLD": json.dumps([str(mark), name, times])}
    silent = dict.fromkeys(("stdout", "stderr"), subprocess.DEVNULL)
    with started(command, env=ENVIRONMENT | hold, **silent, **options) as process:
        until(lambda: mark.exists() or process.poll() is not None)
        assert process.poll() is None, f"it ended with code {process.returncode} before it wrote {name} so often"
        process.kill()
        process.wait()


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def deepspeed(processes: int) -> tuple[str, ...]:
    """Return the launcher, on a port that is free."""
    return str(BIN / "deepspeed"), f"--num_gpus={processes}", f"--master_port={free_port()}"


def run_together(
    commands: Sequence[Sequence[str]], environments: Sequence[Mapping[str, str]] | None = None
) -> list[subprocess.CompletedProcess]:
    """Run commands that wait for each other, as those of several machines do, to their end or to one's failure."""
    with ExitStack() as stack:
        pipes = dict.fromkeys(("stdout", "stderr"), subprocess.PIPE)
        each = zip(commands, environments or [ENVIRONMENT] * len(commands), strict=True)
        processes = [stack.enter_context(started(command, env=environment, **pipes)) for command, environment in each]

        def end(process: subprocess.Popen | ForkedScript) -> tuple[str, str]:
            texts = process.communicate(timeout=HANG)
            for other in processes if process.returncode else ():
                kill(other)
            return texts

        with ThreadPoolExecutor(len(processes)) as readers:  # a full pipe would stop one, and with it the others
            outputs = list(readers.map(end, processes))
    results = zip(commands, processes, outputs, strict=True)
    return [subprocess.CompletedProcess(words, process.returncode, *texts) for words, process, texts in results]


def run_ranks(command: Sequence[str], processes: int) -> subprocess.CompletedProcess:
    """Run a training in several processes that find each other as those of a launcher do.

    Return what the first one printed, all errors, and the first exit code that is not 0.
    """
    world = {"WORLD_SIZE": str(processes), "LOCAL_WORLD_SIZE": str(processes)}
    world |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    ranks = [{"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(processes)]
    results = run_together([command] * processes, [ENVIRONMENT | world | rank for rank in ranks])
    code = next((result.returncode for result in results if result.returncode), 0)
    return subprocess.CompletedProcess(command, code, results[0].stdout, "".join(result.stderr for result in results))


def torchrun(processes: int) -> tuple[str, ...]:
    """Return the launcher, which finds a free port itself."""
    return str(BIN / "torchrun"), "--standalone", "--local_addr=127.0.0.1", f"--nproc_per_node={processes}"


def has_compiler() -> bool:
    """Return whether DeepSpeed can compile its shared-memory communication for two processes on a CPU."""
    return shutil.which("g++") is not None
