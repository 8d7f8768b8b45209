"""One process that holds a vision-language model (`vision_worker.py`), seen from the one that started it."""

import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import IO

from data_curation.captioning.vision_protocol import Request, Said, read_reply, request_line

_GOODBYE_SECONDS = 10.0


class Ended(ValueError):
    """The process is no more; the message says how it ended, and what it said last."""


class VisionProcess:
    """A process that was started and may still be loading its model; one thread at a time may use it.

    Args:
        command: what to start.
        gpu: the one it sees, as CUDA_VISIBLE_DEVICES names it; None leaves that as it is.
        seconds: how long it may take to answer; it is killed if it takes longer.

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
        self._last_words: deque[str] = deque(maxlen=3)
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def wait_until_ready(self) -> str | None:
        """Wait, as long as it takes, until the model is loaded and has answered once; return its commit on the hub.

        Raises:
            Unanswered: the model cannot be used.
            Ended: the process ended instead.
        """
        commit: str | None = read_reply(self._next_line(), ready=True)["commit"]
        self._loading = False
        return commit

    def ask(self, request: Request) -> Said:
        """The answer to a request.

        Raises:
            Unanswered: the model has none; others may fare better.
            Ended: the process ended, or was killed for being late.
        """
        with self._deadline():
            with suppress(BrokenPipeError):  # it has ended, and the next line says so
                self._stdin.write(request_line(request))
                self._stdin.flush()
            reply = read_reply(self._next_line(), id=request.id)
        return Said(**{name: reply[name] for name in Said._fields})

    def close(self) -> None:
        """End it: gently, by the end of its input, if that is enough."""
        with suppress(BrokenPipeError):  # what it had not read when it ended
            self._stdin.close()
        try:
            self._process.wait(_GOODBYE_SECONDS)
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
        if not text.endswith("\n"):  # nothing, or what it was writing when it ended
            raise self._obituary()
        return text

    def _obituary(self) -> Ended:
        self._process.kill()  # if it only closed its output
        code = self._process.wait()
        self._listener.join(1.0)
        how = f"gave no answer in {self._seconds:g} s and was killed" if self._late else f"ended with code {code}"
        return Ended(f"{self._name} {how}; it said last: {' | '.join(self._last_words) or 'nothing'}")

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
        """Keep its last words, and pass on what it says while it loads: the progress of a long download."""
        assert self._process.stderr
        with self._process.stderr as said:
            for text in said:
                if text.strip():
                    self._last_words.append(text.strip())
                if self._loading:
                    sys.stderr.write(text)
