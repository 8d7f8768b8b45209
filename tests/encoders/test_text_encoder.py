import math

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import CLIPModel, GPT2Config

from ski_lvlm.encoders.pretrained import freeze
from ski_lvlm.encoders.text_encoder import TextEncoderError, load_text_encoder
from tests.cases.text_case import tiny_clip, tiny_sentence_encoder

PROMPTS = ["a photo of a drink water .", "a photo of a hand waving .", "a photo of a eat meal snack ."]


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return tiny_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def sentences(tmp_path_factory):
    return tiny_sentence_encoder(tmp_path_factory.mktemp("bert"))


def test_clip_gives_its_projected_text_token_and_its_own_temperature(clip):
    encoder, reference = load_text_encoder(clip), CLIPModel.from_pretrained(clip)
    tokens = encoder.tokenizer(PROMPTS, padding="max_length", max_length=16, return_tensors="pt")
    with torch.no_grad():
        expected = reference.get_text_features(**tokens).pooler_output
    assert encoder.width == 12 and encoder(PROMPTS).shape == (3, 12)
    assert torch.allclose(encoder(PROMPTS), expected, atol=1e-5)
    assert math.isclose(encoder.temperature, math.exp(-3.0), rel_tol=1e-6)
    assert not any("vision" in name for name, _ in encoder.named_parameters())


def test_a_sentence_encoder_gives_the_mean_over_words_and_not_over_padding(sentences):
    encoder = load_text_encoder(sentences)
    assert encoder.width == 16 and encoder.temperature == 0.07
    alone = torch.cat([encoder([prompt]) for prompt in PROMPTS])
    assert torch.allclose(encoder(PROMPTS), alone, atol=1e-5)


@pytest.mark.slow
def test_minilm_knows_what_is_alike():
    encoder = load_text_encoder("minilm")
    z = nn.functional.normalize(encoder(["drink water", "have a drink of water", "kick something"]), dim=-1)
    assert encoder.width == 384
    assert z[0] @ z[1] > z[0] @ z[2] + 0.2


def test_only_the_longest_prompt_is_encoded(clip, monkeypatch):
    encoder, lengths = load_text_encoder(clip), []
    plain = encoder.model.get_text_features
    monkeypatch.setattr(
        encoder.model, "get_text_features", lambda **t: lengths.append(t["input_ids"].shape) or plain(**t)
    )
    encoder(["drink water", "a photo of a hand"])
    assert lengths == [(2, 7)]


def test_frozen_features_are_computed_once(sentences, monkeypatch):
    encoder, calls = load_text_encoder(sentences), []
    plain = encoder._encode
    monkeypatch.setattr(encoder, "_encode", lambda prompts: calls.append(prompts) or plain(prompts))
    first, again = encoder(PROMPTS), encoder(tuple(PROMPTS))
    assert torch.equal(first, again) and len(calls) == 1
    assert not torch.equal(encoder(PROMPTS[::-1]), first) and len(calls) == 2


def test_a_frozen_encoder_never_trains(sentences):
    encoder = nn.ModuleDict({"text": load_text_encoder(sentences)}).train()["text"]
    assert not encoder.training and not encoder.model.training
    assert not encoder(PROMPTS).requires_grad
    encoder.requires_grad_(True)
    assert encoder.train().training and encoder(PROMPTS).requires_grad


def test_freeze_stops_gradients_and_dropout():
    module = freeze(nn.Sequential(nn.Linear(2, 2), nn.Dropout()).train())
    assert not module.training and not any(p.requires_grad for p in module.parameters())


def test_a_sentence_too_long_is_refused_by_name(sentences):
    with pytest.raises(TextEncoderError, match=r"'photo photo.*has 18 tokens, but .* reads at most 16"):
        load_text_encoder(sentences)(["photo " * 15 + "photo", "drink water"])


def test_other_models_are_refused(tmp_path, clip):
    config = GPT2Config(n_embd=8, n_layer=1, n_head=1)
    config.save_pretrained(tmp_path)
    load = load_text_encoder(clip).tokenizer
    load.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "chinese_clip", "text_config": {}, "vision_config": {}}')
    with pytest.raises(TextEncoderError, match="is a chinese_clip model; expected a CLIP or a sentence encoder"):
        load_text_encoder(str(tmp_path))


def test_the_digest_tells_weights_apart(tmp_path, sentences):
    other = tiny_sentence_encoder(tmp_path, seed=1)
    assert load_text_encoder(sentences).digest == load_text_encoder(sentences).digest
    assert load_text_encoder(sentences).digest != load_text_encoder(other).digest


@pytest.mark.slow
def test_half_precision_files_are_trained_in_full_and_holes_are_refused(tmp_path, clip):
    half = CLIPModel.from_pretrained(clip, dtype=torch.float16)
    half.save_pretrained(tmp_path)
    load_text_encoder(clip).tokenizer.save_pretrained(tmp_path)
    assert next(load_text_encoder(str(tmp_path)).parameters()).dtype == torch.float32
    weights = load_file(tmp_path / "model.safetensors")
    del weights["text_projection.weight"]
    save_file({**weights, "odd": torch.zeros(1)}, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"missing \['text_projection.weight'\], left over \['odd'\]"):
        load_text_encoder(str(tmp_path))
