"""The Trainer of SKI-LVLM without a training: its groups of rates, and what it writes of frozen projectors."""

import pytest
import torch

from ski_lvlm.lvlm.model import SkiLvlm
from ski_lvlm.lvlm.trainer import LvlmTrainer
from ski_lvlm.recipe import AdapterRecipe
from ski_lvlm.training import checkpoints
from tests.cases.lvlm_case import TOKENS
from tests.cases.tiny_llm import tiny_llm
from train_ski_lvlm import LvlmArguments

WIDTHS = {name: width for name, (_, width) in TOKENS.items()}


@pytest.fixture
def model(tmp_path):
    return SkiLvlm.build(
        base_llm=str(tiny_llm(tmp_path / "llm")), token_widths=WIDTHS, tuning=AdapterRecipe(lora_rank=4)
    )


def trainer(model, tmp_path, **settings):
    args = LvlmArguments(output_dir=str(tmp_path / "out"), use_cpu=True, bf16=False, learning_rate=0.1)
    return LvlmTrainer(model, args=args, train_dataset=[1, 2], data_collator=list, **settings)


def test_the_language_model_has_groups_and_a_rate_of_its_own(model, tmp_path):
    groups = trainer(model, tmp_path, llm_learning_rate=0.02).create_optimizer().param_groups
    within = {id(parameter) for parameter in model.llm.parameters()}
    rates = {round(group["lr"], 6): {id(parameter) in within for parameter in group["params"]} for group in groups}
    assert rates == {0.1: {False}, 0.02: {True}}
    assert sum(len(group["params"]) for group in groups) == 4 + 28
    groups = trainer(model, tmp_path).create_optimizer().param_groups
    assert {group["lr"] for group in groups} == {0.1}


def test_frozen_projectors_are_written_as_they_were_though_an_engine_rounds_them(model, tmp_path, monkeypatch):
    model.projectors["video"].requires_grad_(False)
    before = model.projectors["video"].layers.weight.clone()
    writer = trainer(model, tmp_path)
    monkeypatch.setattr(checkpoints, "whole_weights", lambda model, is_kept: {})
    model.bfloat16()
    state = writer.whole_state()
    assert torch.equal(state["projectors.video.layers.weight"], before)
    assert state["projectors.skeleton.layers.weight"].dtype == torch.bfloat16
