"""Adapters within a tiny language model, alone: what they change, what peft reads, what is refused."""

import json
import re

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file

from ski_lvlm.encoders.digest import weights_digest
from ski_lvlm.llm.loading import load_llm
from ski_lvlm.llm.quantisation import quantise, round_to_4bit
from ski_lvlm.lvlm.adapter import (
    add_adapter,
    check_adapter,
    open_adapter,
    read_adapter,
    save_adapter,
    set_adapter_mode,
)
from ski_lvlm.recipe import AdapterRecipe
from tests.cases.tiny_llm import tiny_llm

IDS = torch.arange(18).view(2, 9)
WIDTH = 64  # a block of NF4


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return str(tiny_llm(tmp_path_factory.mktemp("adapter"), width=WIDTH))


def loaded(base, *, in_4bit=False):
    model = load_llm(base).model
    if in_4bit:
        quantise(model)
    return model


def adapted(base, *, in_4bit=False, **settings):
    """Make a model with an adapter that says something."""
    model = loaded(base, in_4bit=in_4bit)
    torch.manual_seed(0)
    add_adapter(model, AdapterRecipe(**{"lora_rank": 4, **settings}), base=base)
    with torch.no_grad():
        for parameter in trainable(model).values():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return model


def trainable(model):
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


KINDS = [
    {},
    {"lora_target": "q_proj, v_proj", "lora_alpha": 3.0},
    {"dora": True},
    {"in_4bit": True},
    {"in_4bit": True, "dora": True},
]


