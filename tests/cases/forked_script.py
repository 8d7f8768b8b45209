"""Scripts in forks of a process that has imported the libraries.

A training of these tests imports for eight seconds and computes for one. A fork has the imports. It runs the script as
`__main__`, in a session, folder and environment of its own, and can be killed as any process.
"""

import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from unittest import mock

# The libraries read these when they are imported.
SETTINGS = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"}
LIBRARIES = ("torch", "deepspeed", "peft", "transformers.trainer", "train_ski_lvlm", "train_ski_vlm")


class ForkedScript:
    """A script that runs, with the methods of `subprocess.Popen` that the tests use. What it prints goes into files."""

    def __init__(
        self, words: Sequence[str], *, env: Mapping[str, str], cwd: str | Path, stdout: int | None, stderr: int | None
    ) -> None:
        self._printed = {
            number: tempfile.NamedTemporaryFile("r") if target == subprocess.PIPE else None  # noqa: SIM115
            for number, target in ((1, stdout), (2, stderr))
        }
        names = {number: file.name if file else os.devnull for number, file in self._printed.items()}
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(list(LIBRARIES))
        self._process = context.Process(target=_run, args=([str(word) for word in words], dict(env), str(cwd), names))
        with mock.patch.dict(os.environ, SETTINGS):  # the first script starts the process that is forked
            self._process.start()
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit code, or None while it runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """Return the exit code, or None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end and return the exit code."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("a forked script", timeout or 0)
        return self._process.exitcode

    def kill(self) -> None:
        """Send SIGKILL."""
        self._process.kill()

    def communicate(self, stdin: str = "", timeout: float | None = None) -> tuple[str | None, str | None]:
        """Wait for the end and return what it printed."""
        assert not stdin, "a forked script reads nothing"
        self.wait(timeout)
        return tuple(file and file.read() for file in self._printed.values())


def _run(words: Sequence[str], env: Mapping[str, str], cwd: str, printed: Mapping[int, str]) -> None:
    os.setsid()
    for number, name in printed.items():
        file = os.open(name, os.O_WRONLY)
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    sys.argv = list(words)
    folders = [folder for folder in env.get("PYTHONPATH", "").split(":") if folder]
    sys.path[:0] = [str(Path(words[0]).parent), *folders]
    if any((Path(folder) / "sitecustomize.py").exists() for folder in folders):
        sys.modules.pop("sitecustomize", None)
        __import__("sitecustomize")
    runpy.run_path(words[0], run_name="__main__")
