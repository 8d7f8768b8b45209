"""The process that holds a vision-language model, as a process, with CogVLM's test double in it."""

import subprocess
import sys

import pytest

from data_curation.captioning.vision_pool import Loading, VisionPool, worker_command
from tests.cases.captioner_case import cogvlm_double
from tests.cases.command_case import ROOT, descendants, is_running, run, started, until

pytestmark = pytest.mark.slow


PARENT = """
import sys

sys.path.insert(0, sys.argv[1])
from data_curation.captioning.vision_pool import VisionPool
from tests.cases.captioner_case import png

pool = VisionPool(sys.argv[2:], gpus=[])
print("ready", flush=True)
pool.ask("What is seen?", [png((255, 0, 0))], max_tokens=256)  # for ever
"""


def test_it_ends_when_its_parent_is_killed_amid_a_request(tmp_path):
    folder = cogvlm_double(tmp_path / "cogvlm")
    loading = Loading(trust_remote_code=True)
    command = worker_command("cogvlm", str(folder), loading, tokenizer=str(folder / "tokenizer"))
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with started([sys.executable, "-c", PARENT, str(ROOT), *command], **pipes) as parent:
        assert parent.stdout.readline() == "ready\n"
        (worker,) = descendants(parent.pid)
        until(folder.with_name("cogvlm.begun").exists)
        parent.kill()
        until(lambda: not is_running(worker))


def test_it_does_not_load_to_the_end_for_nobody():
    done = run(worker_command("hf", "no/such", Loading()))
    assert done.returncode == 0 and done.stdout == ""


def test_it_needs_nothing_that_cogvlms_environment_lacks():
    listed = (
        "import sys; sys.path.insert(0, sys.argv[1]); "
        "import data_curation.captioning.vision_worker; print(*sys.modules)"
    )
    done = run([sys.executable, "-c", listed, str(ROOT)])
    assert done.returncode == 0, done.stderr
    loaded = {name.partition(".")[0] for name in done.stdout.split()} - {"_distutils_hack"}
    ours = {name for name in done.stdout.split() if name.startswith(("data_curation", "ski_lvlm"))}
    needed = ("", ".vision_worker", ".vision_models", ".vision_protocol")
    shared = {"ski_lvlm", "ski_lvlm.auto", "ski_lvlm.auto.import_hook"}
    shared |= {"ski_lvlm.parallel", "ski_lvlm.parallel.line_protocol"}
    assert ours == {"data_curation", *(f"data_curation.captioning{name}" for name in needed)} | shared
    assert not loaded & {"jaxtyping", "numpy", "einops", "tenacity", "torch", "transformers"}


@pytest.mark.parametrize("allowed", [False, True])
def test_code_that_is_not_allowed_or_not_pinned_is_not_run_whoever_asks(allowed):
    with pytest.raises(ValueError, match="the captioner cannot start: .*(--trust_remote_code|expected the 40-digit)"):
        VisionPool(worker_command("cogvlm", "THUDM/cogvlm-chat-hf", Loading(trust_remote_code=allowed)), gpus=[])
