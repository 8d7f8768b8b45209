"""The skeleton encoder g_s: Hyperformer (Zhou et al. 2022), from joints in metres to tokens and their mean."""

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from ski_lvlm.encoders.hyper_attention import PROJECTION_GROUPS, HyperAttention, hop_distances
from ski_lvlm.encoders.skeleton_encoder import SkeletonEncoder
from ski_lvlm.skeletons.layouts import Layout

TIME_BRANCHES = 4  # parallel temporal branches of a block, each with a quarter of the width


class TimeConv(nn.Module):
    """Four views of a joint's motion side by side: two dilated convolutions, a maximum, and the value itself.

    The 1x1 convolutions at the head of the published network's branches are one convolution here, and so are the batch
    norms at their ends: the same numbers from fewer, larger operations.
    """

    def __init__(self, width: int, *, stride: int) -> None:
        super().__init__()
        quarter = width // TIME_BRANCHES
        self.stride, self.quarter = stride, quarter
        self.entrance = nn.Conv2d(width, width, kernel_size=1)
        self.entrance_norm = nn.BatchNorm2d(3 * quarter)
        self.short = nn.Conv2d(quarter, quarter, (5, 1), stride=(stride, 1), padding=(2, 0))
        self.long = nn.Conv2d(quarter, quarter, (5, 1), stride=(stride, 1), padding=(4, 0), dilation=(2, 1))
        self.exit_norm = nn.BatchNorm2d(width)
        _initialise(self.entrance, branches=TIME_BRANCHES)
        _initialise(self.short)
        _initialise(self.long)
        for norm in (self.entrance_norm, self.exit_norm):
            nn.init.normal_(norm.weight, 1.0, 0.02)

    def forward(
        self, x: Float[Tensor, "N C T J"], has_joint: Bool[Tensor, "N T J"] | None = None
    ) -> Float[Tensor, "N C U J"]:
        """Convolve every joint over time. A stride of 2 halves the time steps, rounding up.

        Where a joint is absent, its neighbours in time see what they see beyond the ends of a clip: zeros.
        """
        moving, still = self.entrance(x).split((3 * self.quarter, self.quarter), dim=1)
        moving = moving.contiguous(memory_format=torch.channels_last)  # or batch norm takes a slow way, above all back
        moving = F.relu(self.entrance_norm(moving))
        short, long, peak = _masked(moving, has_joint).split(self.quarter, dim=1)
        peak = F.max_pool2d(peak, (3, 1), stride=(self.stride, 1), padding=(1, 0))
        branches = (self.short(short), self.long(long), peak, still[:, :, :: self.stride])
        return self.exit_norm(torch.cat(branches, dim=1))


def _masked(x: Float[Tensor, "N C T J"], has_joint: Bool[Tensor, "N T J"] | None) -> Float[Tensor, "N C T J"]:
    """Set absent joints to zero."""
    return x if has_joint is None else x * has_joint[:, None]


