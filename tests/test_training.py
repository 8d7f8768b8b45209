import json
import os

import pytest
import torch

from ski_lvlm.training import PARTIAL, accumulation_steps, adapted_flags, last_whole_checkpoint, write_run


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.fixture
def environment(monkeypatch):
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    yield
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        os.environ.pop(name, None)


def test_a_missing_gpu_is_said_and_handled(no_gpu, capsys):
    assert adapted_flags(["--seed", "1"]) == ["--seed", "1", "--use_cpu", "True"]
    assert "no GPU found" in capsys.readouterr().err


def test_a_gpu_is_used_without_a_word(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert adapted_flags(["--seed", "1"]) == ["--seed", "1"]
    assert capsys.readouterr().err == ""


def test_the_launchers_local_rank_is_accepted_and_means_deepspeed(no_gpu, environment):
    flags = adapted_flags(["--local_rank=0", "--seed", "1"])
    assert not any("local_rank" in flag for flag in flags)
    assert flags[flags.index("--deepspeed") + 1].endswith("zero2.json")


def test_deepspeed_without_a_launcher_runs_one_process(no_gpu, environment):
    adapted_flags(["--deepspeed", "zero2.json"])
    assert (os.environ["RANK"], os.environ["WORLD_SIZE"]) == ("0", "1")


def test_a_named_configuration_wins(no_gpu, environment):
    flags = adapted_flags(["--local_rank=0", "--deepspeed", "mine.json"])
    assert flags.count("--deepspeed") == 1
    assert "mine.json" in flags


@pytest.mark.parametrize(("per_device", "processes", "expected"), [(4, 8, 1), (4, 4, 2), (4, 1, 8), (32, 1, 1)])
def test_the_global_batch_stays_32_on_any_number_of_gpus(per_device, processes, expected):
    assert accumulation_steps(batch_size=32, per_device=per_device, processes=processes) == expected


@pytest.mark.parametrize(("per_device", "processes"), [(3, 1), (4, 9), (64, 1)])
def test_a_batch_that_cannot_be_made_is_an_error(per_device, processes):
    with pytest.raises(ValueError, match="global batch of 32"):
        accumulation_steps(batch_size=32, per_device=per_device, processes=processes)


def test_half_written_checkpoints_are_removed_and_whole_ones_found(tmp_path):
    (tmp_path / PARTIAL / "checkpoint-30").mkdir(parents=True)
    (tmp_path / "checkpoint-20").mkdir()
    (tmp_path / "checkpoint-3").mkdir()
    assert last_whole_checkpoint(tmp_path).endswith("checkpoint-20")
    assert not (tmp_path / PARTIAL).exists()


def test_nothing_to_resume_from(tmp_path):
    assert last_whole_checkpoint(tmp_path / "never") is None
    assert last_whole_checkpoint(tmp_path) is None


def test_a_run_leaves_recipe_seed_and_versions(tmp_path):
    write_run(tmp_path, recipe={"batch_size": 32}, seed=7)
    run = json.loads((tmp_path / "run.json").read_text())
    assert run["seed"] == 7
    assert run["versions"]["torch"] == torch.__version__
    assert json.loads((tmp_path / "recipe.json").read_text()) == {"batch_size": 32}
