"""Where a student looks: heat maps over the frames of one clip, by Grad-CAM or by attention rollout.

Paper: Figure 3, Appendix B (Grad-CAM; the method's layer and target are not given there).
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float, UInt8
from torch import Tensor, nn
from transformers.models.clip.modeling_clip import CLIPEncoderLayer
from transformers.models.siglip.modeling_siglip import SiglipEncoderLayer, SiglipMultiheadAttentionPoolingHead
from transformers.models.x_clip.modeling_x_clip import XCLIPVisionEncoderLayer

from ski_lvlm.encoders.efficientnet import EfficientNetLite0

_BEFORE_PATCHES = {CLIPEncoderLayer: 1, SiglipEncoderLayer: 0, XCLIPVisionEncoderLayer: 1}  # class tokens
_BLOCKS = tuple(_BEFORE_PATCHES)


class AttentionMapError(ValueError):
    """No map of this kind can be made of this student."""


class TokenLayer(NamedTuple):
    """A module that returns a frame's tokens [B N F], of which those from `first` on, as many as fit, are its grid."""

    module: nn.Module
    first: int = 0


def gradcam(
    student: Any,  # noqa: ANN401  # a student, or whatever is called like one
    video: UInt8[Tensor, "T 3 H W"],
    prompts: Sequence[str],
    *,
    target: int,
    layer: TokenLayer | None = None,
) -> Float[Tensor, "T H W"]:
    """Heat where a frame's content speaks for class `target`: 0 … 1, the clip's hottest pixel is 1.

    Every feature of the grid is weighed by the mean gradient, over the frame's places, of the target's cosine; what
    speaks against the class is cut off. A clip in which nothing speaks for it has no heat at all.

    Paper: Figure 3.
    Assumption: the layer is the last whose patches are still on their way to the video feature: EfficientNet's grid
    before pooling, and of a transformer the tokens that enter its last block's attention, since behind it only the
    class token is read. (The patches that X-CLIP's prompts heed pass that block's attention by, too; this is not seen.)

    Raises:
        AttentionMapError: no such layer is known in this student, or no such class.
    """
    if not 0 <= target < len(prompts):
        raise AttentionMapError(f"class {target} is none of the {len(prompts)} prompts; count them from 0")
    tokens, first = layer or token_layer(student)
    with torch.enable_grad(), _leaves(tokens) as leaves:
        similarity = student(rearrange(video, "t c h w -> 1 t c h w"), prompts).similarity
        gradients = torch.autograd.grad(similarity[0, target], leaves)
    heat = grid_heat(torch.cat(leaves).detach()[:, first:], torch.cat(gradients)[:, first:])
    return upsample(heat, size=(video.shape[-2], video.shape[-1]))


def grid_heat(tokens: Float[Tensor, "T N F"], gradients: Float[Tensor, "T N F"]) -> Float[Tensor, "T h w"]:
    """Grad-CAM of each frame's square grid; tokens behind the last full square are no patches and left out.

    >>> tokens, gradients = torch.tensor([[[2.0], [0.0], [1.0], [-1.0]]]), torch.ones(1, 4, 1)
    >>> grid_heat(tokens, gradients).tolist()
    [[[2.0, 0.0], [1.0, 0.0]]]
    """
    side = math.isqrt(tokens.shape[1])
    tokens, gradients = tokens[:, : side**2].float(), gradients[:, : side**2].float()
    weights = gradients.mean(dim=1, keepdim=True)
    return rearrange((weights * tokens).sum(-1).relu(), "t (h w) -> t h w", h=side)


def upsample(heat: Float[Tensor, "T h w"], *, size: tuple[int, int]) -> Float[Tensor, "T H W"]:
    """The grid's heat at every pixel (height, width), bilinear between the patches' middles, divided by its maximum."""
    fine = F.interpolate(heat[:, None], size=size, mode="bilinear", align_corners=False)[:, 0]
    hottest = fine.max()
    return fine / hottest if hottest > 0 else fine


def token_layer(student: nn.Module) -> TokenLayer:
    """The layer that Grad-CAM looks at.

    Raises:
        AttentionMapError: the student has none of the known backbones: EfficientNet, CLIP, SigLIP, X-CLIP.
    """
    for module in _image_modules(student):
        if isinstance(module, EfficientNetLite0):
            return TokenLayer(module)
    last = _blocks(student)[-1]
    return TokenLayer(last.layer_norm1, _BEFORE_PATCHES[type(last)])


