import numpy as np
import pytest
import torch
from einops import rearrange
from torch import nn
from transformers import CLIPVisionConfig, CLIPVisionModel, SiglipVisionConfig, SiglipVisionModel
from transformers.models.x_clip.configuration_x_clip import XCLIPVisionConfig
from transformers.models.x_clip.modeling_x_clip import XCLIPVisionModel

from scripts.figures.joints import discs, share_inside
from ski_lvlm.dual_encoders.attention_maps import (
    AttentionMapError,
    TokenLayer,
    gradcam,
    grid_heat,
    rolled,
    rollout,
    token_layer,
    upsample,
)
from ski_lvlm.dual_encoders.language import InLanguage
from ski_lvlm.encoders.efficientnet import EfficientNetLite0

PROMPTS = ["a photo of a drink water.", "a photo of a hand waving."]
VISION = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 7,
}


class Patches(nn.Module):
    """4 x 4 patches of a frame, each its mean brightness and a one."""

    def forward(self, frames):
        grid = nn.functional.avg_pool2d(frames.mean(1, keepdim=True), frames.shape[-1] // 4) / 255
        tokens = rearrange(grid, "b 1 h w -> b (h w) 1")
        return torch.cat([tokens, torch.ones_like(tokens)], -1)


class OnePatch(nn.Module):
    """Class 0 reads patch (1, 2) of frame `frame`, and class 1 its negative."""

    def __init__(self, frame=1):
        super().__init__()
        self.frames, self.frame = Patches(), frame

    def forward(self, video, prompts):
        tokens = rearrange(self.frames(video[0].float()), "t (h w) f -> t h w f", h=4)
        score = tokens[self.frame, 1, 2, 0]
        return InLanguage(score[None, None], torch.stack([score, -score])[None])


class OnBackbone(nn.Module):
    """A student on any backbone: classes read two features of the mean over frames."""

    def __init__(self, backbone, pooled):
        super().__init__()
        self.frames, self.pooled = backbone, pooled

    def image_towers(self):
        return (self.frames,)

    def forward(self, video, prompts):
        z = self.pooled(self.frames(video[0].float() / 255)).mean(0, keepdim=True)
        return InLanguage(z, nn.functional.normalize(z, dim=-1)[:, : len(prompts)])


def transformer(family, frames=3):
    torch.manual_seed(0)
    if family == "clip":
        backbone = CLIPVisionModel(CLIPVisionConfig(**VISION, initializer_factor=8.0))
    elif family == "siglip":
        backbone = SiglipVisionModel(SiglipVisionConfig(**VISION))
    else:
        mit = {"mit_hidden_size": 16, "mit_intermediate_size": 32, "mit_num_hidden_layers": 1}
        backbone = XCLIPVisionModel(XCLIPVisionConfig(**VISION, **mit, num_frames=frames, initializer_factor=8.0))
    return OnBackbone(backbone, lambda output: output.pooler_output).eval()


def clip_of(frames=3, side=28, seed=0):
    return torch.randint(
        0, 256, (frames, 3, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed)
    )


def hottest(heat):
    return np.unravel_index(int(heat.argmax()), heat.shape)


def test_a_score_that_depends_on_one_patch_puts_the_heat_there_and_only_there():
    student = OnePatch(frame=1)
    heat = gradcam(student, clip_of(), PROMPTS, target=0, layer=TokenLayer(student.frames))
    bright = student.frames(clip_of().float())[1, :, 0].argmax().item()
    assert heat.shape == (3, 28, 28) and heat.max() == 1
    assert heat[[0, 2]].max() == 0, "the other frames say nothing"
    assert hottest(heat)[0] == 1
    row, column = hottest(heat)[1] // 7, hottest(heat)[2] // 7
    assert row * 4 + column == bright, "Grad-CAM weighs the feature, whose value is largest in the brightest patch"
    assert not gradcam(student, clip_of(), PROMPTS, target=1, layer=TokenLayer(student.frames)).any()


def test_heat_is_where_the_only_patch_with_content_is():
    student, video = OnePatch(), torch.zeros(3, 3, 28, 28, dtype=torch.uint8)
    video[:, :, 7:14, 14:21] = 255
    heat = gradcam(student, video, PROMPTS, target=0, layer=TokenLayer(student.frames))
    assert heat[1, 10, 17] == 1 and heat[1, 10, 3] == 0 and heat[1, 24, 17] == 0


def test_grid_heat_is_grad_cam():
    generator = torch.Generator().manual_seed(0)
    tokens, gradients = torch.randn(2, 2, 9, 5, generator=generator)
    heat = grid_heat(tokens, gradients)
    for t in range(2):
        alpha = gradients[t].sum(0) / 9
        expected = [max(0.0, float(alpha @ tokens[t, p])) for p in range(9)]
        assert torch.allclose(heat[t].flatten(), torch.tensor(expected), atol=1e-6)


def test_a_token_behind_the_grid_is_left_out():
    tokens, gradients = torch.ones(1, 5, 1), torch.ones(1, 5, 1)
    tokens[0, 4], gradients[0, 4] = 100, 100
    torch.testing.assert_close(grid_heat(tokens, gradients), torch.ones(1, 2, 2))


def test_upsampling_puts_a_patch_on_its_own_pixels():
    grid = torch.zeros(1, 4, 4)
    grid[0, 3, 0] = 0.5
    fine = upsample(grid, size=(32, 64))
    assert fine.shape == (1, 32, 64) and fine.max() == 1
    assert fine[0, 28, 8] > 0.8 and not fine[0, :16].any() and not fine[0, :, 32:].any()
    assert not upsample(torch.zeros(1, 4, 4), size=(8, 8)).isnan().any()


@pytest.mark.parametrize("family", ["clip", "siglip", "xclip"])
def test_gradcam_of_a_transformer_is_the_gradient_at_its_last_block(family):
    student = transformer(family)
    heat = gradcam(student, clip_of(), PROMPTS, target=1)
    block = student.frames.encoder.layers[-1]
    outputs = []
    handle = block.layer_norm1.register_forward_hook(lambda _, __, output: outputs.append(output))
    similarity = student(clip_of()[None], PROMPTS).similarity[0, 1]
    handle.remove()
    (gradient,) = torch.autograd.grad(similarity, outputs)
    first = 0 if family == "siglip" else 1
    expected = grid_heat(outputs[0].detach()[:, first : first + 16], gradient[:, first : first + 16])
    assert heat.shape == (3, 28, 28) and heat.max() == 1, "a map of nothing but zeros would mean the wrong layer"
    assert torch.allclose(heat, upsample(expected, size=(28, 28)), atol=1e-5)


def test_gradcam_leaves_no_trace_in_the_student():
    student = transformer("clip")
    before = student(clip_of()[None], PROMPTS).similarity
    gradcam(student, clip_of(), PROMPTS, target=0)
    rollout(student, clip_of(), PROMPTS)
    assert torch.equal(student(clip_of()[None], PROMPTS).similarity, before)
    assert all(parameter.grad is None for parameter in student.parameters())
    assert not any(module._forward_hooks for module in student.modules())
    assert student.frames.config._attn_implementation == transformer("clip").frames.config._attn_implementation


@pytest.mark.slow
def test_the_grid_of_efficientnet_is_found_whatever_it_is_wrapped_in():
    torch.manual_seed(0)
    net = EfficientNetLite0()
    student = OnBackbone(nn.Sequential(nn.Identity(), net), lambda grid: grid.mean(1)).eval()
    assert token_layer(student) == TokenLayer(net)
    heat = gradcam(student, clip_of(frames=2, side=224), PROMPTS, target=0)
    assert heat.shape == (2, 224, 224) and heat.max() == 1 and heat.min() >= 0
    with pytest.raises(AttentionMapError, match="no transformer layers.*gradcam"):
        rollout(student, clip_of(frames=2, side=224), PROMPTS)


def test_a_class_that_is_not_there_is_refused():
    with pytest.raises(AttentionMapError, match="class 2 is none of the 2 prompts"):
        gradcam(OnePatch(), clip_of(), PROMPTS, target=2)


def test_rows_of_the_rolled_attention_sum_to_one():
    attention = [torch.rand(2, 3, 6, 6, generator=torch.Generator().manual_seed(i)).softmax(-1) for i in range(4)]
    flow = rolled(attention)
    assert torch.allclose(flow.sum(-1), torch.ones(2, 6), atol=1e-6) and (flow >= 0).all()


def test_rolled_multiplies_later_layers_from_the_left():
    to_second = torch.tensor([[0.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])[None, None]
    to_third = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 1.0]])[None, None]
    assert rolled([to_second, to_third])[0, 0].tolist() == pytest.approx([0.5, 0.5, 0.0])
    assert rolled([to_third, to_second])[0, 0].tolist() == pytest.approx([0.5, 0.25, 0.25])


