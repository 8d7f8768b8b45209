"""The processes that a training command starts, and the batch of each of them."""

import os
from pathlib import Path

import pytest
import torch

from ski_lvlm.parallel import launch
from ski_lvlm.parallel.launch import adapted_flags, asked_processes, start_processes

LAUNCHED = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@pytest.fixture(autouse=True)
def no_launcher(monkeypatch):
    for name in (*LAUNCHED, *launch._COPIES):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def starts(monkeypatch):
    """Record the processes that would have been started: (script, flags, number)."""
    started = []
    monkeypatch.setattr(launch, "_run", lambda script, flags, *, processes: started.append((script, flags, processes)))
    return started


def eight_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 8)


def no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)


def test_a_missing_gpu_is_said_and_handled(monkeypatch, capsys):
    no_gpu(monkeypatch)
    assert adapted_flags(["--seed", "1"]) == ["--seed", "1", "--use_cpu", "True"]
    assert "no GPU found" in capsys.readouterr().err


def test_a_gpu_is_used_without_a_word(monkeypatch, capsys):
    eight_gpus(monkeypatch)
    assert adapted_flags(["--seed", "1"]) == ["--seed", "1"]
    assert capsys.readouterr().err == ""


def test_the_launchers_local_rank_is_accepted_and_means_deepspeed(monkeypatch):
    no_gpu(monkeypatch)
    flags = adapted_flags(["--local_rank=0", "--seed", "1"])
    assert not any("local_rank" in flag for flag in flags)
    assert flags[flags.index("--deepspeed") + 1].endswith("zero2.json")


def test_a_named_configuration_wins(monkeypatch):
    no_gpu(monkeypatch)
    flags = adapted_flags(["--local_rank=0", "--deepspeed", "mine.json"])
    assert flags.count("--deepspeed") == 1
    assert "mine.json" in flags


def test_several_gpus_and_no_launcher_train_on_one_and_name_the_way_to_all(monkeypatch, starts, capsys):
    eight_gpus(monkeypatch)
    start_processes("/somewhere/train_ski_vlm.py", ["--seed", "1"])
    assert not starts
    message = capsys.readouterr().err
    assert "found 8 GPUs, training on one" in message and "--gpus 8" in message
    assert "torchrun --nproc_per_node 8 train_ski_vlm.py" in message


@pytest.mark.parametrize("flags", [["--gpus", "1"], ["--gpus=1"], ["--use_cpu", "True"], ["--use_cpu"]])
def test_nothing_is_said_where_one_process_was_asked_for(monkeypatch, starts, capsys, flags):
    eight_gpus(monkeypatch)
    start_processes("train_ski_vlm.py", flags)
    assert not starts and capsys.readouterr().err == ""


@pytest.mark.parametrize(("gpus", "processes"), [("all", 8), ("2", 2)])
def test_gpus_starts_a_process_on_each(monkeypatch, starts, capsys, gpus, processes):
    eight_gpus(monkeypatch)
    flags = ["--seed", "1", "--gpus", gpus]
    with pytest.raises(SystemExit):
        start_processes("train_ski_vlm.py", flags)
    assert starts == [("train_ski_vlm.py", flags, processes)] and capsys.readouterr().err == ""


def test_without_gpus_they_are_processes_on_the_cpu_and_a_line_says_so(monkeypatch, starts, capsys):
    no_gpu(monkeypatch)
    with pytest.raises(SystemExit):
        start_processes("train_ski_vlm.py", adapted_flags(["--gpus", "2"]))
    assert starts[0][2] == 2
    assert "--gpus 2: training in 2 processes on the CPU" in capsys.readouterr().err


def test_a_launchers_process_starts_none(monkeypatch, starts, capsys):
    eight_gpus(monkeypatch)
    monkeypatch.setenv("LOCAL_RANK", "0")
    start_processes("train_ski_vlm.py", ["--gpus", "8"])
    assert not starts and capsys.readouterr().err == ""


@pytest.mark.parametrize("gpus", ["0", "-1", "two", "1.5", "²"])
def test_what_is_no_number_is_refused(gpus):
    with pytest.raises(ValueError, match="expected a whole number from 1 or 'all'"):
        asked_processes(gpus, available=8)


def test_more_than_there_are_is_refused_with_a_remedy():
    with pytest.raises(ValueError, match="found 4 on this machine; give --gpus 4"):
        asked_processes("8", available=4)


@pytest.mark.parametrize("name", launch._COPIES)
def test_copies_that_do_not_know_of_each_other_are_refused(monkeypatch, starts, name):
    monkeypatch.setenv(name, "8")
    with pytest.raises(ValueError, match=f"{name} is 8: several copies .* start one for each machine"):
        start_processes("train_ski_vlm.py", [])


def test_no_port_is_fixed_where_deepspeed_runs_alone(monkeypatch):
    environment: dict[str, str] = {}
    monkeypatch.setattr(os, "environ", environment)
    launch.stand_alone()
    assert (environment["RANK"], environment["WORLD_SIZE"], environment["MASTER_PORT"]) == ("0", "1", "0")


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="no shared memory in the file system")
def test_shared_buffers_of_this_process_are_removed_and_no_others(monkeypatch):
    for name, value in (("MASTER_ADDR", f"test-{os.getpid()}"), ("MASTER_PORT", "1"), ("RANK", "0")):
        monkeypatch.setenv(name, value)
    own, other = (
        Path(f"/dev/shm/deepspeed_allreduce_buffer_{os.getuid()}_test-{os.getpid()}_1_{rank}") for rank in (0, 1)
    )
    try:
        own.touch()
        other.touch()
        launch._remove_shared_buffers()
        launch._remove_shared_buffers()
        assert not own.exists() and other.exists()
    finally:
        other.unlink()
