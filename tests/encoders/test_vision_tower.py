import logging

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BertConfig

from ski_lvlm.encoders import efficientnet
from ski_lvlm.encoders.digest import weights_digest
from ski_lvlm.encoders.offline import EFFICIENTNET
from ski_lvlm.encoders.vision_tower import load_vision_tower, temporal_and_spatial
from ski_lvlm.lvlm.video_tokens import video_entry
from tests.cases.vision_case import MEAN, STD, tiny_tower

FRAMES, PATCHES, WIDTH = 5, 4, 16


@pytest.fixture(scope="module", params=["clip", "siglip"])
def checkpoint(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    return folder, tiny_tower(folder, family=request.param)


def clips(count=2, *, frames=FRAMES, side=28):
    return torch.randint(0, 256, (count, frames, 3, side, side), dtype=torch.uint8, generator=torch.manual_seed(1))


def by_hand(model, clip):
    """Normalise, run the full model, take the second-to-last layer's patches, average along both axes."""
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
    with torch.no_grad():
        layers = model.vision_model((clip / 255 - mean) / std, output_hidden_states=True).hidden_states
    patches = layers[-2][:, -PATCHES:]
    assert not torch.allclose(patches, layers[-1][:, -PATCHES:], atol=1e-2), "the test cannot tell the layers apart"
    return torch.cat([patches.mean(1), patches.mean(0)])


def test_tokens_are_the_second_to_last_layer_s_means_over_patches_and_over_frames(checkpoint):
    folder, model = checkpoint
    tower = load_vision_tower(str(folder), num_frames=FRAMES, device="cpu")
    assert (tower.width, tower.image_size, tower.num_tokens) == (WIDTH, 28, FRAMES + PATCHES)
    tokens = tower(clips())
    assert tokens.shape == (2, FRAMES + PATCHES, WIDTH) and tokens.dtype == torch.float32
    for clip, of_clip in zip(clips(), tokens):
        torch.testing.assert_close(of_clip, by_hand(model, clip), atol=1e-3, rtol=1e-3)


def test_temporal_tokens_follow_the_order_of_frames_and_spatial_tokens_do_not(checkpoint):
    tower = load_vision_tower(str(checkpoint[0]), num_frames=FRAMES, device="cpu")
    clip = clips(1)
    forward, backward = tower(clip)[0], tower(clip.flip(1))[0]
    torch.testing.assert_close(forward[:FRAMES], backward[:FRAMES].flip(0), atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(forward[FRAMES:], backward[FRAMES:], atol=1e-3, rtol=1e-3)
    assert not torch.allclose(forward[:FRAMES], backward[:FRAMES], atol=1e-2)


def test_the_paper_s_token_counts():
    tokens = temporal_and_spatial(torch.zeros(1, 100, 256, 8))
    assert tokens.shape == (1, 356, 8)


def test_frames_are_processed_alike_in_one_pass_and_in_many(checkpoint, monkeypatch):
    tower = load_vision_tower(str(checkpoint[0]), num_frames=FRAMES, device="cpu")
    whole = tower(clips())
    monkeypatch.setattr("ski_lvlm.encoders.vision_tower._FRAMES_AT_ONCE", {"cpu": 3})
    torch.testing.assert_close(tower(clips()), whole, atol=1e-3, rtol=1e-3)


def test_a_shorter_clip_has_fewer_temporal_tokens(checkpoint):
    tower = load_vision_tower(str(checkpoint[0]), num_frames=100, device="cpu")
    assert tower(clips(frames=3)).shape == (2, 3 + PATCHES, WIDTH)


def test_the_tower_is_frozen_even_when_told_to_train(checkpoint):
    tower = load_vision_tower(str(checkpoint[0]), num_frames=FRAMES, device="cpu").train()
    assert not any(module.training for module in tower.modules())
    assert not any(weight.requires_grad for weight in tower.parameters())
    assert not tower(clips()).requires_grad


def test_bfloat16_holds_the_weights_and_changes_little(checkpoint):
    exact = load_vision_tower(str(checkpoint[0]), num_frames=FRAMES, device="cpu")
    coarse = load_vision_tower(str(checkpoint[0]), num_frames=FRAMES, device="cpu", dtype=torch.bfloat16)
    assert {weight.dtype for weight in coarse.backbone.parameters()} == {torch.bfloat16}
    difference = (coarse(clips()) - exact(clips())).norm() / exact(clips()).norm()
    assert 0 < difference < 0.05


def test_the_digest_is_the_weights_and_not_their_precision(checkpoint, tmp_path):
    folder = str(checkpoint[0])
    digests = {load_vision_tower(folder, dtype=kind, device="cpu").digest for kind in (None, torch.bfloat16)}
    assert len(digests) == 1
    tiny_tower(tmp_path, seed=1)
    assert load_vision_tower(str(tmp_path), device="cpu").digest not in digests


def test_frames_that_do_not_fit_are_refused_with_the_remedy(checkpoint):
    tower = load_vision_tower(str(checkpoint[0]), num_frames=FRAMES, device="cpu")
    with pytest.raises(ValueError, match=r"28x28 pixels, found 32x32; decode with .*size=\(28, 28\)"):
        tower(clips(side=32))
    with pytest.raises(ValueError, match="1 to 5 frames a clip, found 6"):
        tower(clips(frames=6))


def test_a_checkpoint_that_lacks_weights_is_not_filled_with_random_ones(tmp_path):
    tiny_tower(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    name = next(key for key in weights if "layers.1.mlp.fc1.weight" in key and key.startswith("vision"))
    del weights[name]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"lacks 1 weights.*fc1"):
        load_vision_tower(str(tmp_path), device="cpu")


def test_an_unknown_architecture_and_an_unreachable_model_say_what_is_possible(tmp_path):
    BertConfig().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"'bert' model; CLIP and SigLIP towers and 'efficientnet-lite0'"):
        load_vision_tower(str(tmp_path), device="cpu")
    with pytest.raises(ValueError, match=r"cannot load the vision tower.*'efficientnet-lite0'"):
        load_vision_tower(str(tmp_path / "nowhere"), device="cpu")


def test_without_a_processor_file_the_family_s_own_normalisation_is_used_and_said(tmp_path, caplog):
    tiny_tower(tmp_path)
    (tmp_path / "preprocessor_config.json").unlink()
    with caplog.at_level(logging.WARNING, logger="ski_lvlm.encoders.pretrained"):
        tower = load_vision_tower(str(tmp_path), device="cpu")
    assert "no preprocessor_config.json" in caplog.text
    assert tower.mean.flatten().tolist() == pytest.approx([255 * m for m in (0.48145466, 0.4578275, 0.40821073)])


@pytest.mark.slow
def test_efficientnet_gives_16_temporal_and_49_spatial_tokens_of_the_released_network():
    tower = load_vision_tower(EFFICIENTNET, num_frames=16, device="cpu")
    clip = clips(1, frames=2, side=224)
    tokens = tower(clip)
    assert tower.num_tokens == 65 and tokens.shape == (1, 2 + 49, 1280)
    with torch.no_grad():
        grid = efficientnet._released_network().extract_features((clip[0].float() - 127) / 128)
    expected = torch.cat([grid.mean((2, 3)), grid.mean(0).flatten(1).T])
    torch.testing.assert_close(tokens[0], expected, atol=1e-3, rtol=1e-3)
    assert tower.digest == load_vision_tower(EFFICIENTNET, num_frames=8, device="cpu").digest


@pytest.mark.slow
def test_efficientnet_takes_frames_of_another_side():
    tower = load_vision_tower(EFFICIENTNET, num_frames=2, side=96)
    tokens = tower(torch.zeros(1, 2, 3, 96, 96, dtype=torch.uint8))
    assert tokens.shape == (1, 2 + 9, 1280) and tower.num_tokens == 11
    assert video_entry(tower, framing="whole")["side"] == 96
    own = load_vision_tower(EFFICIENTNET, num_frames=2)
    assert "side" not in video_entry(own, framing="whole") and own.digest == tower.digest


def test_a_side_that_the_tower_cannot_take_is_refused(checkpoint):
    with pytest.raises(ValueError, match="expected a multiple of 32"):
        load_vision_tower(EFFICIENTNET, side=100)
    with pytest.raises(ValueError, match="leave --side out"):
        load_vision_tower(str(checkpoint[0]), side=96)


def test_missing_offline_packages_name_the_install_line(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(ImportError, match="requirements-offline.txt"):
        load_vision_tower(EFFICIENTNET, num_frames=4)


@pytest.mark.slow
def test_efficientnet_s_digest_is_that_of_the_released_weights():
    released = efficientnet._released_network()
    assert load_vision_tower(EFFICIENTNET, num_frames=2, device="cpu").digest == weights_digest(released)
