import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    GPT2Config,
    LlamaConfig,
    MambaConfig,
    MistralConfig,
    Qwen2Config,
    Qwen3Config,
)

from ski_lvlm.llm.packed_rows import BY_SAMPLE, prepare_rows, row_arguments, row_positions

SMALL = {
    "vocab_size": 50,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.3,
}


def model(config=LlamaConfig, attention="sdpa", **settings):
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config(**SMALL | settings), attn_implementation=attention).eval()


LENGTHS = (4, 7, 1, 5)


def samples():
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(1, length, 16, generator=generator) for length in LENGTHS]


def row_logits(llm, parts):
    arguments = row_arguments(llm, [part.shape[1] for part in parts], torch.device("cpu"))
    return llm(inputs_embeds=torch.cat(parts, dim=1), use_cache=False, **arguments).logits.split(LENGTHS, dim=1)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("config", [LlamaConfig, Qwen2Config, Qwen3Config])
def test_samples_in_a_row_are_read_as_alone_and_read_nothing_of_each_other(config, attention):
    llm, parts = model(config, attention), samples()
    prepare_rows(llm, longest=7)
    assert llm.config._attn_implementation == (BY_SAMPLE if attention == "sdpa" else "eager")
    together = row_logits(llm, parts)
    for part, logits in zip(parts, together):
        torch.testing.assert_close(logits, llm(inputs_embeds=part, use_cache=False).logits, atol=1e-5, rtol=1e-5)
    changed = row_logits(llm, [parts[0], torch.randn_like(parts[1]), *parts[2:]])
    assert all(torch.equal(a, b) == (k != 1) for k, (a, b) in enumerate(zip(together, changed)))


def test_padded_batches_and_answers_are_unchanged_behind_the_attention_of_rows():
    llm = model()
    inputs = {"inputs_embeds": torch.randn(2, 6, 16), "attention_mask": torch.tensor([[0, 0, 1, 1, 1, 1], [1] * 6])}
    with torch.no_grad():
        expected = llm(**inputs).logits
    ids = {"max_new_tokens": 4, "do_sample": False, "pad_token_id": 0}
    answers = llm.generate(**inputs, **ids)
    prepare_rows(llm, longest=6)
    with torch.no_grad():
        assert torch.equal(llm(**inputs).logits, expected)
    assert torch.equal(llm.generate(**inputs, **ids), answers)


def test_no_mask_of_the_whole_row_is_made(monkeypatch):
    """Of 32 samples of 762 tokens it would hold 595 MB."""
    llm, masks = model(), []
    prepare_rows(llm, longest=7)
    attend = torch.nn.functional.scaled_dot_product_attention

    def noting(*arguments, attn_mask=None, **options):
        masks.append(attn_mask)
        return attend(*arguments, attn_mask=attn_mask, **options)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", noting)
    row_logits(llm, samples())
    assert masks == [None] * 2 * len(LENGTHS)


MAMBA = {"hidden_size": 16, "vocab_size": 50, "num_hidden_layers": 1, "state_size": 4}


@pytest.mark.parametrize(
    ("llm", "longest", "words"),
    [
        (lambda: model(MistralConfig, sliding_window=8), 9, "windows of 8 tokens.*samples of 9"),
        (lambda: model(Qwen2Config, use_sliding_window=True, sliding_window=8, max_window_layers=1), 9, "windows of 8"),
        (lambda: AutoModelForCausalLM.from_config(MambaConfig(**MAMBA)), 9, "Mamba"),
        (lambda: AutoModelForCausalLM.from_config(BloomConfig(vocab_size=50, hidden_size=16, n_head=2)), 9, "Bloom"),
        (lambda: model(attention="flex_attention"), 9, "found flex_attention attention, expected sdpa, eager"),
    ],
    ids=["window", "windows in some layers", "state", "no positions", "attention"],
)
def test_models_that_cannot_are_refused_with_words(llm, longest, words):
    with pytest.raises(ValueError, match=rf"--packing True: .*{words}.*leave --packing out"):
        prepare_rows(llm(), longest=longest)


def test_positions_in_time_and_space_are_refused():
    llm = model()
    llm.config.rope_parameters = {**llm.config.rope_parameters, "mrope_section": [1, 1, 2]}
    with pytest.raises(ValueError, match="positions in time and space"):
        prepare_rows(llm, longest=9)


def test_a_model_that_passes_nothing_on_to_its_attention_is_refused(monkeypatch):
    """Its code would read the whole row as one sample, and no error would say so."""
    llm = model()
    forward = llm.forward

    def forgetful(self, *, sample_lengths=None, **inputs):
        return forward(**inputs)

    monkeypatch.setattr(type(llm), "forward", lambda self, position_ids=None, **inputs: forgetful(self, **inputs))
    with pytest.raises(ValueError, match="reads a sample otherwise behind another one than alone"):
        prepare_rows(llm, longest=9)


@pytest.mark.parametrize("config", [MistralConfig, GPT2Config])
def test_windows_wider_than_samples_and_learnt_positions_are_fine(config):
    settings = {"sliding_window": 9} if config is MistralConfig else {"n_embd": 16, "n_head": 2, "n_layer": 2}
    prepare_rows(model(config, **settings), longest=9)


def test_zero_3_is_refused():
    with pytest.raises(ValueError, match="under ZeRO-3"):
        prepare_rows(model(), longest=9, is_partitioned=True)


def test_positions_restart():
    assert row_positions([2, 3], torch.device("cpu")).tolist() == [[0, 1, 0, 1, 2]]