def _initialise(conv: nn.Conv2d, *, branches: int = 1) -> None:
    """Initialise as the published network does, each of the merged branches as a convolution of its own."""
    for weight in conv.weight.data.split(conv.out_channels // branches):
        nn.init.kaiming_normal_(weight, mode="fan_out")
    assert conv.bias is not None
    nn.init.zeros_(conv.bias)


class Block(nn.Module):
    """Attention over the joints, then convolution over time, with a residual around both."""

    def __init__(
        self,
        in_width: int,
        width: int,
        *,
        num_heads: int,
        hops: Int[np.ndarray, "J J"],
        groups: Sequence[int],
        stride: int,
    ) -> None:
        super().__init__()
        self.attention = HyperAttention(in_width, width, num_heads=num_heads, hops=hops, groups=groups)
        self.time = TimeConv(width, stride=stride)
        self.residual: nn.Module = nn.Identity()
        if in_width != width or stride != 1:
            conv = nn.Conv2d(in_width, width, kernel_size=1)
            _initialise(conv)
            self.residual = nn.Sequential(conv, nn.BatchNorm2d(width))

    def forward(
        self, x: Float[Tensor, "N C T J"], has_joint: Bool[Tensor, "N T J"] | None = None
    ) -> Float[Tensor, "N D U J"]:
        """Attend and convolve. Both tensors are channels-last in memory, where convolutions are fast."""
        attended = rearrange(self.attention(rearrange(x, "n c t j -> n t j c"), has_joint), "n t j c -> n c t j")
        # strided here, since oneDNN's issue 6035: the gradient of a strided 1x1 convolution of few channels, several
        # threads at work, is written beyond its memory
        return F.relu(self.time(attended, has_joint) + self.residual(x[:, :, :: self.time.stride]))


class Hyperformer(SkeletonEncoder):
    """Skeleton encoder g_s: ten blocks over joints and time, tokens averaged over joints and the persons present.

    The blocks' batch norms do not see a person who is absent from a whole clip. A single joint that is absent from a
    frame is neither attended to nor averaged in there, and to its neighbours in time it is as beyond the clip's ends.
    Clips whose persons have all joints are encoded as if there were no such thing, to the bit.

    Paper: Sec. 3.1, and the skeleton tokens of Sec. 3.3 (256 x 216 for T_s = 1024).
    Deviation: the published network computes and averages an absent second person as one standing at the origin, which
    halves the feature of whoever is alone. Fed with zeros instead of NaN (Preprocessing's `absent`), this one does too.

    Args:
        layout: joints, bones and joint groups of the skeletons.
        num_heads: attention heads. The width F of a token is `num_heads * head_dim` and must divide by 12.
        head_dim: width of one head.
        depth: number of blocks.
        strided: blocks (counted from 1) that halve the time steps.
        in_channels: channels of a joint (3 for metres in space, 2 for pixels, more for stacked streams).
        num_persons: persons that the first batch norm distinguishes.
    """

    network: ClassVar[str] = "hyperformer"
    title: ClassVar[str] = "Hyperformer"
    sizes: ClassVar[tuple[str, ...]] = ("num_heads", "head_dim", "depth", "strided")
    has_partial_steps: ClassVar[bool] = True

    def __init__(
        self,
        *,
        layout: Layout,
        num_heads: int = 9,
        head_dim: int = 24,
        depth: int = 10,
        strided: Sequence[int] = (5, 8),
        in_channels: int = 3,
        num_persons: int = 2,
    ) -> None:
        width = num_heads * head_dim
        if width % math.lcm(TIME_BRANCHES, PROJECTION_GROUPS):
            raise ValueError(
                f"num_heads * head_dim = {num_heads} * {head_dim} = {width} does not divide by 12; "
                "take for example 2 * 12, 4 * 24 or the published 9 * 24"
            )
        super().__init__(
            layout=layout,
            width=width,
            depth=depth,
            strided=strided,
            in_channels=in_channels,
            num_persons=num_persons,
        )
        self.num_heads = num_heads
        hops = hop_distances(layout.bones, num_joints=layout.num_joints)
        self.blocks = nn.ModuleList(
            Block(width if i else in_channels, width, num_heads=num_heads, hops=hops, groups=layout.groups, stride=s)
            for i, s in enumerate(self.strides)
        )

    def feature_map(
        self,
        skeleton: Float[Tensor, "B T M J C"],
        *,
        present: Bool[Tensor, "B T M"],
        has_joint: Bool[Tensor, "N T J"] | None = None,
    ) -> Float[Tensor, "N F U J"]:
        """Return the last block's output. The memory is channels-last through all blocks."""
        x = rearrange(self.entered(skeleton, present).contiguous(), "n t j c -> n c t j")
        for block, stride in zip(self.blocks, self.strides, strict=True):
            x = block(_masked(x, has_joint), has_joint)
            has_joint = has_joint if has_joint is None else self.halved(has_joint, stride)
        return _masked(x, has_joint)

    @property
    def own_settings(self) -> dict[str, Any]:
        """Return the sizes of heads and the number of blocks."""
        return {"num_heads": self.num_heads, "head_dim": self.width // self.num_heads, "depth": len(self.strides)}
