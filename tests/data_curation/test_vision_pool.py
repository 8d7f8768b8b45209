"""The processes that hold vision-language models, with a test double that speaks their protocol and misbehaves."""

import io
import os
import signal
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from data_curation.captioning.vision_pool import Loading, VisionPool, visible_gpus, worker_command
from data_curation.ledger import Failed
from ski_lvlm.parallel import worker_process
from tests.cases.command_case import HANG, is_running, until

pytestmark = pytest.mark.slow


DOUBLE = """
import json, os, pathlib, sys, time

if sys.argv[1:] == ["broken"]:
    sys.exit("Traceback\\nAttributeError: this transformers is too new")
if sys.argv[1:] == ["refused"]:
    print(json.dumps({"id": None, "error": "no such model"}), flush=True)
    sys.exit(2)
sys.stderr.write("loading 100%\\n")
while sys.argv[1:] and not os.path.exists(sys.argv[1]):  # until somebody has read it
    time.sleep(0.01)
print(json.dumps({"ready": True, "commit": "c0ffee"}), flush=True)
for text in sys.stdin:
    request = json.loads(text)
    reply = {"id": request["id"], "text": os.environ.get("CUDA_VISIBLE_DEVICES", "CPU"), "prompt_tokens": 7,
             "completion_tokens": len(request["pictures"]), "cut": False}
    if request["prompt"] == "pid":
        reply["text"] = str(os.getpid())
    elif request["prompt"] == "refuse":
        reply = {"id": request["id"], "error": "not a picture"}
    elif request["prompt"] == "die":
        sys.stderr.write("out of memory\\n")
        sys.exit(3)
    elif request["prompt"] == "half":
        print(json.dumps(reply)[:20], end="", flush=True)
        os._exit(0)
    elif request["prompt"].startswith("hang"):  # and says so in a file
        open(request["prompt"].split()[1], "w").close()
        time.sleep(1e6)
    elif request["prompt"].startswith("meet"):  # until the other process is here, too
        place = pathlib.Path(request["prompt"].split()[1])
        (place / str(os.getpid())).touch()
        while len(list(place.iterdir())) < 2:
            time.sleep(0.01)
    print(json.dumps(reply), flush=True)
"""


@pytest.fixture
def start(tmp_path, capfd):
    """Opens pools of the double, and closes them."""
    script, opened = tmp_path / "double.py", []
    script.write_text(textwrap.dedent(DOUBLE))

    def pool(*arguments, gpus=(), seconds=HANG):
        opened.append(VisionPool([sys.executable, str(script), *arguments], gpus=gpus, seconds=seconds))
        return opened[-1]

    yield pool
    for one in opened:
        one.close()


def ask(pool, prompt="hello", pictures=(b"PNG",)):
    return pool.ask(prompt, pictures, max_tokens=16)


def test_an_answer_with_its_tokens(start):
    pool = start()
    assert ask(pool, pictures=(b"one", b"two"))[1:] == (7, 2, False)
    assert pool.commit == "c0ffee" and len(pool) == 1


def test_each_gpu_has_a_process_and_all_of_them_work(start, tmp_path):
    pool = start(gpus=["0", "GPU-5f"])
    (tmp_path / "met").mkdir()
    with ThreadPoolExecutor(len(pool)) as threads:
        said = set(threads.map(lambda _: ask(pool, f"meet {tmp_path / 'met'}").text, range(2)))
    assert len(pool) == 2 and said == {"0", "GPU-5f"}


def test_more_threads_than_processes_wait_their_turn(start):
    pool = start()
    with ThreadPoolExecutor(6) as threads:
        assert list(threads.map(lambda _: ask(pool).completion_tokens, range(30))) == [1] * 30


def test_a_picture_that_cannot_be_answered_fails_alone(start):
    pool = start()
    before = ask(pool, "pid").text
    with pytest.raises(Failed, match="the captioner has no answer: not a picture"):
        ask(pool, "refuse")
    assert ask(pool, "pid").text == before


@pytest.mark.parametrize(
    ("prompt", "reason"), [("die", r"ended with code 3; its last lines: .*out of memory"), ("half", "code 0")]
)
def test_a_process_that_ends_fails_its_clip_and_is_replaced(start, prompt, reason):
    pool = start(gpus=["1"])
    before = ask(pool, "pid").text
    with pytest.raises(Failed, match=f"the captioner's process on GPU 1 .*{reason}"):
        ask(pool, prompt)
    assert ask(pool).text == "1" and ask(pool, "pid").text != before


