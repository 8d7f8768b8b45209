import dataclasses
import json
import math

import pytest
import torch

from ski_lvlm.dual_encoders.checkpoints import (
    SkeletonEncoderCard,
    load_skeleton_clip,
    load_skeleton_encoder,
    save_model,
)
from ski_lvlm.dual_encoders.language import clamp_temperatures
from ski_lvlm.dual_encoders.skeleton_clip import SkeletonCLIP
from ski_lvlm.encoders.hyperformer import Hyperformer
from ski_lvlm.encoders.skeleton_encoder import ActionClassifier
from ski_lvlm.encoders.text_encoder import load_text_encoder
from ski_lvlm.skeletons.layouts import LAYOUTS
from ski_lvlm.skeletons.preprocessing import Preprocessing
from ski_lvlm.vlm.losses import language_cross_entropy
from tests.cases.text_case import tiny_clip, tiny_sentence_encoder

PROMPTS = ["a photo of a drink water .", "a photo of a hand waving .", "a photo of a kicking something ."]
SKELETON = torch.randn(2, 8, 1, 25, 3, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    return tiny_clip(tmp_path_factory.mktemp("clip"))


def narrow():
    torch.manual_seed(0)
    return Hyperformer(layout=LAYOUTS["ntu-25"], num_heads=1, head_dim=12, depth=2, strided=(2,))


def card(model, *, text=None, **changes):
    usual = SkeletonEncoderCard(
        stage="skeleton_align" if text else "skeleton_pretrain",
        encoder=model.encoder.settings,
        preprocessing=Preprocessing().to_json(),
        num_frames=8,
        split="synthetic",
        seen=("drink water", "drop"),
        text_encoder=text and {"id": text.model_id, "digest": text.digest},
    )
    return dataclasses.replace(usual, **changes)


def aligned(folder, text):
    model = SkeletonCLIP(narrow(), load_text_encoder(text)).eval()
    save_model(folder, model, card=card(model, text=model.text_encoder))
    return model


@pytest.mark.slow
def test_returns_z_and_cosines_with_the_sentences(text):
    model = SkeletonCLIP(narrow(), load_text_encoder(text))
    z, similarity, _ = model(SKELETON, PROMPTS)
    assert z.shape == (2, 12) and similarity.shape == (2, 3)
    assert similarity.abs().max() <= 1.0
    by_hand = torch.cosine_similarity(z[1], model.text_encoder(PROMPTS)[2], dim=0)
    assert torch.allclose(similarity[1, 2], by_hand, atol=1e-6)


def test_tau_starts_at_the_text_encoders_and_never_falls_below_clips_least(text):
    model = SkeletonCLIP(narrow(), load_text_encoder(text))
    assert math.isclose(model.temperature.item(), math.exp(-3.0), rel_tol=1e-5)
    model.log_scale.data.fill_(20.0)
    clamp_temperatures(model)
    assert math.isclose(model.temperature.item(), 0.01, rel_tol=1e-5)


def test_a_step_of_eq_1_changes_everything_but_the_text_encoder(text):
    model = SkeletonCLIP(narrow(), load_text_encoder(text)).train()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimiser = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    similarity = model(SKELETON, PROMPTS).similarity
    language_cross_entropy(similarity, torch.tensor([0, 2]), temperature=model.temperature).backward()
    optimiser.step()
    changed = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert {"projection.weight", "log_scale", "encoder.blocks.0.attention.joint_matrix"} <= changed
    assert not any(name.startswith("text_encoder.") for name in changed)


def test_both_stages_leave_an_encoder_to_load(tmp_path, text):
    classifier = ActionClassifier(narrow(), num_classes=2).eval()
    save_model(tmp_path / "pretrained", classifier, card=card(classifier))
    clip = aligned(tmp_path / "aligned", text)
    for folder, model in ((tmp_path / "pretrained", classifier), (tmp_path / "aligned", clip)):
        encoder, preprocessing = load_skeleton_encoder(folder, expected=Preprocessing())
        assert preprocessing == Preprocessing() and not encoder.training
        assert torch.equal(encoder(SKELETON).tokens, model.encoder(SKELETON).tokens)


def test_files_hold_what_was_trained_and_not_the_text_encoder(tmp_path, text):
    model = aligned(tmp_path, text)
    assert not any("text_encoder" in name for name in model.state_dict())
    loaded, _ = load_skeleton_clip(tmp_path)
    assert torch.equal(loaded(SKELETON, PROMPTS).similarity, model(SKELETON, PROMPTS).similarity)
    size = sum(p.numel() * 4 for p in [*model.encoder.parameters(), *model.projection.parameters()])
    assert (tmp_path / "model.safetensors").stat().st_size < 2 * size + 20_000


@pytest.mark.slow
def test_another_text_encoder_is_refused(tmp_path, text):
    aligned(tmp_path, text)
    description = tmp_path / "skeleton_encoder.json"
    fields = json.loads(description.read_text())
    fields["text_encoder"]["digest"] = "0" * 16
    description.write_text(json.dumps(fields))
    with pytest.raises(ValueError, match="has other weights .* align again"):
        load_skeleton_clip(tmp_path)


def test_another_preprocessing_is_refused(tmp_path, text):
    aligned(tmp_path, text)
    with pytest.raises(ValueError, match="centring: 'spine' against 'none'"):
        load_skeleton_encoder(tmp_path, expected=Preprocessing(centring="none"))


def test_a_pretrained_encoder_is_no_skeleton_clip(tmp_path):
    model = ActionClassifier(narrow(), num_classes=2)
    save_model(tmp_path, model, card=card(model))
    with pytest.raises(ValueError, match="without a text encoder; align it with"):
        load_skeleton_clip(tmp_path)


def test_missing_and_damaged_folders_say_what_to_do(tmp_path, text):
    with pytest.raises(ValueError, match="make one with: python train_ski_vlm.py"):
        load_skeleton_encoder(tmp_path)
    model = ActionClassifier(narrow(), num_classes=2)
    save_model(tmp_path, model, card=card(model, encoder={**model.encoder.settings, "depth": 3}))
    with pytest.raises(ValueError, match=r"(?s)does not fit skeleton_encoder.json: .*blocks.2"):
        load_skeleton_encoder(tmp_path)
    (tmp_path / "skeleton_encoder.json").write_text('{"stage": ')
    with pytest.raises(ValueError, match="cannot be read"):
        load_skeleton_encoder(tmp_path)


def test_the_card_names_the_network_and_an_older_one_is_of_a_hyperformer(tmp_path):
    model = ActionClassifier(narrow(), num_classes=2)
    settings = model.encoder.settings
    save_model(tmp_path, model, card=card(model, encoder={k: v for k, v in settings.items() if k != "network"}))
    assert load_skeleton_encoder(tmp_path)[0].settings == settings
    save_model(tmp_path, model, card=card(model, encoder={**settings, "network": "unheard"}))
    with pytest.raises(ValueError, match=r"skeleton_encoder.json describes no encoder \(unknown skeleton encoder"):
        load_skeleton_encoder(tmp_path)


def test_a_sentence_encoder_serves_as_well(tmp_path):
    model = SkeletonCLIP(narrow(), load_text_encoder(tiny_sentence_encoder(tmp_path)))
    assert model(SKELETON, PROMPTS).z.shape == (2, 16)
    assert math.isclose(model.temperature.item(), 0.07, rel_tol=1e-5)
