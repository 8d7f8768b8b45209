"""A run goes on with another number of processes, and with another engine, as if nothing had happened."""

import json
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch

from ski_lvlm.storage.files import write_json
from tests.cases.command_case import (
    ENVIRONMENT,
    ROOT,
    descendants,
    free_port,
    is_running,
    run,
    started,
    until,
)
from tests.cases.lvlm_case import write_case, write_instructions
from tests.cases.lvlm_commands import (
    halted,
    needs_compiler,
    projectors,
    same,
    train_here,
    train_in_ranks,
    training,
)

pytestmark = pytest.mark.slow


TOLERANCE = 1e-5  # of weights that training moves by more than a hundredth
ZERO2, ZERO3 = str(ROOT / "zero2.json"), str(ROOT / "scripts" / "zero3.json")
RECIPE = {"num_train_epochs": 3, "skeleton_dropout": 0.5, "save_total_limit": 9}  # six steps, two an epoch


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Train a plain run of six steps with all its checkpoints. Half of the skeletons are skipped at random."""
    folder = tmp_path_factory.mktemp("resume")
    case = write_case(folder)
    records = json.loads(write_instructions(folder / "once.json").read_text())
    twice = [record | {"id": f"{record['id']}_{turn}"} for turn in range(2) for record in records]
    write_json(Path(case["instructions"]), twice[:7])  # the last batch of an epoch of seven has to be filled up
    train_here(case, folder / "whole", **RECIPE)
    return case, folder / "whole"


def train(case, out, *, processes=1, **settings):
    """Train in processes of its own and return the output."""
    process = train_in_ranks(case, out, processes=processes, **RECIPE | settings)
    assert process.returncode == 0, process.stderr[-3000:]
    return process.stdout


def apart(one, other):
    a, b = projectors(one), projectors(other)
    assert a.keys() == b.keys() and all(tensor.dtype == torch.float32 for tensor in a.values())
    return max((a[name] - b[name]).abs().max().item() for name in a)


def test_one_two_and_one_process_again(undisturbed, tmp_path):
    """DDP, each time in the middle of an epoch."""
    case, whole = undisturbed
    assert apart(whole, whole / "checkpoint-3") > 1e-2, "what follows says nothing where no step moves the weights"
    two = halted(whole, 3, tmp_path / "two")
    process = run(training(case, two, gpus=2, **RECIPE))
    assert process.returncode == 0, process.stderr[-3000:]
    assert f"resuming from {two / 'checkpoint-3'}" in process.stdout
    assert apart(whole, two) < TOLERANCE
    one = halted(two, 5, tmp_path / "one")
    train_here(case, one, **RECIPE)
    assert apart(whole, one) < TOLERANCE


@needs_compiler
def test_zero_2_takes_over_a_plain_run_and_gives_it_on(undisturbed, tmp_path):
    """1 process without DeepSpeed, 2 with ZeRO-2, then 1 with ZeRO-2, 2 with ZeRO-3 and 1 without."""
    case, whole = undisturbed
    two = halted(whole, 1, tmp_path / "two")
    train(case, two, processes=2, deepspeed=ZERO2)
    assert apart(whole, two) < TOLERANCE
    for name, settings in (("one", {"deepspeed": ZERO2}), ("zero3", {"processes": 2, "deepspeed": ZERO3})):
        train(case, halted(two, 3, tmp_path / name), **settings)
        assert apart(whole, tmp_path / name) < TOLERANCE
    plain = halted(tmp_path / "zero3", 5, tmp_path / "plain")
    train_here(case, plain, **RECIPE)
    assert apart(whole, plain) < TOLERANCE


@needs_compiler
def test_two_processes_of_zero_2_in_bf16_resume_bit_for_bit(undisturbed, tmp_path):
    """The weights in full precision, which bf16 rounds for the work, come back exactly."""
    case, _ = undisturbed
    settings = {"processes": 2, "deepspeed": ZERO2, "bf16": True}
    train(case, tmp_path / "whole", **settings)
    train(case, halted(tmp_path / "whole", 3, tmp_path / "again"), **settings)
    assert same(projectors(tmp_path / "whole"), projectors(tmp_path / "again"))


def test_machines_that_do_not_share_the_output_folder_are_told_at_the_start(undisturbed, tmp_path):
    """Two processes in two folders of their own stand for two machines: the same words, another place."""
    case, _ = undisturbed
    world = {"LOCAL_RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    everywhere = ENVIRONMENT | world
    with ExitStack() as stack:
        processes = []
        for rank in ("0", "1"):
            (tmp_path / rank).mkdir()
            options = {"env": everywhere | {"RANK": rank}, "cwd": tmp_path / rank, "stderr": subprocess.PIPE}
            processes.append(stack.enter_context(started(training(case, "runs/out", **RECIPE), **options)))
        for process in processes:
            _, errors = process.communicate()
            assert process.returncode == 1 and "Traceback" not in errors
            message = errors.strip().splitlines()[-1]
            assert message.startswith("error: process 0 wrote into runs/out") and str(tmp_path / "1") in message
            assert "deepspeed --hostfile" in message
    assert not list(tmp_path.rglob("checkpoint-*")) and not list(tmp_path.rglob(".shared-*"))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent has ended")
def test_a_killed_command_leaves_no_process_that_writes_beside_the_next(undisturbed, tmp_path):
    case, _ = undisturbed
    out = tmp_path / "out"
    silent = dict.fromkeys(("stdout", "stderr"), subprocess.DEVNULL)
    with started(training(case, out, **RECIPE | {"gpus": 2, "num_train_epochs": 30000}), **silent) as process:
        until(lambda: list(out.glob("checkpoint-*")) or process.poll() is not None)
        assert process.poll() is None
        workers = descendants(process.pid)
        assert len(workers) >= 2
        process.kill()
        until(lambda: not any(is_running(pid) for pid in workers))
