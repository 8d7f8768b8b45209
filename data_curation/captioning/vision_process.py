"""The parent's side of a process with a vision-language model (`vision_worker.py`)."""

from collections.abc import Sequence

from data_curation.captioning.vision_protocol import VlmAnswer, VlmRequest, request_line
from ski_lvlm.parallel.worker_process import WorkerProcess


class VisionProcess(WorkerProcess):
    """A running process, which may still be loading its model. One thread at a time may use it.

    Args:
        command: the command to start.
        gpu: the value of CUDA_VISIBLE_DEVICES, or None to leave it unchanged.
        seconds: the maximum time of an answer, after which the process is killed.

    Raises:
        OSError: the command cannot be started.
    """

    def __init__(self, command: Sequence[str], *, gpu: str | None, seconds: float) -> None:
        super().__init__(command, name="the captioner's process", gpu=gpu, seconds=seconds)

    def ask(self, request: VlmRequest) -> VlmAnswer:
        """Return the answer to a request.

        Raises:
            NoAnswer: the model has none. Other requests may succeed.
            ProcessEnded: the process ended, or was killed after its maximum time.
        """
        with self.deadline():
            self.send(request_line(request).encode())
            reply = self.receive(id=request.id)
        return VlmAnswer(**{name: reply[name] for name in VlmAnswer._fields})