@pytest.mark.parametrize("family", ["clip", "siglip", "xclip"])
def test_rollout_follows_the_attention_of_every_layer(family):
    student = transformer(family)
    student.frames.config._attn_implementation = "sdpa"
    heat = rollout(student, clip_of(), PROMPTS)
    assert heat.shape == (3, 28, 28) and heat.max() == 1 and heat.min() >= 0
    assert (heat.amax((1, 2)) > heat.amin((1, 2))).all(), "every frame has its own map"
    assert student.frames.config._attn_implementation == "sdpa"
    assert not any(module._forward_hooks for module in student.modules())


def test_rollout_of_clip_is_its_class_tokens_row():
    student = transformer("clip")
    student.frames.set_attn_implementation("eager")
    pixels = clip_of().float() / 255
    attention = student.frames(pixels, output_attentions=True).attentions
    flow = torch.eye(17)
    for layer in attention:
        flow = (layer.mean(1) + torch.eye(17)) / 2 @ flow
    expected = rearrange(flow[:, 0, 1:], "t (h w) -> t h w", h=4)
    heat = rollout(student, clip_of(), PROMPTS)
    assert torch.allclose(heat, upsample(expected, size=(28, 28)), atol=1e-5)


def test_the_share_of_heat_inside_a_region():
    heat, inside = np.zeros((1, 4, 4), np.float32), np.zeros((1, 4, 4), bool)
    heat[0, 0, 0], heat[0, 3, 3], inside[0, 0] = 3, 1, True
    assert share_inside(heat, inside) == 0.75
    assert share_inside(np.zeros_like(heat), inside) is None


def test_discs_are_around_the_points_of_their_own_frame():
    points = [np.array([[8.0, 4.0]]), np.empty((0, 2)), np.array([[-9.0, -9.0], [15.5, 15.5]])]
    inside = discs(points, size=(16, 16), radius=3.0)
    assert inside[0, 4, 8] and inside[0, 4, 10] and not inside[0, 8, 4] and abs(inside[0].sum() - np.pi * 9) < 4
    assert not inside[1].any() and inside[2, 15, 15] and not inside[2, 0, 0]
