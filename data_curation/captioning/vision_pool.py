"""Processes with a copy of a vision-language model each, one for each GPU."""

import itertools
import queue
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from data_curation.captioning.vision_process import VisionProcess
from data_curation.captioning.vision_protocol import VlmAnswer, VlmRequest
from data_curation.ledger import Failed
from ski_lvlm.parallel.gpu_shards import gpu_names
from ski_lvlm.parallel.line_protocol import NoAnswer
from ski_lvlm.parallel.worker_process import ProcessEnded

ANSWER_SECONDS = 600.0  # a process that takes longer for one clip hangs
MAX_CRASHES = 3  # in a row, of a process and its replacements
_WORKER = Path(__file__).with_name("vision_worker.py")


class VisionPool:
    """Processes that answer about pictures, for as many threads as there are processes.

    Args:
        command: the command of a process, from `worker_command`.
        gpus: the GPUs, from `visible_gpus`. Without any there is one process on the CPU.
        seconds: the maximum time of an answer.

    Raises:
        ValueError: a process cannot be started, or the model cannot be used.
    """

    def __init__(self, command: Sequence[str], *, gpus: Sequence[str], seconds: float = ANSWER_SECONDS) -> None:
        self._workers = [_Worker(command, gpu, seconds) for gpu in gpus] or [_Worker(command, None, seconds)]
        self._free: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
        self._numbers = itertools.count(1)
        self.commit: str | None = None  # of the model on the hub
        with ExitStack() as unless_all_start:
            unless_all_start.callback(self.close)
            for worker in self._workers:
                worker.start()
            for worker in self._workers:
                self.commit = worker.wait_until_ready()
                self._free.put(worker)
            unless_all_start.pop_all()

    def __len__(self) -> int:
        return len(self._workers)

    def ask(self, prompt: str, pictures: Sequence[bytes], *, max_tokens: int) -> VlmAnswer:
        """Ask the next free process. A process that ended is replaced first.

        Raises:
            Failed: the model has no answer, or its process ended.
            ValueError: processes end repeatedly, or cannot be replaced.
        """
        worker = self._free.get()
        try:
            return worker.ask(VlmRequest(next(self._numbers), prompt, tuple(pictures), max_tokens))
        finally:
            self._free.put(worker)

    def close(self) -> None:
        """End all processes."""
        for worker in self._workers:
            worker.close()


class _Worker:
    """A GPU, or the CPU, with its current process."""

    def __init__(self, command: Sequence[str], gpu: str | None, seconds: float) -> None:
        self._command, self._gpu, self._seconds = command, gpu, seconds
        self._crashes = 0
        self.process: VisionProcess | None = None

    def start(self) -> VisionProcess:
        self.process = VisionProcess(self._command, gpu=self._gpu, seconds=self._seconds)
        return self.process

    def wait_until_ready(self) -> str | None:
        assert self.process
        try:
            commit: str | None = self.process.wait_until_ready()["commit"]
            return commit
        except (NoAnswer, ProcessEnded) as error:
            raise ValueError(f"the captioner cannot start: {error}") from error

    def ask(self, request: VlmRequest) -> VlmAnswer:
        if self.process is None:
            self.start()
            self.wait_until_ready()
        assert self.process
        try:
            answer = self.process.ask(request)
        except NoAnswer as error:
            raise Failed(f"the captioner has no answer: {error}") from error
        except ProcessEnded as error:
            self.close()
            self._crashes += 1
            if self._crashes >= MAX_CRASHES:
                raise ValueError(
                    f"{error}; this happened {MAX_CRASHES} times in a row, so other clips would fail too"
                ) from error
            raise Failed(str(error)) from error
        self._crashes = 0
        return answer

    def close(self) -> None:
        if self.process:
            self.process.close()
        self.process = None


class Loading(NamedTuple):
    """The settings of loading a model: whether its repository may run code, its commit, and the Python."""

    trust_remote_code: bool = False
    revision: str | None = None
    python: str = sys.executable


def worker_command(kind: str, model: str, loading: Loading, *, tokenizer: str | None = None) -> list[str]:
    """Return the command that starts `vision_worker.py`."""
    options = {"--kind": kind, "--model": model, "--tokenizer": tokenizer, "--revision": loading.revision}
    command = [loading.python, str(_WORKER)]
    command += [word for option, value in options.items() if value is not None for word in (option, value)]
    return [*command, "--trust_remote_code"] if loading.trust_remote_code else command


def visible_gpus(python: str) -> list[str]:
    """Return the GPUs that another environment's torch finds, by their names for CUDA_VISIBLE_DEVICES.

    Raises:
        ValueError: there is no such Python, or it has no torch.
    """
    count = "import torch; print(torch.cuda.device_count())"
    try:
        result = subprocess.run([python, "-c", count], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        reason = error.strerror if isinstance(error, OSError) else error.stderr.strip().rpartition("\n")[2]
        raise ValueError(
            f"{python}: expected a Python with torch, found: {reason}; give one with --captioner_python "
            "(scripts/cogvlm_environment.sh makes cogvlm's)"
        ) from error
    return gpu_names(int(result.stdout.split()[-1]))
