"""Floating-point operations as PyTorch counts them: frozen, trained and recomputed weights, padding."""

import pytest
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, MixtralConfig

from ski_lvlm.lvlm.flops import BatchWork, step_flops
from ski_lvlm.lvlm.model import SkiLvlm
from ski_lvlm.lvlm.projectors.settings import ProjectorSettings
from tests.cases.lvlm_case import TOKENS, counted_flops, random_batch
from tests.cases.tiny_llm import tiny_llm

WIDTHS = {name: width for name, (_, width) in TOKENS.items()}
MLP = {name: ProjectorSettings("mlp") for name in TOKENS}
ROWS, TEXT, ANSWER = 3, 20, 5  # of `random_batch`


@pytest.fixture(scope="module")
def llm(tmp_path_factory):
    return str(tiny_llm(tmp_path_factory.mktemp("llm"), width=64))


@pytest.fixture
def model(llm):
    """Build a model whose attention PyTorch counts, which leaves out the fused one of a CPU."""
    model = SkiLvlm.build(base_llm=llm, token_widths=WIDTHS, projectors=MLP).train()
    model.llm.set_attn_implementation("eager")
    return model


def work(model, inputs, **settings):
    return {name: float(amount) for name, amount in BatchWork(model.llm, model.projectors, **settings)(inputs).items()}


def test_frozen_weights_cost_four_for_each_token_and_projectors_six(model):
    assert work(model, random_batch())["flops"] == pytest.approx(counted_flops(model, random_batch()), rel=0.02)
    layer = model.llm.model.layers[0]
    weights = 2 * sum(p.numel() for p in layer.parameters() if p.ndim > 1)
    assert step_flops(model.llm, model.projectors).token == 4 * weights


def test_a_trained_language_model_costs_six(model):
    model.llm.requires_grad_(True)
    assert work(model, random_batch())["flops"] == pytest.approx(counted_flops(model, random_batch()), rel=0.02)


def test_adapters_cost_six_for_each_of_their_weights(model):
    without = step_flops(model.llm, model.projectors).token
    get_peft_model(model.llm, LoraConfig(r=4, target_modules="all-linear"))
    assert work(model, random_batch())["flops"] == pytest.approx(counted_flops(model, random_batch()), rel=0.02)
    size = sum(p.numel() for name, p in model.llm.named_parameters() if "lora_" in name)
    assert step_flops(model.llm, model.projectors).token == without + 6 * size


def test_checkpointing_adds_a_forward_that_no_useful_work_counts(model):
    model.activation_checkpointing_enable()
    model.train()
    amounts, plain = work(model, random_batch(), is_recomputed=True), work(model, random_batch())
    assert amounts["flops"] == pytest.approx(counted_flops(model, random_batch()), rel=0.02)
    assert amounts["useful_flops"] == plain["useful_flops"] == plain["flops"] < amounts["flops"]


def test_padding_is_computed_but_is_no_useful_work(model):
    amounts, plain = work(model, random_batch(padding=7)), work(model, random_batch())
    assert amounts["flops"] == pytest.approx(counted_flops(model, random_batch(padding=7)), rel=0.02)
    assert amounts["useful_flops"] == plain["flops"]
    length = TEXT + sum(count for count, _ in TOKENS.values())
    assert amounts["real_tokens"] == plain["padded_tokens"] == ROWS * length
    assert amounts["padded_tokens"] == ROWS * (length + 7)
    assert amounts["trained_tokens"] == ROWS * ANSWER


def test_a_token_uses_the_experts_that_it_is_sent_to(model):
    sizes = {"hidden_size": 64, "intermediate_size": 32, "num_hidden_layers": 1, "vocab_size": 320}
    config = MixtralConfig(**sizes, num_attention_heads=4, num_local_experts=4, num_experts_per_tok=1)
    model.llm = AutoModelForCausalLM.from_config(config).requires_grad_(False)
    one = step_flops(model.llm, model.projectors).token
    model.llm.config.num_experts_per_tok = 4
    assert step_flops(model.llm, model.projectors).token - one == 4 * 3 * 3 * 64 * 32
