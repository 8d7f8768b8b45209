"""One command on all GPUs: real processes, with GPUs that are only names."""

import json
import signal
import subprocess
import sys

import pytest

from ski_lvlm.parallel import gpu_shards
from ski_lvlm.parallel.gpu_shards import add_shard_flags, processors, run_on_gpus, visible_gpus
from ski_lvlm.storage.shards import Shard, only_process
from tests.cases import command_case
from tests.cases.command_case import ROOT, is_running, until

pytestmark = pytest.mark.slow


# Writes what it was started with, says what it is told to, and ends, fails or waits as it is told.
CHILD = """
import json, os, pathlib, subprocess, sys, time
sys.path.insert(0, {root!r})
from ski_lvlm.storage.shards import only_process, parse_shard
out, index = pathlib.Path(sys.argv[1]), sys.argv[-1].split("/")[0]
environment = {{name: os.environ.get(name) for name in ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS")}}
print("hello", file=sys.stderr)
with only_process(out / "locks", parse_shard(sys.argv[-1])):
    task = json.loads((out / "tasks.json").read_text()).get(index, 0)
    worker = subprocess.Popen(["sleep", "600"]) if task == "wait" else None
    started = {{"flags": sys.argv[2:], "worker": worker and worker.pid, "pid": os.getpid(), **environment}}
    (out / f".{{index}}.json").write_text(json.dumps(started))
    (out / f".{{index}}.json").rename(out / f"{{index}}.json")
    while task == "wait":
        time.sleep(0.02)
    if task == "after all":
        while len(list(out.glob("[1-9].json"))) < 3:
            time.sleep(0.02)
        task = 2
    if task == "signal":
        os.kill(os.getpid(), 9)
sys.exit(task)
"""
PARENT = """
import sys
sys.path.insert(0, {root!r})
from ski_lvlm.parallel import gpu_shards
from ski_lvlm.cli import parser, run
gpu_shards.visible_gpus = lambda: []
def main(flags):
    p = parser("")
    p.add_argument("out")
    gpu_shards.add_shard_flags(p)
    return gpu_shards.run_on_gpus({child!r}, flags, p.parse_args(flags), lambda flags: 0)
run(main)
"""


@pytest.fixture
def child(tmp_path):
    file = tmp_path / "child.py"
    file.write_text(CHILD.format(root=str(ROOT)))
    return file


def start(child, tmp_path, *flags, gpus=(), tasks=None, joined=0, workers=None, monkeypatch=None):
    """Run the command in this process. Returns its exit code, and the flags that the joining run was given."""
    (tmp_path / "tasks.json").write_text(json.dumps(tasks or {}))
    if monkeypatch:
        monkeypatch.setattr(gpu_shards, "visible_gpus", lambda: list(gpus))
    parser = gpu_shards.argparse.ArgumentParser()
    parser.add_argument("out")
    parser.add_argument("--workers")
    parser.add_argument("--modalities", nargs="+")
    add_shard_flags(parser)
    joins = []

    def main(words):
        joins.append(words)
        return joined

    words = [str(tmp_path), *flags]
    return run_on_gpus(str(child), words, parser.parse_args(words), main, workers=workers), joins


def started(tmp_path, index):
    return json.loads((tmp_path / f"{index}.json").read_text())


