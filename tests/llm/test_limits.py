"""Limits that a language model states: its context, and the ids that it has rows for."""

import json
import shutil

import pytest
import torch
from transformers import (
    AutoTokenizer,
    BloomConfig,
    CLIPVisionConfig,
    Gemma3Config,
    GPT2Config,
    GPT2LMHeadModel,
    GptOssConfig,
    LlamaConfig,
    LlavaConfig,
    MptConfig,
    T5Config,
)

from ski_lvlm.datasets.instruction_file import Turn
from ski_lvlm.llm.conversation import encode
from ski_lvlm.llm.limits import context_of, pad_id
from ski_lvlm.llm.loading import load_llm
from ski_lvlm.lvlm.model import SkiLvlm
from tests.cases.template_case import CHATML
from tests.cases.tiny_llm import tiny_llm, tiny_tokenizer


def scaled(**rope):
    return LlamaConfig(max_position_embeddings=4096, rope_scaling=rope)


@pytest.mark.parametrize(
    ("config", "tokens"),
    [
        (LlamaConfig(max_position_embeddings=2048), 2048),
        (GPT2Config(n_positions=1024), 1024),
        (MptConfig(max_seq_len=512), 512),
        (BloomConfig(), None),
        (Gemma3Config(text_config={"max_position_embeddings": 8192}), 8192),
        (LlavaConfig(text_config=LlamaConfig(max_position_embeddings=64), vision_config=CLIPVisionConfig()), 64),
        (scaled(rope_type="linear", factor=4.0), 16384),
        (scaled(rope_type="yarn", factor=4.0, original_max_position_embeddings=4096), 16384),
        (scaled(rope_type="yarn", factor=0.5, original_max_position_embeddings=4096), 4096),
        (GptOssConfig(), 131072),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_context_is_what_the_configuration_states(config, tokens):
    context = context_of(config, tiny_tokenizer())
    assert (context and context.tokens) == tokens


@pytest.mark.parametrize(("stated", "tokens"), [(1024, 1024), (4096, 2048), (int(1e30), 2048), (0, 2048), (-1, 2048)])
def test_a_tokenizer_may_state_less(stated, tokens):
    tokenizer = tiny_tokenizer()
    tokenizer.model_max_length = stated
    context = context_of(LlamaConfig(), tokenizer)
    assert context.tokens == tokens and ("tokenizer" in context.source) == (tokens == 1024)


@pytest.fixture
def llm(tmp_path):
    return tiny_llm(tmp_path / "llm")


def change(folder, change_tokenizer):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    change_tokenizer(tokenizer)
    tokenizer.save_pretrained(folder)


def test_a_pad_token_without_a_row_is_replaced(llm, caplog):
    change(llm, lambda tokenizer: tokenizer.add_special_tokens({"pad_token": "[PAD]"}))
    model, tokenizer = load_llm(str(llm))
    assert pad_id(tokenizer) == tokenizer.eos_token_id < model.config.vocab_size
    assert "no row for its pad token '[PAD]'; padding with '<|im_end|>'" in caplog.text


def without_special_tokens(folder):
    """Keep the ids, and let no token be the end of text, unknown or padding."""
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        if (file := folder / name).exists():
            content = json.loads(file.read_text())
            content = {key: value for key, value in content.items() if key not in ("eos_token", "pad_token")}
            for token in content.get("added_tokens", ()):
                token["special"] = False
            for token in content.get("added_tokens_decoder", {}).values():
                token["special"] = False
            file.write_text(json.dumps(content))


def test_a_tokenizer_without_any_special_token_pads_with_any_id(llm, caplog):
    without_special_tokens(llm)
    tokenizer = load_llm(str(llm)).tokenizer
    assert (tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id) == (None, None, None)
    assert pad_id(tokenizer) == 0 and "padding with 'id 0'" in caplog.text
    model = SkiLvlm.build(base_llm=str(llm), token_widths={"video": 4}).eval()
    tokens = [torch.randn(3, 4), torch.randn(5, 4)]
    assert len(model.answer(tokens, ["Why?", "What is the person doing?"], max_new_tokens=3)) == 2


@pytest.mark.parametrize("padding", [-1, 285, 32000])
def test_a_configuration_with_a_pad_token_beyond_its_rows_loads(llm, padding):
    config = json.loads((llm / "config.json").read_text())
    (llm / "config.json").write_text(json.dumps(config | {"pad_token_id": padding}))
    assert load_llm(str(llm)).model.config.vocab_size == 285


def test_words_without_rows_are_refused(llm):
    content = json.loads((llm / "tokenizer.json").read_text())
    content["model"]["vocab"] |= {"drink": 285, "ing": 286}
    (llm / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"2 words of the tokenizer, first \['drink', 'ing'\].*285 rows.*belongs to"):
        load_llm(str(llm))


def test_a_template_with_tokens_without_rows_is_refused_and_another_helps(llm):
    def end_with_new_token(tokenizer):
        tokenizer.add_tokens(["<|over|>"], special_tokens=True)
        tokenizer.chat_template = CHATML.replace("<|im_end|>", "<|over|>")

    change(llm, end_with_new_token)
    with pytest.raises(ValueError, match=r"writes \{'<\|over\|>': 285\}.*285 rows.*--chat_template vicuna"):
        SkiLvlm.build(base_llm=str(llm), token_widths={"video": 4})
    SkiLvlm.build(base_llm=str(llm), token_widths={"video": 4}, chat_template="vicuna")


def test_a_token_without_a_row_in_a_text_is_words(llm):
    change(llm, lambda tokenizer: tokenizer.add_tokens(["<extra>"]))
    tokenizer = load_llm(str(llm)).tokenizer
    ids = encode([Turn("user", "Why <extra>?"), Turn("assistant", "<extra>")], tokenizer, token_counts={}).ids
    assert ids.max() < 285 and tokenizer.decode(ids).count("<extra>") == 2


@pytest.mark.slow
def test_a_gpt_2_without_template_and_pad_token_is_asked_in_vicuna_s_words(tmp_path):
    torch.manual_seed(0)
    tokenizer = tiny_tokenizer(chat_template=None)
    tokenizer.eos_token = tokenizer.bos_token = tokenizer.unk_token = "<|endoftext|>"
    config = GPT2Config(vocab_size=285, n_embd=32, n_layer=2, n_head=4, n_positions=400, eos_token_id=0, bos_token_id=0)
    GPT2LMHeadModel(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    model = SkiLvlm.build(base_llm=str(tmp_path), token_widths={"video": 4}).eval()
    assert model.config.prompt[1] == " ASSISTANT:" and model.end_ids == [0] and model.prompting.context.tokens == 400
    assert len(model.answer([torch.randn(3, 4)], ["Why?"], max_new_tokens=1024)) == 1


@pytest.mark.parametrize(
    "config", [LlavaConfig(text_config=LlamaConfig(), vision_config=CLIPVisionConfig()), T5Config()]
)
def test_what_is_no_causal_language_model_is_refused_in_one_line(llm, tmp_path, config):
    shutil.copytree(llm, tmp_path / "vlm", ignore=shutil.ignore_patterns("*.safetensors", "config.json"))
    config.save_pretrained(tmp_path / "vlm")
    with pytest.raises(ValueError, match=f"type '{config.model_type}' is no causal language model") as refusal:
        load_llm(str(tmp_path / "vlm"))
    assert "\n" not in str(refusal.value) and len(str(refusal.value)) < 500
