"""The students on tiny CLIPs: Eq. (2), one call signature, and what is new in X-CLIP and FROSTER."""

import pytest
import torch
import torch.nn.functional as F
from einops import rearrange
from transformers import CLIPModel, SiglipModel, XCLIPModel

from ski_lvlm.dual_encoders.froster import Residual
from ski_lvlm.dual_encoders.students import STUDENTS, build_student, freeze_towers, untrained_weights
from ski_lvlm.dual_encoders.xclip import from_clip, untrained_xclip
from ski_lvlm.encoders.frame_encoder import load_frame_encoder
from ski_lvlm.encoders.pretrained import freeze
from ski_lvlm.recipe import VIDEO_FINETUNE_SCHEDULES
from tests.cases.text_case import tiny_clip, tiny_sentence_encoder, tiny_siglip

pytestmark = pytest.mark.slow

KINDS = tuple(STUDENTS)
PROMPTS = ("a photo of a drink water.", "a photo of a hand waving.", "a photo of a kicking something.")
T = 3


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return tiny_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture
def video():
    return torch.randint(0, 256, (2, T, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def student(kind, clip):
    torch.manual_seed(0)
    return build_student(kind, backbone=clip, num_frames=T).eval()


@pytest.mark.parametrize("kind", KINDS)
def test_every_student_answers_alike(kind, clip, video):
    model = student(kind, clip)
    z_v, similarity, own_loss = model(video, PROMPTS)
    assert z_v.shape == (2, 12) and similarity.shape == (2, 3)
    assert own_loss is None, "a student's own loss belongs to training"
    assert similarity.abs().max() <= 1 + 1e-5
    assert model.num_frames == T and model.side == 8
    assert torch.isclose(model.temperature, torch.exp(torch.tensor(-3.0)))


def test_equation_2_the_mean_over_frames_of_clips_own_features(clip, video):
    model, reference = student("vificlip", clip), CLIPModel.from_pretrained(clip).eval()
    mean = torch.tensor([0.48145466, 0.4578275, 0.40821073])[:, None, None]
    std = torch.tensor([0.26862954, 0.26130258, 0.27577711])[:, None, None]
    pixels = (rearrange(video, "b t c h w -> (b t) c h w") / 255 - mean) / std
    frames = reference.get_image_features(pixel_values=pixels).pooler_output
    expected = rearrange(frames, "(b t) d -> b t d", b=2).mean(1)
    tokens = model.text_encoder.tokenizer(list(PROMPTS), padding="max_length", max_length=16, return_tensors="pt")
    text = reference.get_text_features(**tokens).pooler_output  # padded to the full length: changes nothing
    output = model(video, PROMPTS)
    assert torch.allclose(output.z, expected, atol=1e-5)
    assert torch.allclose(output.similarity, F.normalize(expected, dim=-1) @ F.normalize(text, dim=-1).T, atol=1e-5)


@pytest.mark.slow
def test_siglip_is_a_backbone_too_with_sentences_at_their_full_length(tmp_path, video):
    folder = tiny_siglip(tmp_path)
    model, reference = (
        build_student("vificlip", backbone=folder, num_frames=T).eval(),
        SiglipModel.from_pretrained(folder),
    )
    pixels = rearrange(video, "b t c h w -> (b t) c h w") / 127.5 - 1
    frames = reference.eval().get_image_features(pixel_values=pixels).pooler_output
    ids = model.text_encoder.tokenizer(
        list(PROMPTS), padding="max_length", max_length=12, return_tensors="pt"
    ).input_ids
    text = reference.get_text_features(input_ids=ids).pooler_output
    output = model(video, PROMPTS)
    assert torch.allclose(output.z, rearrange(frames, "(b t) d -> b t d", b=2).mean(1), atol=1e-5)
    assert torch.allclose(output.similarity, F.normalize(output.z, dim=-1) @ F.normalize(text, dim=-1).T, atol=1e-5)
    assert build_student("froster", backbone=folder, num_frames=T)(video, PROMPTS).similarity.shape == (2, 3)


@pytest.mark.slow
def test_x_clip_is_hugging_faces_network(clip, video):
    """The student encodes sentences by TextEncoder, and the whole XCLIPModel gives the same cosines."""
    torch.manual_seed(0)
    reference = from_clip(clip, num_frames=T).eval()
    model = student("xclip", clip)
    model.network.load_state_dict({k: v for k, v in reference.state_dict().items() if k in model.network.state_dict()})
    tokens = model.text_encoder.tokenizer(list(PROMPTS), padding=True, return_tensors="pt")
    pixels = rearrange(model.frames.pixels(video), "(b t) c h w -> b t c h w", b=2)
    logits = reference(pixel_values=pixels, input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"])
    similarity = model(video, PROMPTS).similarity
    assert torch.allclose(similarity, logits.logits_per_video / reference.logit_scale.exp(), atol=1e-5)


def test_x_clip_sentences_depend_on_the_video_and_frames_on_each_other(clip, video):
    model = student("xclip", clip)
    for parameter in model.network.prompts_generator.parameters():
        parameter.data.normal_()
    alone, together = model(video[:1], PROMPTS), model(video, PROMPTS)
    assert torch.allclose(alone.similarity, together.similarity[:1], atol=1e-5)
    late = video.clone()
    late[:, -1] = 255 - late[:, -1]
    frames = rearrange(model.frames.pixels(video), "(b t) c h w -> b t c h w", b=2)
    changed = rearrange(model.frames.pixels(late), "(b t) c h w -> b t c h w", b=2)
    before = model.network.vision_model(pixel_values=frames.flatten(0, 1)).last_hidden_state[0]
    after = model.network.vision_model(pixel_values=changed.flatten(0, 1)).last_hidden_state[0]
    assert (after - before).abs().max() > 1e-4, "the first frame heard nothing of the last"


def test_x_clip_starts_near_clip(clip, video):
    """With Hugging Face's own start the prompts drown the sentences, and training stays at chance."""
    model = student("xclip", clip)
    z_t, context = model.text_encoder(PROMPTS).expand(2, -1, -1), torch.randn(2, 4, 12)
    assert model.network.prompts_generator(z_t, context).norm() < 0.2 * z_t.norm()
    assert model.network.mit.position_embedding.std() < 0.1
    assert model.network.vision_model.encoder.layers[0].message_fc.weight.std() < 0.1


def test_x_clip_takes_all_that_clip_has(clip):
    torch.manual_seed(1)
    network, original = from_clip(clip, num_frames=T), CLIPModel.from_pretrained(clip)
    state = network.state_dict()
    for name, value in original.state_dict().items():
        assert torch.equal(state[name.replace("pre_layrnorm", "pre_layernorm")], value), name


@pytest.mark.slow
def test_x_clip_loads_released_x_clip_weights_and_their_number_of_frames(tmp_path, clip, video):
    torch.manual_seed(2)
    released = untrained_xclip(CLIPModel.from_pretrained(clip).config, num_frames=T)
    assert isinstance(released, XCLIPModel)
    released.save_pretrained(tmp_path)
    build_student("vificlip", backbone=clip, num_frames=T).text_encoder.tokenizer.save_pretrained(tmp_path)
    model = build_student("xclip", backbone=str(tmp_path), num_frames=T)
    assert torch.equal(model.network.mit.position_embedding, released.mit.position_embedding)
    with pytest.raises(ValueError, match="integrates 3 frames, asked were 8; pass --num_frames 3"):
        build_student("xclip", backbone=str(tmp_path), num_frames=8)
    with pytest.raises(ValueError, match="takes 3 frames a clip, found 2"):
        model(video[:, :2], PROMPTS)


def test_froster_starts_without_distance_and_is_pulled_back(clip, video):
    model = student("froster", clip).train()
    assert model(video, PROMPTS).own_loss.abs() < 1e-5, "nothing has been learnt yet: nothing to pull back"
    for parameter in model.frames.parameters():
        parameter.data.add_(0.3 * torch.randn_like(parameter))
    loss = model(video, PROMPTS).own_loss
    assert loss > 1e-4
    loss.backward()
    assert all(parameter.grad is None for parameter in model.anchor.frames.parameters())
    assert any(parameter.grad is not None for parameter in model.frames.parameters())


def test_froster_is_two_times_one_minus_cosine_on_both_sides(clip, video):
    model = student("froster", clip).train()
    torch.manual_seed(3)
    for parameter in [*model.frames.parameters(), *model.text_encoder.parameters()]:
        parameter.data.add_(0.1 * torch.randn_like(parameter))
    z_v, z_t = model.frames.features(video).mean(1), model.text_encoder(PROMPTS)
    frozen_v, frozen_t = model.anchor.frames.features(video).mean(1), model.anchor.text_encoder(PROMPTS)
    by_hand = 2 * ((1 - F.cosine_similarity(z_v, frozen_v)).mean() + (1 - F.cosine_similarity(z_t, frozen_t)).mean())
    assert torch.allclose(model(video, PROMPTS).own_loss, by_hand, atol=1e-6)  # the residuals still add nothing


def test_the_residual_adds_a_tenth_of_its_network():
    residual, z = Residual(4), torch.randn(2, 4)
    assert torch.equal(residual(z), z)
    residual.outer.bias.data.fill_(1.0)
    assert torch.allclose(residual(z), z + 0.1)


def test_froster_keeps_its_anchor_frozen_and_out_of_the_file(clip):
    model = student("froster", clip).train()
    assert model.anchor.frames.is_frozen and not model.anchor.frames.training
    assert model.anchor.text_encoder.is_frozen
    names = set(model.state_dict())
    assert not any(name.startswith(("anchor.frames", "anchor.text_encoder")) for name in names)
    assert "anchor.video_residual.inner.weight" in names


@pytest.mark.parametrize(("kind", "choice", "text", "frames"), [
    ("vificlip", "auto", False, False),
    ("froster", "auto", False, False),
    ("xclip", "auto", True, None),
    ("vificlip", "text", True, False),
    ("vificlip", "video", False, True),
    ("xclip", "none", False, None),
])  # fmt: skip
def test_what_is_frozen(kind, choice, text, frames, clip):
    model = student(kind, clip)
    freeze_towers(model, choice)
    assert model.text_encoder.is_frozen == text
    if frames is not None:
        assert model.frames.is_frozen == frames
    with pytest.raises(ValueError, match="cannot freeze 'all'"):
        freeze_towers(model, "all")


@pytest.mark.slow
def test_new_weights_are_named(clip):
    for kind, expected in (("vificlip", set()), ("froster", {"anchor"}), ("xclip", {"network"})):
        names = untrained_weights(student(kind, clip))
        assert {name.split(".")[0] for name in names} == expected, kind
    new = untrained_weights(student("xclip", clip))
    assert "network.mit.position_embedding" in new and "network.visual_projection.weight" not in new


@pytest.mark.slow
def test_every_weight_that_is_trained_gets_a_gradient(clip, video):
    """DDP waits for gradients that never come."""
    for kind in KINDS:
        model = student(kind, clip).train()
        freeze_towers(model, "auto")
        output = model(video, PROMPTS)
        loss = output.similarity.sum() / model.temperature + (output.own_loss or 0.0)
        loss.backward()
        idle = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
        assert not idle, (kind, idle)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_offline_backbone_carries_every_student(kind, tmp_path):
    text = tiny_sentence_encoder(tmp_path)
    model = build_student(kind, backbone="efficientnet-lite0", text_encoder=text, num_frames=2, side=64).eval()
    video = torch.randint(0, 256, (1, 2, 3, 64, 64), dtype=torch.uint8)
    assert model(video, PROMPTS).similarity.shape == (1, 3)
    assert untrained_weights(model) and freeze(model.frames).backbone_id == "efficientnet-lite0"


def test_every_student_has_a_schedule():
    assert set(STUDENTS) == set(VIDEO_FINETUNE_SCHEDULES)


@pytest.mark.slow
def test_hostile_input(clip, video, tmp_path):
    with pytest.raises(ValueError, match="unknown student 'clip'; expected one of vificlip, xclip, froster"):
        build_student("clip", backbone=clip, num_frames=T)
    with pytest.raises(ValueError, match="has no text encoder of its own; give --text_encoder"):
        build_student("vificlip", backbone="efficientnet-lite0", num_frames=T)
    with pytest.raises(ValueError, match="features of width 12, its text encoder 16"):
        build_student("vificlip", backbone=clip, text_encoder=tiny_sentence_encoder(tmp_path), num_frames=T)
    with pytest.raises(ValueError, match="multiple of 32 pixels, found 100"):
        load_frame_encoder("efficientnet-lite0", out_width=8, side=100)
    with pytest.raises(ValueError, match="8x8 pixels, found 4x8"):
        student("vificlip", clip)(video[..., :4], PROMPTS)


def test_another_side_interpolates_the_position_embeddings(clip):
    model = build_student("vificlip", backbone=clip, num_frames=T, side=16)
    video = torch.randint(0, 256, (1, T, 3, 16, 16), dtype=torch.uint8)
    assert model.frames.patches(video).shape == (1, T, 16, 16)
    assert model(video, PROMPTS).z.shape == (1, 12)
