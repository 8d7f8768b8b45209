"""The command's side of a process with a model, which speaks `line_protocol` and may be of another environment."""

import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from typing import IO, Any

from ski_lvlm.parallel.line_protocol import read_reply

_CLOSE_SECONDS = 10.0


class ProcessEnded(ValueError):
    """A process that ended. The message has its exit code and its last lines."""


class WorkerProcess:
    """A running process, which may still be loading its model. One thread at a time may use it.

    Args:
        command: the command to start.
        name: its name in messages.
        gpu: the value of CUDA_VISIBLE_DEVICES, or None to leave it unchanged.
        seconds: the maximum time of an answer, after which the process is killed.

    Raises:
        OSError: the command cannot be started.
    """

    def __init__(self, command: Sequence[str], *, name: str, gpu: str | None, seconds: float) -> None:
        environment = os.environ if gpu is None else {**os.environ, "CUDA_VISIBLE_DEVICES": gpu}
        self._name = name if gpu is None else f"{name} on GPU {gpu}"
        self._process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self._seconds, self._late, self._loading = seconds, False, True
        self._last_lines: deque[str] = deque(maxlen=3)
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def wait_until_ready(self) -> dict[str, Any]:
        """Wait without a limit until the model has answered once, and return what the process says of itself.

        Raises:
            NoAnswer: the model cannot be used.
            ProcessEnded: the process ended.
        """
        fields = read_reply(self._next_line(), ready=True)
        self._loading = False
        return fields

    def send(self, request: bytes) -> None:
        """Write a request. A process that has ended is reported by the next `receive`."""
        with suppress(BrokenPipeError):
            self._stdin.write(request)
            self._stdin.flush()

    def receive(self, **expected: object) -> dict[str, Any]:
        """Return the fields of the next reply, and check those expected.

        Raises:
            NoAnswer: the model has no answer. Other requests may succeed.
            ProcessEnded: the process ended, or was killed after its maximum time.
        """
        return read_reply(self._next_line(), **expected)

    @contextmanager
    def deadline(self) -> Iterator[None]:
        """Kill the process if the block takes longer than the maximum time of an answer."""

        def kill() -> None:
            self._late = True
            self._process.kill()

        timer = threading.Timer(self._seconds, kill)
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

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
    def _stdin(self) -> IO[bytes]:
        assert self._process.stdin
        return self._process.stdin

    @property
    def _stdout(self) -> IO[bytes]:
        assert self._process.stdout
        return self._process.stdout

    def _next_line(self) -> str:
        text = self._stdout.readline()
        if not text.endswith(b"\n"):  # nothing, or half a line at the end of the process
            raise self._end()
        return text.decode("utf-8", errors="replace")

    def _end(self) -> ProcessEnded:
        self._process.kill()  # if it only closed its output
        code = self._process.wait()
        self._listener.join(1.0)
        reason = f"gave no answer in {self._seconds:g} s and was killed" if self._late else f"ended with code {code}"
        return ProcessEnded(f"{self._name} {reason}; its last lines: {' | '.join(self._last_lines) or 'nothing'}")

    def _listen(self) -> None:
        """Keep the last lines of stderr, and print them during loading, for the progress of a download."""
        assert self._process.stderr
        with TextIOWrapper(self._process.stderr, encoding="utf-8", errors="replace") as lines:
            for text in lines:
                if text.strip():
                    self._last_lines.append(text.strip())
                if self._loading:
                    sys.stderr.write(text)
