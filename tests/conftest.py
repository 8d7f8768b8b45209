"""Shape checks for every call in the tests: jaxtyping's annotations are enforced by beartype while pytest runs."""

import os
import signal
from collections.abc import Iterator

import pytest
from jaxtyping import install_import_hook

# A shell's background job ignores SIGINT, and commands that tests start and interrupt would inherit that.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

os.environ["HF_HUB_OFFLINE"] = "1"  # no test asks a model hub

install_import_hook("ski_lvlm", "beartype.beartype")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol():
    """Let every test, with its fixtures, meet another processor's rounding where OTHER_ROUNDING asks for it."""
    if not (seed := os.environ.get("OTHER_ROUNDING")):
        return (yield)
    from tests.cases.other_rounding import OtherRounding

    with OtherRounding(int(seed)):
        return (yield)


@pytest.fixture(scope="session")
def llm_url() -> Iterator[str]:
    """Base URL of a real LLM server (llama.cpp with SmolLM2), started once and only if a test asks for it."""
    from tests.cases.llm_server import llama_server

    with llama_server() as url:
        yield url
