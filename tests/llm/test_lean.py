import copy

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from ski_lvlm.llm.lean import make_lean
from ski_lvlm.training.kept_bytes import KeptBytes

pytestmark = pytest.mark.slow

SIZES = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "pad_token_id": 0,
}
FAMILIES = {  # model type → norms and gates of two layers
    "llama": (5, 2),
    "mistral": (5, 2),
    "qwen2": (5, 2),
    "qwen3": (9, 2),  # with norms of queries and keys
    "smollm3": (5, 2),
    "gemma": (5, 2),
    "gemma3_text": (13, 2),
    "olmo2": (9, 2),
    "phi3": (5, 2),  # gate and up in one linear layer
    "granite": (5, 2),
}


def tiny(kind: str, dtype: torch.dtype) -> PreTrainedModel:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **SIZES), dtype=dtype)
    for parameter in model.parameters():  # norms begin as ones, which hide mistakes
        torch.nn.init.normal_(parameter, mean=0.1, std=0.3)
    return model.requires_grad_(False).eval()


def values_and_gradients(model: PreTrainedModel, dtype: torch.dtype) -> list[torch.Tensor]:
    torch.manual_seed(1)
    hidden = torch.randn(2, 7, 32, dtype=dtype).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        logits = model(inputs_embeds=hidden, use_cache=False).logits
    logits.float().square().mean().backward()
    return [logits.detach(), hidden.grad, *(p.grad for p in model.parameters() if p.grad is not None)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", FAMILIES)
def test_values_and_gradients_are_the_models_own_to_the_last_bit(kind, dtype):
    model = tiny(kind, dtype)
    lean = copy.deepcopy(model)
    assert make_lean(lean) == (*FAMILIES[kind], 0)
    for is_trained in (False, True):
        expected, computed = (values_and_gradients(m.requires_grad_(is_trained), dtype) for m in (model, lean))
        assert all(torch.equal(a, b) for a, b in zip(expected, computed, strict=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("dora", [False, True])
def test_adapters_learn_the_same(dora, dtype):
    """The adapters are held in fp32, as in training."""
    config = LoraConfig(r=4, target_modules="all-linear", use_dora=dora, init_lora_weights=False)
    models = []
    for is_lean in (False, True):
        torch.manual_seed(2)
        model = get_peft_model(tiny("llama", dtype), config).eval()
        assert not is_lean or make_lean(model) == (5, 2, 0 if dora else 14)
        models.append(model)
    expected, computed = (values_and_gradients(model, dtype) for model in models)
    assert len(expected) >= 2 + 2 * 14
    assert next(p.dtype for p in models[0].parameters() if p.requires_grad) == torch.float32
    assert all(torch.equal(a, b) for a, b in zip(expected, computed, strict=True))


def kept_bytes(model: PreTrainedModel) -> int:
    with KeptBytes(model) as counter:
        model(inputs_embeds=torch.randn(1, 8, 32, dtype=torch.bfloat16, requires_grad=True), use_cache=False)
    return counter.bytes


def lean(model: PreTrainedModel) -> PreTrainedModel:
    make_lean(model)
    return model


def test_a_layer_keeps_its_inputs_gate_and_up_alone():
    model = tiny("llama", torch.bfloat16)
    whole = kept_bytes(model)
    make_lean(model)
    norm, activated = 8 * (4 * 32 + 4 - 2 * 32), 8 * 2 * 48  # fp32 and its root mean square against bf16
    assert whole - kept_bytes(model) == 5 * norm + 2 * activated


def test_adapters_of_one_input_share_it():
    config = LoraConfig(r=4, target_modules=["q_proj", "k_proj", "v_proj"])
    with torch.autocast("cpu", torch.bfloat16):
        plain = kept_bytes(lean(tiny("llama", torch.bfloat16)))
        with_adapters = kept_bytes(lean(get_peft_model(tiny("llama", torch.bfloat16), config)))
    inputs, ranks = 8 * 2 * 32, 3 * 8 * 2 * 4
    weights = 2 * 4 * (3 * 32 + 32 + 2 * 16)  # in bf16, by autocast
    assert with_adapters - plain == 2 * (inputs + ranks + weights)


def test_checkpointing_stays_right():
    model = tiny("qwen3", torch.bfloat16)
    expected = values_and_gradients(model, torch.bfloat16)
    make_lean(model)
    model.gradient_checkpointing_enable({"use_reentrant": False})
    computed = values_and_gradients(model.train(), torch.bfloat16)
    assert all(torch.equal(a, b) for a, b in zip(expected, computed, strict=True))


def test_what_is_not_known_is_left_alone():
    model = tiny("llama", torch.float32)
    mlp, norm = model.model.layers[0].mlp, model.model.norm
    mlp.forward = norm.forward = lambda hidden: hidden  # as Liger or another library replaces them
    assert make_lean(model) == (4, 1, 0)
    assert mlp.forward is norm.forward
    gpt2 = AutoModelForCausalLM.from_config(AutoConfig.for_model("gpt2", n_layer=1, n_embd=32, n_head=2, vocab_size=8))
    assert make_lean(gpt2) == (0, 0, 0)
    assert make_lean(model) == (0, 0, 0), "a second time nothing is left to do"