@pytest.mark.slow
@pytest.mark.parametrize("settings", KINDS)
def test_peft_and_a_merged_model_say_the_same(base, tmp_path, settings):
    model = adapted(base, **settings)
    save_adapter(model, dict(model.named_parameters()), tmp_path)
    assert {file.name for file in tmp_path.iterdir()} - {"README.md"} == {
        "adapter_config.json",
        "adapter_model.safetensors",
    }
    saved = load_file(tmp_path / "adapter_model.safetensors")
    assert len(saved) == len(trainable(model)) and all("lora_" in name for name in saved)
    assert json.loads((tmp_path / "adapter_config.json").read_text())["base_model_name_or_path"] == base
    again = loaded(base, in_4bit=settings.get("in_4bit", False))
    open_adapter(again, tmp_path)
    logits = model(IDS).logits
    assert torch.equal(again(IDS).logits, logits) and trainable(again).keys() == trainable(model).keys()
    plain = loaded(base)
    assert (plain(IDS).logits - logits).abs().max() > 1e-2, "the adapter does something"
    if settings.get("in_4bit"):
        round_to_4bit(plain)
    by_peft = PeftModel.from_pretrained(plain, str(tmp_path))
    torch.testing.assert_close(by_peft(IDS).logits, logits, atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(by_peft.merge_and_unload()(IDS).logits, logits, atol=1e-3, rtol=1e-4)


def test_a_new_adapter_changes_nothing_and_leaves_the_model_its_class(base):
    model, plain = loaded(base), loaded(base)
    add_adapter(model, AdapterRecipe(lora_rank=4, lora_dropout=0.5), base=base)
    assert type(model) is type(plain)
    assert torch.equal(model(IDS).logits, plain(IDS).logits)


def test_dropout_is_on_in_training_alone(base):
    model = adapted(base, lora_dropout=0.5)
    assert torch.equal(model(IDS).logits, model(IDS).logits)
    set_adapter_mode(model, True)
    assert not torch.equal(model(IDS).logits, model(IDS).logits)
    assert not model.training and not model.model.layers[0].training
    set_adapter_mode(model, False)
    assert torch.equal(model(IDS).logits, model(IDS).logits)


@pytest.mark.parametrize("in_4bit", [False, True])
def test_a_step_moves_the_adapter_and_no_bit_of_the_model(base, in_4bit):
    model = adapted(base, in_4bit=in_4bit, dora=True)
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    optimizer = torch.optim.SGD(trainable(model).values(), lr=1.0)
    model(IDS)  # without gradients, as a test between two steps
    model(IDS, labels=IDS).loss.backward()
    optimizer.step()
    moved = {name for name, parameter in model.named_parameters() if not torch.equal(parameter, before[name])}
    assert moved == trainable(model).keys()
    if in_4bit:
        assert model.model.layers[0].self_attn.q_proj.base_layer.weight.dtype == torch.uint8


def test_4_bits_are_the_same_whatever_precision_the_model_is_held_in(base):
    fp32, bf16 = loaded(base, in_4bit=True), load_llm(base, dtype=torch.bfloat16).model
    quantise(bf16)
    a, b = (model.model.layers[0].mlp.up_proj.weight for model in (fp32, bf16))
    assert torch.equal(a, b) and torch.equal(a.quant_state.absmax, b.quant_state.absmax)
    assert weights_digest(loaded(base)) == weights_digest(load_llm(base, dtype=torch.bfloat16).model)


@pytest.mark.slow
def test_weights_of_another_adapter_are_refused(base, tmp_path):
    model = adapted(base)
    save_adapter(model, dict(model.named_parameters()), tmp_path)
    file = tmp_path / "adapter_model.safetensors"
    for other in (adapted(base, lora_rank=2), adapted(base, lora_target="q_proj"), adapted(base, dora=True)):
        with pytest.raises(ValueError, match="belongs to another model, or to other --lora_rank"):
            read_adapter(other, tmp_path)
    save_file({name: tensor for name, tensor in load_file(file).items() if "layers.0" in name}, file)
    with pytest.raises(ValueError, match=r"adapter_model.safetensors: 14 weights differ"):
        open_adapter(loaded(base), tmp_path)
    file.unlink()
    with pytest.raises(ValueError, match=r"no adapter_model.safetensors; .*copy that folder again"):
        open_adapter(loaded(base), tmp_path)
    (tmp_path / "adapter_config.json").write_text('{"peft_type": "IA3"}')
    with pytest.raises(ValueError, match="adapter of kind .*IA3, expected LORA"):
        open_adapter(loaded(base), tmp_path)
    with pytest.raises(ValueError, match=r"no adapter_config.json"):
        open_adapter(loaded(base), tmp_path / "nowhere")


def test_layers_that_are_not_there_are_named(base):
    for target in ("query", "lm_head", "embed_tokens"):
        with pytest.raises(ValueError, match=rf"found \['{target}'\], expected all-linear or some of .*'q_proj'"):
            add_adapter(loaded(base), AdapterRecipe(lora_rank=4, lora_target=f"q_proj,{target}"), base=base)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lora_rank": -1}, "--lora_rank -1: expected 0"),
        ({"lora_rank": 4, "lora_dropout": 1.0}, "--lora_dropout 1.0: expected 0 or more and less than 1"),
        ({"lora_rank": 4, "lora_alpha": 0.0}, "--lora_alpha 0.0: expected a number above 0"),
        ({"dora": True}, "--dora without an adapter does nothing; give --lora_rank"),
        ({"adapter_learning_rate": 0.1}, "--adapter_learning_rate without an adapter"),
        ({"lora_target": "q_proj", "lora_alpha": 8.0}, "--lora_alpha, --lora_target without"),
        ({"train": "llm", "lora_rank": 4}, "--lora_rank is for a frozen language model"),
        ({"train": "llm", "load_in_4bit": True}, "--load_in_4bit is for a frozen language model"),
    ],
)
def test_settings_that_contradict_or_do_nothing_are_refused(settings, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        check_adapter(AdapterRecipe(**settings))


@pytest.mark.parametrize(
    "settings", [{}, {"load_in_4bit": True}, {"train": "llm", "adapter_learning_rate": 0.1}, {"lora_rank": 8}]
)
def test_settings_that_fit_are_taken(settings):
    check_adapter(AdapterRecipe(**settings))
