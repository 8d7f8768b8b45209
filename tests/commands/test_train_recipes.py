"""The real command with recipes beyond the paper's: moving dropout, controls, one modality after the other."""

import argparse
import shutil

import pytest
import torch
from safetensors.torch import load_file

from eval.describing.trained_model import model_description
from eval.report import recipe_rows
from ski_lvlm.lvlm.inference import open_for_inference
from ski_lvlm.lvlm.model import SkiLvlm
from ski_lvlm.storage.json_files import read_json
from tests.cases.command_case import ROOT
from tests.cases.lvlm_case import CLIPS, write_case, write_instructions
from tests.cases.lvlm_commands import halted, needs_compiler, projectors, same, train_here, train_in_ranks

pytestmark = pytest.mark.slow
STEPS = {"num_train_epochs": 2, "save_total_limit": 9, "optim": "sgd"}  # two steps an epoch


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    """Write a case of seven samples: the last step of an epoch begins the order again."""
    folder = tmp_path_factory.mktemp("recipes")
    case = write_case(folder)
    file = write_instructions(folder / "seven.json", (*CLIPS, *CLIPS[:3]))
    return case | {"instructions": str(file)}


def train(case, out, **settings):
    train_here(case, out, **settings)
    return projectors(out)


def apart(one, other):
    return max(float((one[name] - other[name]).abs().max()) for name in one)


def test_a_moving_share_resumes_bit_for_bit_and_knows_no_workers_or_accumulation(case, tmp_path):
    recipe = STEPS | {"skeleton_dropout": [1.0, 0.0]}
    whole = train(case, tmp_path / "whole", **recipe)
    resumed = train(case, halted(tmp_path / "whole", 3, tmp_path / "resumed"), **recipe)
    assert same(whole, resumed)
    workers = train(case, tmp_path / "workers", dataloader_num_workers=2, per_device_train_batch_size=1, **recipe)
    assert apart(whole, workers) < 1e-5
    assert apart(whole, train(case, tmp_path / "constant", **STEPS | {"skeleton_dropout": [0.5]})) > 1e-4
    assert read_json(tmp_path / "whole" / "recipe.json")["skeleton_dropout"] == [1.0, 0.0]
    assert read_json(tmp_path / "constant" / "recipe.json")["skeleton_dropout"] == 0.5
    assert SkiLvlm.from_pretrained(tmp_path / "constant").config.skeleton_control == "none"


@pytest.mark.parametrize("control", ["shuffled", "noise"])
def test_a_control_resumes_bit_for_bit_and_is_marked_as_one(case, tmp_path, capsys, caplog, control):
    recipe = STEPS | {"skeleton_control": control}
    whole = train(case, tmp_path / "whole", **recipe)
    assert f"a control, no system: --skeleton_control {control}" in capsys.readouterr().out
    assert same(whole, train(case, halted(tmp_path / "whole", 3, tmp_path / "resumed"), **recipe))
    with pytest.raises(ValueError, match=f"begun with other settings .skeleton_control '{control}', now 'none'"):
        train(case, tmp_path / "whole", **STEPS)
    model = open_for_inference(tmp_path / "whole")
    about = model_description(model, argparse.Namespace(model=tmp_path / "whole", baseline=None))
    assert about["skeleton_control"] == model.config.skeleton_control == control
    assert f"trained with --skeleton_control {control}: no system" in caplog.text
    shutil.copytree(tmp_path / "whole", tmp_path / "run" / "lvlm")
    assert ("skeleton tokens, a control", control, "the clip's own") in recipe_rows(tmp_path / "run")


def test_what_begins_with_a_control_is_part_of_it(case, tmp_path):
    train(case, tmp_path / "noise", skeleton_control="noise", num_train_epochs=1)
    train(case, tmp_path / "after", init_from=tmp_path / "noise", freeze="skeleton", num_train_epochs=1)
    assert SkiLvlm.from_pretrained(tmp_path / "after").config.skeleton_control == "noise"


DISTILLED = STEPS | {"video_only_distillation": 2.0, "skeleton_dropout": [0.0, 0.6]}


@pytest.fixture(scope="module")
def distilled(case, tmp_path_factory):
    out = tmp_path_factory.mktemp("distilled") / "out"
    return out, train(case, out, **DISTILLED)


def test_a_distillation_resumes_bit_for_bit_and_moves_the_video_projector(case, distilled, tmp_path):
    out, whole = distilled
    assert same(whole, train(case, halted(out, 3, tmp_path / "resumed"), **DISTILLED))
    plain = train(case, tmp_path / "plain", **DISTILLED | {"video_only_distillation": 0.0})
    assert apart(whole, plain) > 1e-4
    assert read_json(out / "recipe.json")["video_only_distillation"] == 2.0


def test_rows_checkpoints_and_accumulation_change_no_distillation(case, distilled, tmp_path):
    settings = {"packing": True, "activation_checkpointing": True, "per_device_train_batch_size": 4}
    assert apart(distilled[1], train(case, tmp_path / "rows", **DISTILLED | settings)) < 1e-5
    assert apart(distilled[1], train(case, tmp_path / "ones", **DISTILLED | {"per_device_train_batch_size": 1})) < 1e-5


@needs_compiler
def test_two_processes_of_zero_2_distil_as_one_does(case, distilled, tmp_path):
    result = train_in_ranks(case, tmp_path, **DISTILLED | {"deepspeed": ROOT / "zero2.json"})
    assert result.returncode == 0, result.stderr[-3000:]
    assert apart(distilled[1], projectors(tmp_path)) < 1e-5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"skeleton_control": "noise", "modalities": "video"}, "expected skeleton among them"),
        ({"video_only_distillation": 1.0, "modalities": "video"}, "expected skeleton among them"),
        ({"skeleton_dropout": [0.5, 2.0]}, "--skeleton_dropout 0.5 2.0: expected a share"),
    ],
)
def test_a_wrong_flag_is_named(case, tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        train(case, tmp_path / "out", **change)


@pytest.mark.parametrize(("first", "second"), [("skeleton", "video"), ("video", "skeleton")])
def test_one_modality_after_the_other_moves_one_projector_at_a_time(case, tmp_path, first, second):
    start = train(case, tmp_path / "first", modalities=first, num_train_epochs=1)
    settings = {"init_from": tmp_path / "first", "freeze": first, "num_train_epochs": 2}
    both = train(case, tmp_path / "both", **settings)
    frozen, moving = (f"projectors.{name}.layers.weight" for name in (first, second))
    assert torch.equal(start[frozen], both[frozen]) and start.keys() < both.keys()
    early = load_file(tmp_path / "both" / "checkpoint-3" / "model.safetensors")[moving]
    assert float((both[moving] - early).abs().max()) > 1e-4