def test_each_shard_sees_one_gpu_and_its_share_of_the_threads(child, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("OMP_NUM_THREADS", "6")
    flags = ["--modalities", "video", "skeleton", "--gpus", "3"]
    code, joins = start(
        child, tmp_path, *flags, gpus=["0", "GPU-5f", "MIG-7"], workers=lambda count: count + 1, monkeypatch=monkeypatch
    )
    assert code == 0 and joins == [[str(tmp_path), "--modalities", "video", "skeleton"]]
    for index, gpu in enumerate(("0", "GPU-5f", "MIG-7"), start=1):
        child = started(tmp_path, index)
        assert (child["CUDA_VISIBLE_DEVICES"], child["OMP_NUM_THREADS"]) == (gpu, "2")
        expected = ["--modalities", "video", "skeleton", "--workers", "4", "--shard", f"{index}/3"]
        assert child["flags"] == expected
    assert sorted(capfd.readouterr().err.splitlines()) == ["[1/3] hello", "[2/3] hello", "[3/3] hello"]


def test_without_a_gpu_the_processors_are_shared(child, tmp_path, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    start(child, tmp_path, "--gpus=2", "--workers", "7", workers=processors, monkeypatch=monkeypatch)
    for index in (1, 2):
        child = started(tmp_path, index)
        assert (child["CUDA_VISIBLE_DEVICES"], child["OMP_NUM_THREADS"]) == (None, str(processors(2)))
        assert child["flags"] == ["--workers", "7", "--shard", f"{index}/2"]  # as the user said


def test_a_machine_of_several_does_its_part_and_does_not_join(child, tmp_path, monkeypatch):
    code, joins = start(child, tmp_path, "--shard", "2/2", "--gpus", "2", tasks={"4": 1}, monkeypatch=monkeypatch)
    assert code == 1 and joins == []
    assert [started(tmp_path, index)["flags"] for index in (3, 4)] == [["--shard", "3/4"], ["--shard", "4/4"]]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_machines_with_several_gpus_share_all_clips_once(count):
    names = [f"clip{number}" for number in range(200)]
    shards = [shard for index in (1, 2) for shard in Shard(index, 2).divided(count)]
    assert sorted(name for shard in shards for name in shard.select(names)) == sorted(names)


def test_fewer_gpus_than_asked_for_are_refused(child, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="--gpus 8: found 2 on this machine; give --gpus 2"):
        start(child, tmp_path, "--gpus", "8", gpus=["3", "5"], monkeypatch=monkeypatch)
    with pytest.raises(ValueError, match="--gpus none: expected a whole number from 1 or 'all'"):
        start(child, tmp_path, "--gpus", "none", monkeypatch=monkeypatch)


def test_all_are_as_many_as_there_are_and_one_needs_no_other_process(child, tmp_path, monkeypatch):
    assert start(child, tmp_path, "--gpus", "all", gpus=["3", "5"], monkeypatch=monkeypatch)[0] == 0
    assert [started(tmp_path, index)["CUDA_VISIBLE_DEVICES"] for index in (1, 2)] == ["3", "5"]
    (tmp_path / "1.json").unlink()
    flags = ["--gpus", "1", "--shard", "2/4"]
    assert start(child, tmp_path, *flags, monkeypatch=monkeypatch)[1] == [[str(tmp_path), "--shard", "2/4"]]
    assert not (tmp_path / "1.json").exists()


def test_what_a_shard_could_not_do_is_left_to_the_run_that_joins(child, tmp_path, monkeypatch):
    code, joins = start(child, tmp_path, "--gpus", "2", tasks={"1": 1}, joined=0, monkeypatch=monkeypatch)
    assert code == 0 and len(joins) == 1
    assert start(child, tmp_path, "--gpus", "2", joined=1, monkeypatch=monkeypatch)[0] == 1


def test_a_mistake_stops_the_others_and_nothing_is_joined(child, tmp_path, monkeypatch, capfd):
    tasks = {"1": "wait", "2": "after all", "3": "wait"}
    code, joins = start(child, tmp_path, "--gpus", "3", tasks=tasks, monkeypatch=monkeypatch)
    assert code == 2 and joins == []
    assert "[2/3] ended with exit code 2: the other shards are stopped" in capfd.readouterr().err
    for index in (1, 3):
        assert not is_running(started(tmp_path, index)["pid"]) and not is_running(started(tmp_path, index)["worker"])


def test_a_shard_that_a_signal_ended_is_told_as_a_shell_does(child, tmp_path, monkeypatch):
    code, joins = start(child, tmp_path, "--gpus", "2", tasks={"2": "signal", "1": "wait"}, monkeypatch=monkeypatch)
    assert code == 128 + 9 and joins == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGKILL, -9)])
def test_whatever_ends_the_command_ends_its_shards(child, tmp_path, number, code):
    """After SIGKILL a shard's decoding workers see for themselves that it is gone, as DataLoader's do."""
    (tmp_path / "tasks.json").write_text(json.dumps({"1": "wait", "2": "wait"}))
    command = [sys.executable, "-c", PARENT.format(root=str(ROOT), child=str(child)), str(tmp_path), "--gpus", "2"]
    with command_case.started(command, stderr=subprocess.PIPE) as process:
        until(lambda: all((tmp_path / f"{index}.json").exists() for index in (1, 2)))
        children = [started(tmp_path, index) for index in (1, 2)]
        process.send_signal(number)
        errors = process.communicate()[1]
        assert process.returncode == code
        if code == 130:
            assert "interrupted; run the same command again" in errors
            assert not any(is_running(child["pid"]) or is_running(child["worker"]) for child in children)
        until(lambda: not any(is_running(child["pid"]) for child in children))
    for index in (1, 2):
        with only_process(tmp_path / "locks", Shard(index, 2)):
            pass


def test_a_hang_up_that_nohup_ignores_is_ignored(child, tmp_path, monkeypatch):
    hang_up, end = signal.signal(signal.SIGHUP, signal.SIG_IGN), signal.getsignal(signal.SIGTERM)
    try:
        with gpu_shards._signals_interrupt():
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) != end
    finally:
        signal.signal(signal.SIGHUP, hang_up)
    assert signal.getsignal(signal.SIGTERM) == end  # other libraries in this process may have set their own


@pytest.mark.parametrize(
    ("allowed", "count", "names"),
    [(None, 2, ["0", "1"]), ("3,GPU-5f", 2, ["3", "GPU-5f"]), ("3,5", 1, ["3"]), ("", 0, []), (None, 0, [])],
)
def test_gpus_have_the_names_that_the_environment_gives_them(monkeypatch, allowed, count, names):
    monkeypatch.setattr("torch.cuda.device_count", lambda: count)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if allowed is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", allowed)
    assert visible_gpus() == names


def test_a_shard_takes_its_gpu_counted_round(monkeypatch):
    devices = []
    monkeypatch.setattr("torch.cuda.device_count", lambda: 4)
    monkeypatch.setattr("torch.cuda.set_device", devices.append)
    for index in (1, 4, 6):
        gpu_shards.take_gpu(Shard(index, 8))
    assert devices == [0, 3, 1]


def test_the_joining_run_waits_for_another_machine_s_shards(tmp_path):
    with only_process(tmp_path, Shard(3, 4)), pytest.raises(ValueError, match="shard 3-of-4"), only_process(tmp_path):
        pass