def test_a_kill_from_outside_amid_a_request_is_reported_with_its_signal(start, tmp_path):
    pool, begun = start(), tmp_path / "begun"
    pid = int(ask(pool, "pid").text)
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(ask, pool, f"hang {begun}")
        until(begun.exists)
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(Failed, match="ended with code -9"):
            waiting.result()
    assert ask(pool).completion_tokens == 1


def test_a_process_that_was_killed_while_idle_fails_one_clip_only(start):
    pool = start()
    pid = int(ask(pool, "pid").text)
    os.kill(pid, signal.SIGKILL)
    until(lambda: not is_running(pid))
    with pytest.raises(Failed, match="code -9"):
        ask(pool, pictures=(b"x" * 1_000_000,))  # more than a pipe holds
    assert ask(pool).completion_tokens == 1


def test_a_process_that_hangs_is_killed(start, tmp_path):
    pool = start(seconds=0.4)
    with pytest.raises(Failed, match="gave no answer in 0.4 s and was killed"):
        ask(pool, f"hang {tmp_path / 'begun'}")
    pool._workers[0]._seconds = HANG
    assert ask(pool).completion_tokens == 1


def test_deaths_in_a_row_stop_the_run_but_an_answer_between_starts_anew(start):
    pool = start()
    for _ in range(4):
        with pytest.raises(Failed):
            ask(pool, "die")
        assert ask(pool).completion_tokens == 1
    for _ in range(2):
        with pytest.raises(Failed):
            ask(pool, "die")
    with pytest.raises(ValueError, match="out of memory; this happened 3 times in a row") as stopped:
        ask(pool, "die")
    assert not isinstance(stopped.value, Failed)


@pytest.mark.parametrize(
    ("how", "reason"), [("broken", "ended with code 1; .*this transformers is too new"), ("refused", "no such model")]
)
def test_a_model_that_cannot_be_used_stops_the_run_in_one_line(start, how, reason):
    with pytest.raises(ValueError, match=f"the captioner cannot start: .*{reason}") as stopped:
        start(how, gpus=["0", "1"])
    assert not isinstance(stopped.value, Failed) and "\n" not in str(stopped.value)


def test_closing_ends_the_processes(start):
    pool = start(gpus=["0", "1"])
    with ThreadPoolExecutor(2) as threads:
        pids = set(threads.map(lambda prompt: int(ask(pool, prompt).text), ["pid", "pid"]))
    pool.close()
    assert not any(map(is_running, pids))
    pool.close()  # twice does no harm


def test_progress_of_loading_is_passed_on_but_later_chatter_is_not(start, tmp_path, monkeypatch):
    printed = io.StringIO()

    def write(text):
        printed.write(text)
        (tmp_path / "printed").touch()

    # The two pipes of a process have no order between them. So it is not ready before its line was printed.
    monkeypatch.setattr(worker_process.sys, "stderr", SimpleNamespace(write=write))
    pool = start(str(tmp_path / "printed"))
    with pytest.raises(Failed):
        ask(pool, "die")
    assert printed.getvalue() == "loading 100%\n"


def python_double(folder, says):
    file = folder / "python"
    file.write_text(f"#!/bin/sh\n{says}\n")
    file.chmod(0o755)
    return str(file)


@pytest.mark.parametrize(
    ("allowed", "found", "names"),
    [
        (None, 3, ["0", "1", "2"]),
        ("4,GPU-8a", 2, ["4", "GPU-8a"]),
        ("5", 1, ["5"]),
        ("", 0, []),
        ("-1", 0, []),
        ("0,1,9", 2, ["0", "1"]),  # there is no GPU 9
    ],
)
def test_gpus_are_those_that_torch_sees_by_their_own_names(tmp_path, monkeypatch, allowed, found, names):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if allowed is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", allowed)
    assert visible_gpus(python_double(tmp_path, f"echo {found}")) == names


def test_a_python_that_is_not_there_or_has_no_torch_is_refused(tmp_path):
    with pytest.raises(ValueError, match="none: expected a Python with torch, found: No such file.*--captioner_python"):
        visible_gpus(str(tmp_path / "none"))
    bare = python_double(
        tmp_path, "echo Traceback >&2; echo \"ModuleNotFoundError: No module named 'torch'\" >&2; exit 1"
    )
    with pytest.raises(ValueError, match="found: ModuleNotFoundError: No module named 'torch'; .*cogvlm_environment"):
        visible_gpus(bare)


def test_a_command_says_what_was_allowed_and_no_more():
    plain = worker_command("hf", "m", Loading(python="py"))
    assert plain[0] == "py" and plain[2:] == ["--kind", "hf", "--model", "m"]
    allowed = worker_command("cogvlm", "m", Loading(True, "abc", "py"), tokenizer="t")
    assert allowed[6:] == ["--tokenizer", "t", "--revision", "abc", "--trust_remote_code"]
