"""The parent's side of a process with a vision-language model (`vision_worker.py`)."""

import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import IO

from data_curation.captioning.vision_protocol import VlmAnswer, VlmRequest, read_reply, request_line

_CLOSE_SECONDS = 10.0


class ProcessEnded(ValueError):
    """A process that ended. The message has its exit code and its last lines."""


class VisionProcess:
    """A running process, which may still be loading its model. One thread at a time may use it.

    Args:
        command: the command to start.
        gpu: the value of CUDA_VISIBLE_DEVICES, or None to leave it unchanged.
        seconds: the maximum time of an answer, after which the process is killed.

    Raises:
        OSError: the command cannot be started.
    """

    def __init__(self, command: Sequence[str], *, gpu: str | None, seconds: float) -> None:
        environment = os.environ if gpu is None else {**os.environ, "CUDA_VISIBLE_DEVICES": gpu}
        self._name = "the captioner's process" if gpu is None else f"the captioner's process on GPU {gpu}"
        self._process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
        )
        self._seconds, self._late, self._loading = seconds, False, True
        self._last_lines: deque[str] = deque(maxlen=3)
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def wait_until_ready(self) -> str | None:
        """Wait without a limit until the model has answered once, and return its commit on the hub.

        Raises:
            NoAnswer: the model cannot be used.
            ProcessEnded: the process ended.
        """
        commit: str | None = read_reply(self._next_line(), ready=True)["commit"]
        self._loading = False
        return commit

    def ask(self, request: VlmRequest) -> VlmAnswer:
        """Return the answer to a request.

        Raises:
            NoAnswer: the model has none. Other requests may succeed.
            ProcessEnded: the process ended, or was killed after its maximum time.
        """
        with self._deadline():
            with suppress(BrokenPipeError):  # the next line reports the end of the process
                self._stdin.write(request_line(request))
                self._stdin.flush()
            reply = read_reply(self._next_line(), id=request.id)
        return VlmAnswer(**{name: reply[name] for name in VlmAnswer._fields})

    def close(self) -> None:
        """End the process by closing its input, and kill it if that is not enough."""
        with suppress(BrokenPipeError):  # the process ended with unread input
            self._stdin.close()
        try:
            self._process.wait(_CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._stdout.close()

    @property
    def _stdin(self) -> IO[str]:
        assert self._process.stdin
        return self._process.stdin

    @property
    def _stdout(self) -> IO[str]:
        assert self._process.stdout
        return self._process.stdout

    def _next_line(self) -> str:
        text = self._stdout.readline()
        if not text.endswith("\n"):  # nothing, or half a line at the end of the process
            raise self._end()
        return text

    def _end(self) -> ProcessEnded:
        self._process.kill()  # if it only closed its output
        code = self._process.wait()
        self._listener.join(1.0)
        reason = f"gave no answer in {self._seconds:g} s and was killed" if self._late else f"ended with code {code}"
        return ProcessEnded(f"{self._name} {reason}; its last lines: {' | '.join(self._last_lines) or 'nothing'}")

    @contextmanager
    def _deadline(self) -> Iterator[None]:
        def kill() -> None:
            self._late = True
            self._process.kill()

        timer = threading.Timer(self._seconds, kill)
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _listen(self) -> None:
        """Keep the last lines of stderr, and print them during loading, for the progress of a download."""
        assert self._process.stderr
        with self._process.stderr as lines:
            for text in lines:
                if text.strip():
                    self._last_lines.append(text.strip())
                if self._loading:
                    sys.stderr.write(text)