@torch.no_grad()
def rollout(student: Any, video: UInt8[Tensor, "T 3 H W"], prompts: Sequence[str]) -> Float[Tensor, "T H W"]:  # noqa: ANN401
    """How much of each place is in what the backbone makes of a frame, following the attention through all layers.

    It asks for no class: `prompts` are there because a student compares with some. 0 … 1 as `gradcam`.

    Assumption: attention rollout as it was first proposed: mean over heads, half of a token is what it was before.
    The messages that X-CLIP's frames send each other are left out, since they come from no place.

    Raises:
        AttentionMapError: the backbone has no attention.
    """
    blocks = _blocks(student)
    heads = [m for m in _image_modules(student) if isinstance(m, SiglipMultiheadAttentionPoolingHead)]
    with ExitStack() as stack:
        layers = [stack.enter_context(_attention(block.self_attn)) for block in blocks]
        pooling = [stack.enter_context(_attention(head.attention)) for head in heads[:1]]
        student(rearrange(video, "t c h w -> 1 t c h w"), prompts)
    first = _BEFORE_PATCHES[type(blocks[0])]
    size = math.isqrt(layers[0][0].shape[-1] - first)
    flow = rolled([torch.cat(calls)[..., : first + size**2, : first + size**2] for calls in layers])
    seen = torch.einsum("t n, t n m -> t m", torch.cat(pooling[0])[:, 0], flow) if pooling else flow[:, 0]
    grid = rearrange(seen[:, first:], "t (h w) -> t h w", h=size)
    return upsample(grid, size=(video.shape[-2], video.shape[-1]))


def rolled(attention: Sequence[Float[Tensor, "B heads N N"]]) -> Float[Tensor, "B N N"]:
    """The product of all layers' attention; row i says what share of each first token is in the last token i.

    >>> rolled([torch.tensor([[[[0.0, 1.0], [0.0, 1.0]]]])]).tolist()
    [[[0.5, 0.5], [0.0, 1.0]]]
    """
    flow = torch.eye(attention[0].shape[-1], device=attention[0].device).expand(len(attention[0]), -1, -1)
    for layer in attention:
        mean = layer.float().mean(1)
        mixed = mean / mean.sum(-1, keepdim=True) + torch.eye(mean.shape[-1], device=mean.device)
        flow = (mixed / 2) @ flow
    return flow


def share_inside(heat: Float[np.ndarray, "T H W"], inside: Bool[np.ndarray, "T H W"]) -> float | None:
    """Which share of a clip's heat lies inside a region; None if it has no heat."""
    total = float(heat.sum(dtype=np.float64))
    return float(heat[inside].sum(dtype=np.float64)) / total if total > 0 else None


def discs(
    points: Sequence[Float[np.ndarray, "_ 2"]], *, size: tuple[int, int], radius: float
) -> Bool[np.ndarray, "T H W"]:
    """The pixels of each frame whose middle is within `radius` pixels of one of the frame's points (x, y).

    >>> int(discs([np.array([[1.5, 1.5]])], size=(3, 3), radius=1.0).sum())
    5
    """
    y, x = np.mgrid[: size[0], : size[1]] + 0.5
    frames = [
        ((x[..., None] - at[:, 0]) ** 2 + (y[..., None] - at[:, 1]) ** 2 <= radius**2).any(axis=-1) for at in points
    ]
    return np.stack(frames)


def _image_modules(student: nn.Module) -> Iterator[nn.Module]:
    """What looks at frames: not the text tower, whose layers are of the same kinds, nor FROSTER's frozen copy."""
    for name in ("frames", "network"):  # an X-CLIP's blocks are in the second
        if isinstance(part := getattr(student, name, None), nn.Module):
            yield from part.modules()


def _blocks(student: nn.Module) -> list[Any]:
    blocks = [module for module in _image_modules(student) if isinstance(module, _BLOCKS)]
    if not blocks:
        raise AttentionMapError(
            f"the image backbone of this {type(student).__name__} has no transformer layers of a known kind; attention "
            "rollout needs a student on a CLIP or SigLIP backbone: choose one, or make the map with gradcam"
        )
    return blocks


@contextmanager
def _leaves(module: nn.Module) -> Iterator[list[Tensor]]:
    """What the module returns, call by call, cut off from what lies before it, so that gradients end there."""
    leaves: list[Tensor] = []

    def cut(_: nn.Module, __: Any, output: Tensor) -> Tensor:  # noqa: ANN401
        leaves.append(output.detach().requires_grad_(True))
        return leaves[-1]

    handle = module.register_forward_hook(cut)
    try:
        yield leaves
    finally:
        handle.remove()


@contextmanager
def _attention(module: nn.Module) -> Iterator[list[Tensor]]:
    """The attention weights of a layer, call by call; kernels that do not return them are set aside meanwhile."""
    weights: list[Tensor] = []
    config: Any = getattr(module, "config", None)
    kernel = config and config._attn_implementation
    handle = module.register_forward_hook(lambda _, __, output: weights.append(output[1]))
    if config:
        config._attn_implementation = "eager"
    try:
        yield weights
    finally:
        handle.remove()
        if config:
            config._attn_implementation = kernel
