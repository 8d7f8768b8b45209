"""The process that holds a vision-language model, as a process, with CogVLM's test double in it."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from data_curation.captioning.vision_pool import Loading, VisionPool, worker_command
from tests.captioner_case import cogvlm_double

ROOT = Path(__file__).resolve().parents[1]
PARENT = """
import sys

sys.path.insert(0, sys.argv[1])
from data_curation.captioning.vision_pool import VisionPool
from tests.captioner_case import png

pool = VisionPool(sys.argv[2:], gpus=[])
print("ready", flush=True)
pool.ask("What is seen?", [png((255, 0, 0))], max_tokens=256)  # for a minute
"""


def children(pid):
    return [int(child) for tasks in Path(f"/proc/{pid}/task").glob("*/children") for child in tasks.read_text().split()]


def lives(pid):
    """Whether a process runs; one that ended but was not buried does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_it_ends_when_its_parent_is_killed_amid_a_request(tmp_path):
    folder = cogvlm_double(tmp_path / "cogvlm")
    loading = Loading(trust_remote_code=True)
    command = worker_command("cogvlm", str(folder), loading, tokenizer=str(folder / "tokenizer"))
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(ROOT), *command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert parent.stdout.readline() == b"ready\n"
    (worker,) = children(parent.pid)
    time.sleep(0.3)  # the request is on its way
    assert lives(worker)
    parent.kill()
    parent.communicate()
    deadline = time.monotonic() + 5
    while lives(worker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not lives(worker)


def test_it_does_not_load_to_the_end_for_nobody():
    done = subprocess.run(worker_command("hf", "no/such", Loading()), stdin=subprocess.DEVNULL, capture_output=True)
    assert done.returncode == 0 and done.stdout == b""


def test_it_needs_nothing_that_cogvlms_environment_lacks():
    listed = (
        "import sys; sys.path.insert(0, sys.argv[1]); "
        "import data_curation.captioning.vision_worker; print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", listed, str(ROOT)], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()} - {"_distutils_hack"}
    ours = {name for name in done.stdout.split() if name.startswith(("data_curation", "ski_lvlm"))}
    needed = ("", ".vision_worker", ".vision_models", ".vision_protocol")
    assert ours == {"data_curation", *(f"data_curation.captioning{name}" for name in needed)}
    assert not loaded & {"jaxtyping", "numpy", "einops", "tenacity", "torch", "transformers"}


@pytest.mark.parametrize("allowed", [False, True])
def test_code_that_is_not_allowed_or_not_pinned_is_not_run_whoever_asks(allowed):
    with pytest.raises(ValueError, match="the captioner cannot start: .*(--trust_remote_code|expected the 40-digit)"):
        VisionPool(worker_command("cogvlm", "THUDM/cogvlm-chat-hf", Loading(trust_remote_code=allowed)), gpus=[])
