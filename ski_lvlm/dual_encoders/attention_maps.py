"""Heat maps of a student over the frames of one clip, by Grad-CAM or by attention rollout.

Paper: Figure 3, Appendix B (Grad-CAM, without the method's layer and target).
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, UInt8
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
    """A module that returns a frame's tokens [B N F], and the number of the first token of its grid."""

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
    """Return the heat where a frame's content speaks for class `target`, from 0 to 1 at the clip's hottest pixel.

    Every feature of the grid is weighted by the mean gradient of the target's cosine over the frame. Evidence against
    the class is cut off. A clip without evidence for it has no heat at all.

    Paper: Figure 3.
    Assumption: the layer is the last whose patches still reach the video feature: EfficientNet's grid before pooling,
    and of a transformer the tokens that enter its last block's attention, since only the class token is read after it.
    (X-CLIP's video prompts read patches that bypass that block's attention, which this leaves out.)

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
    """Return Grad-CAM of each frame's square grid. Tokens after the last full square are no patches.

    >>> tokens, gradients = torch.tensor([[[2.0], [0.0], [1.0], [-1.0]]]), torch.ones(1, 4, 1)
    >>> grid_heat(tokens, gradients).tolist()
    [[[2.0, 0.0], [1.0, 0.0]]]
    """
    side = math.isqrt(tokens.shape[1])
    tokens, gradients = tokens[:, : side**2].float(), gradients[:, : side**2].float()
    weights = gradients.mean(dim=1, keepdim=True)
    return rearrange((weights * tokens).sum(-1).relu(), "t (h w) -> t h w", h=side)


def upsample(heat: Float[Tensor, "T h w"], *, size: tuple[int, int]) -> Float[Tensor, "T H W"]:
    """Interpolate the grid's heat to every pixel (height, width), and divide it by its maximum."""
    fine = F.interpolate(heat[:, None], size=size, mode="bilinear", align_corners=False)[:, 0]
    hottest = fine.max()
    return fine / hottest if hottest > 0 else fine


def token_layer(student: nn.Module) -> TokenLayer:
    """Return the layer whose tokens Grad-CAM weights.

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
    """Return the share of each place in the backbone's feature of a frame, following the attention of all layers.

    It explains no class: `prompts` are only what the student is run with. From 0 to 1 as `gradcam`.

    Assumption: attention rollout as first proposed: mean over heads, half of a token is its previous value. The
    messages between X-CLIP's frames do not count, since they belong to no place.

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
    received = torch.einsum("t n, t n m -> t m", torch.cat(pooling[0])[:, 0], flow) if pooling else flow[:, 0]
    grid = rearrange(received[:, first:], "t (h w) -> t h w", h=size)
    return upsample(grid, size=(video.shape[-2], video.shape[-1]))


def rolled(attention: Sequence[Float[Tensor, "B heads N N"]]) -> Float[Tensor, "B N N"]:
    """Return the product of all layers' attention. Row i has the shares of the first tokens in last token i.

    >>> rolled([torch.tensor([[[[0.0, 1.0], [0.0, 1.0]]]])]).tolist()
    [[[0.5, 0.5], [0.0, 1.0]]]
    """
    flow = torch.eye(attention[0].shape[-1], device=attention[0].device).expand(len(attention[0]), -1, -1)
    for layer in attention:
        mean = layer.float().mean(1)
        mixed = mean / mean.sum(-1, keepdim=True) + torch.eye(mean.shape[-1], device=mean.device)
        flow = (mixed / 2) @ flow
    return flow


def _image_modules(student: Any) -> Iterator[nn.Module]:  # noqa: ANN401
    """Yield the modules of the image backbone, without the text tower or FROSTER's frozen copy."""
    for tower in student.image_towers():
        yield from tower.modules()


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
    """Collect the module's outputs, call by call, detached from earlier layers, so that gradients end there."""
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
    """Collect the attention weights of a layer, call by call, with the one kernel that returns them."""
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
