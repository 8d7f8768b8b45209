import json

import pytest
import torch

from ski_lvlm.training.trainer import GlobalBatchArguments, accumulation_steps, check_origin, write_run


@pytest.mark.parametrize(("per_device", "processes", "expected"), [(4, 8, 1), (4, 4, 2), (4, 1, 8), (32, 1, 1)])
def test_the_global_batch_stays_32_on_any_number_of_gpus(per_device, processes, expected):
    assert accumulation_steps(batch_size=32, per_device=per_device, processes=processes) == expected


@pytest.mark.parametrize(("per_device", "processes"), [(3, 1), (4, 9), (64, 1)])
def test_a_batch_that_cannot_be_made_is_an_error(per_device, processes):
    with pytest.raises(ValueError, match="global batch of 32"):
        accumulation_steps(batch_size=32, per_device=per_device, processes=processes)


def arguments(folder, **settings):
    return GlobalBatchArguments(output_dir=str(folder), bf16=False, **settings)


def test_a_process_takes_no_more_than_its_share(tmp_path, monkeypatch):
    """Stage 1's defaults, a batch of 64 and 64 at a time, are eight at a time on eight GPUs."""
    monkeypatch.setenv("WORLD_SIZE", "8")
    monkeypatch.setattr(GlobalBatchArguments, "world_size", 8)
    args = arguments(tmp_path, batch_size=64, per_device_train_batch_size=64)
    assert (args.per_device_train_batch_size, args.gradient_accumulation_steps) == (8, 1)


@pytest.mark.parametrize(
    ("batch_size", "per_device", "processes", "remedy"),
    [
        (32, 3, 1, "give --per_device_train_batch_size 2, or a --batch_size that is a multiple"),
        (512, 4, 3, "give another number of processes, or a --batch_size"),
        (2, 1, 4, "give another number of processes"),
    ],
)
def test_a_batch_that_cannot_be_shared_is_told_with_what_can(batch_size, per_device, processes, remedy):
    with pytest.raises(ValueError, match=f"a global batch of {batch_size} cannot be made .*{remedy}"):
        accumulation_steps(batch_size=batch_size, per_device=per_device, processes=processes)


def test_more_processes_in_the_environment_than_train_together_are_told(tmp_path, monkeypatch):
    """Accumulation would follow from processes that are not there."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match="WORLD_SIZE is 2, but 1 processes train together"):
        arguments(tmp_path, batch_size=4, per_device_train_batch_size=2)


def test_a_checkpoint_by_signal_is_refused_since_the_run_would_pass_for_finished(tmp_path):
    with pytest.raises(ValueError, match="--enable_jit_checkpoint .* set --save_steps"):
        arguments(tmp_path, enable_jit_checkpoint=True)


@pytest.mark.parametrize("flag", [{"auto_find_batch_size": True}, {"accelerator_config": {"split_batches": True}}])
def test_flags_that_change_the_batch_behind_its_name_are_refused(tmp_path, flag):
    with pytest.raises(ValueError, match="would train with another batch than --batch_size"):
        arguments(tmp_path, **flag)


def test_accumulation_steps_of_ones_own_are_refused_not_overlooked(tmp_path):
    with pytest.raises(ValueError, match="--gradient_accumulation_steps 3: expected 2, .* leave the flag out"):
        arguments(tmp_path, batch_size=4, per_device_train_batch_size=2, gradient_accumulation_steps=3)


@pytest.mark.parametrize("peak", [0.0, -1.0, float("nan"), float("inf")])
def test_a_peak_that_no_gpu_has_is_refused(tmp_path, peak):
    with pytest.raises(ValueError, match="--peak_tflops .*: expected a number above 0"):
        arguments(tmp_path, peak_tflops=peak)


def test_gpus_that_nobody_started_are_told(tmp_path):
    with pytest.raises(ValueError, match="--gpus 2: found 1 processes on this machine, expected 2"):
        arguments(tmp_path, gpus="2")


def test_a_run_leaves_recipe_seed_and_versions(tmp_path):
    write_run(tmp_path, recipe={"batch_size": 32}, seed=7)
    run = json.loads((tmp_path / "run.json").read_text())
    assert run["seed"] == 7
    assert run["versions"]["torch"] == torch.__version__
    assert json.loads((tmp_path / "recipe.json").read_text()) == {"batch_size": 32}


def test_a_run_goes_on_from_what_it_began_with_and_from_nothing_else(tmp_path):
    check_origin(tmp_path, {"teachers": ["synse 1a"]})  # nothing is there yet
    write_run(tmp_path, recipe={"batch_size": 32}, seed=7)
    check_origin(tmp_path, {"teachers": ["synse 1a"]})  # of a time when runs did not note it
    write_run(tmp_path, recipe={"batch_size": 32, "teachers": ["synse 1a"]}, seed=7)
    check_origin(tmp_path, {"teachers": ["synse 1a"]})
    with pytest.raises(ValueError, match=r"begun with other settings .teachers \['synse 1a'\], now \['synse 2b'\]"):
        check_origin(tmp_path, {"teachers": ["synse 2b"]})
