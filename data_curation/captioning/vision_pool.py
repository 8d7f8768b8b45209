"""Processes that each hold a copy of a vision-language model, one for each GPU; a request goes to one that is free."""

import itertools
import queue
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from data_curation.captioning.vision_process import Ended, VisionProcess
from data_curation.captioning.vision_protocol import Request, Said, Unanswered
from data_curation.ledger import Failed
from ski_lvlm.parallel.gpu_shards import gpu_names

ANSWER_SECONDS = 600.0  # whoever takes longer over one clip hangs
MOST_DEATHS = 3  # of one process and those that take its place, with no answer in between
_WORKER = Path(__file__).with_name("vision_worker.py")


class VisionPool:
    """Processes that answer about pictures; as many threads as there are processes keep all of them busy.

    Args:
        command: what to start, as from `worker_command`.
        gpus: where, as from `visible_gpus`; none means one process, on the CPU.
        seconds: how long an answer may take.

    Raises:
        ValueError: a process cannot be started, or the model cannot be used.
        OSError: the command cannot be started.
    """

    def __init__(self, command: Sequence[str], *, gpus: Sequence[str], seconds: float = ANSWER_SECONDS) -> None:
        self._places = [_Place(command, gpu, seconds) for gpu in gpus] or [_Place(command, None, seconds)]
        self._free: queue.SimpleQueue[_Place] = queue.SimpleQueue()
        self._numbers = itertools.count(1)
        self.commit: str | None = None  # of the model on the hub
        with ExitStack() as unless_all_start:
            unless_all_start.callback(self.close)
            for place in self._places:
                place.start()
            for place in self._places:
                self.commit = place.wait_until_ready()
                self._free.put(place)
            unless_all_start.pop_all()

    def __len__(self) -> int:
        return len(self._places)

    def ask(self, prompt: str, pictures: Sequence[bytes], *, max_tokens: int) -> Said:
        """Ask whoever is free; wait until somebody is. A process that has ended is replaced first.

        Raises:
            Failed: there is no answer this time: the model has none, or its process ended over it.
            ValueError: processes end again and again, or cannot be replaced.
        """
        place = self._free.get()
        try:
            return place.ask(Request(next(self._numbers), prompt, tuple(pictures), max_tokens))
        finally:
            self._free.put(place)

    def close(self) -> None:
        """End all processes."""
        for place in self._places:
            place.close()


class _Place:
    """A GPU, or the CPU, and the process that works there."""

    def __init__(self, command: Sequence[str], gpu: str | None, seconds: float) -> None:
        self._command, self._gpu, self._seconds = command, gpu, seconds
        self._deaths = 0
        self.process: VisionProcess | None = None

    def start(self) -> VisionProcess:
        self.process = VisionProcess(self._command, gpu=self._gpu, seconds=self._seconds)
        return self.process

    def wait_until_ready(self) -> str | None:
        assert self.process
        try:
            return self.process.wait_until_ready()
        except (Unanswered, Ended) as error:
            raise ValueError(f"the captioner cannot start: {error}") from error

    def ask(self, request: Request) -> Said:
        if self.process is None:
            self.start()
            self.wait_until_ready()
        assert self.process
        try:
            said = self.process.ask(request)
        except Unanswered as error:
            raise Failed(f"the captioner has no answer: {error}") from error
        except Ended as error:
            self.close()
            self._deaths += 1
            if self._deaths >= MOST_DEATHS:
                raise ValueError(f"{error}; so did {MOST_DEATHS} in a row, which no other clip would change") from error
            raise Failed(str(error)) from error
        self._deaths = 0
        return said

    def close(self) -> None:
        if self.process:
            self.process.close()
        self.process = None


class Loading(NamedTuple):
    """How a model is loaded: whether its repository may run code, which commit of it, and in whose Python."""

    trust_remote_code: bool = False
    revision: str | None = None
    python: str = sys.executable


def worker_command(kind: str, model: str, loading: Loading, *, tokenizer: str | None = None) -> list[str]:
    """What starts `vision_worker.py`."""
    options = {"--kind": kind, "--model": model, "--tokenizer": tokenizer, "--revision": loading.revision}
    command = [loading.python, str(_WORKER)]
    command += [word for option, value in options.items() if value is not None for word in (option, value)]
    return [*command, "--trust_remote_code"] if loading.trust_remote_code else command


def visible_gpus(python: str) -> list[str]:
    """The GPUs that torch finds in another environment's Python, by the names that CUDA_VISIBLE_DEVICES has for them.

    Raises:
        ValueError: there is no such Python, or it has no torch.
    """
    count = "import torch; print(torch.cuda.device_count())"
    try:
        asked = subprocess.run([python, "-c", count], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        said = error.strerror if isinstance(error, OSError) else error.stderr.strip().rpartition("\n")[2]
        raise ValueError(
            f"{python}: expected a Python with torch, found: {said}; give one with --captioner_python "
            "(scripts/cogvlm_environment.sh makes cogvlm's)"
        ) from error
    return gpu_names(int(asked.stdout.split()[-1]))
