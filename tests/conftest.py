"""Rules for every test: shapes are checked at each call, and only tests marked `slow` start processes."""

import multiprocessing.process
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import pytest
from jaxtyping import install_import_hook

# A shell's background job ignores SIGINT, and commands that tests start and interrupt would inherit that.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

os.environ["HF_HUB_OFFLINE"] = "1"  # no test asks a model hub
# Set before torch is imported. Otherwise each of several workers starts a thread a core, and they wait for each other.
if "PYTEST_XDIST_WORKER_COUNT" in os.environ:
    threads = max(1, (os.cpu_count() or 1) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"]))
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))

install_import_hook("ski_lvlm", "beartype.beartype")


@contextmanager
def _processes_only_if_slow(test: pytest.Item) -> Iterator[None]:
    """Refuse processes to a test without the mark `slow`, so that `pytest -m "not slow"` stays a quick loop."""

    def refuse(*_, **__):
        raise AssertionError(f"{test.nodeid} starts a process: mark it with pytest.mark.slow")

    with pytest.MonkeyPatch.context() as patch:
        if not test.get_closest_marker("slow"):
            patch.setattr(subprocess.Popen, "__init__", refuse)
            patch.setattr(multiprocessing.process.BaseProcess, "start", refuse)
        yield


def _rounding() -> AbstractContextManager[object]:
    """Return another processor's rounding where OTHER_ROUNDING asks for it."""
    if not (seed := os.environ.get("OTHER_ROUNDING")):
        return nullcontext()
    from tests.cases.other_rounding import OtherRounding

    return OtherRounding(int(seed))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    """Run a test with its fixtures under the rules above."""
    with _processes_only_if_slow(item), _rounding():
        return (yield)


@pytest.fixture(scope="module")
def in_fp32() -> Iterator[None]:
    """Hold language models in fp32. In bf16 the company in a batch may turn a near tie of a random model's tokens."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ski_lvlm.lvlm.inference.native_bf16", lambda: False)
        yield


@pytest.fixture(scope="session")
def llm_url() -> Iterator[str]:
    """Base URL of a real LLM server (llama.cpp with SmolLM2), started once and only if a test asks for it."""
    from tests.cases.llm_server import llama_server

    with llama_server() as url:
        yield url
