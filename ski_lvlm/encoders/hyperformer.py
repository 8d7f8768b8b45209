"""The skeleton encoder g_s: Hyperformer (Zhou et al. 2022), from joints in metres to tokens and their mean."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange, reduce
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from ski_lvlm.encoders.hyper_attention import PROJECTION_GROUPS, HyperAttention, hop_distances
from ski_lvlm.skeletons.layouts import Layout

TIME_BRANCHES = 4  # parallel temporal branches of a block, each with a quarter of the width


class SkeletonTokens(NamedTuple):
    """A batch of encoded clips: one token per remaining time step, and their mean z_s."""

    tokens: Float[Tensor, "B N F"]
    feature: Float[Tensor, "B F"]


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


def _strided(has_joint: Bool[Tensor, "N T J"], stride: int) -> Bool[Tensor, "N U J"]:
    """Return which joints are there in some of the frames of each time step that remains."""
    if stride == 1:
        return has_joint
    return F.max_pool2d(has_joint.float(), (stride, 1), ceil_mode=True) > 0


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


class Hyperformer(nn.Module):
    """Skeleton encoder g_s: ten blocks over joints and time, tokens averaged over joints and the persons present.

    A person who is absent from a whole clip is neither computed nor averaged in, nor do the blocks' batch norms see
    them. One who is absent for some frames is skipped in the mean at those time steps. A single joint that is absent
    from a frame is neither attended to nor averaged in there, and to its neighbours in time it is as beyond the clip's
    ends. Clips whose persons have all joints are encoded as if there were no such thing, to the bit.

    Paper: Sec. 3.1, and the skeleton tokens of Sec. 3.3 (256 x 216 for T_s = 1024).
    Deviation: the published network computes and averages an absent second person as one standing at the origin, which
    halves the feature of whoever is alone. Fed with zeros instead of NaN (Preprocessing's `absent`), this one does too.
    Assumption: the first batch norm, whose channels belong to persons, sees zeros for the absent as in the published
    network, so that released weights keep their statistics and a batch without a second person still trains.

    Args:
        layout: joints, bones and joint groups of the skeletons.
        num_heads: attention heads. The width F of a token is `num_heads * head_dim` and must divide by 12.
        head_dim: width of one head.
        depth: number of blocks.
        strided: blocks (counted from 1) that halve the time steps.
        in_channels: channels of a joint (3 for metres in space, 2 for pixels, more for stacked streams).
        num_persons: persons that the first batch norm distinguishes.
    """

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
        super().__init__()
        width = num_heads * head_dim
        if width % math.lcm(TIME_BRANCHES, PROJECTION_GROUPS):
            raise ValueError(
                f"num_heads * head_dim = {num_heads} * {head_dim} = {width} does not divide by 12; "
                "take for example 2 * 12, 4 * 24 or the published 9 * 24"
            )
        if in_channels % layout.dimensions:  # 3 channels a stream, joints of 2 coordinates, or the reverse
            layout.require_dimensions(5 - layout.dimensions)
        self.layout, self.num_heads, self.width = layout, num_heads, width
        self.in_channels, self.num_persons = in_channels, num_persons
        self.keep_statistics = False
        self.strides = tuple(2 if number in strided else 1 for number in range(1, depth + 1))
        hops = hop_distances(layout.bones, num_joints=layout.num_joints)
        self.entrance_norm = nn.BatchNorm1d(num_persons * layout.num_joints * in_channels)
        self.blocks = nn.ModuleList(
            Block(width if i else in_channels, width, num_heads=num_heads, hops=hops, groups=layout.groups, stride=s)
            for i, s in enumerate(self.strides)
        )

    def forward(self, skeleton: Float[Tensor, "B T M J C"]) -> SkeletonTokens:
        """Encode clips, in which NaN marks a person, or a joint of one, who is absent from a frame.

        Raises:
            ValueError: another joint layout or dimension than the encoder's, more persons, or a clip without anybody.
        """
        skeleton = self._checked(skeleton)
        present, has_joint = _presence(skeleton)
        features = self.feature_map(skeleton, present=present, has_joint=has_joint)
        per_person = _average_joints(features, None if has_joint is None else self._remaining(has_joint))
        return _average_persons(per_person, present=present)

    def feature_map(
        self,
        skeleton: Float[Tensor, "B T M J C"],
        *,
        present: Bool[Tensor, "B T M"],
        has_joint: Bool[Tensor, "N T J"] | None = None,
    ) -> Float[Tensor, "N F U J"]:
        """Return the last block's output for each of the N persons who are present in some frame, clip by clip.

        `has_joint` says which of their joints are there. With None, all are.
        """
        x = rearrange(skeleton.nan_to_num(0.0), "b t m j c -> b (m j c) t")
        x = rearrange(self.entrance_norm(x), "b (m j c) t -> b m t j c", m=self.num_persons, c=self.in_channels)
        x = rearrange(x[present.any(1)].contiguous(), "n t j c -> n c t j")  # channels-last through all blocks
        for block, stride in zip(self.blocks, self.strides, strict=True):
            x = block(_masked(x, has_joint), has_joint)
            has_joint = has_joint if has_joint is None else _strided(has_joint, stride)
        return _masked(x, has_joint)

    def _remaining(self, has_joint: Bool[Tensor, "N T J"]) -> Bool[Tensor, "N U J"]:
        """Return which joints are there at the time steps that the blocks leave."""
        for stride in self.strides:
            has_joint = _strided(has_joint, stride)
        return has_joint

    def train(self, mode: bool = True) -> "Hyperformer":
        """Enter training mode. With `keep_statistics` the batch norms keep using the statistics they have."""
        super().train(mode)
        if self.keep_statistics:
            for module in self.modules():
                if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.SyncBatchNorm):
                    module.eval()
        return self

    def num_tokens(self, num_frames: int) -> int:
        """Return the number of tokens of a clip: 16 for 64 frames, 75 for 300, 256 for 1024."""
        for stride in self.strides:
            num_frames = -(-num_frames // stride)
        return num_frames

    @property
    def settings(self) -> dict[str, int | str | list[int]]:
        """Constructor arguments as JSON, with the layout by its name."""
        return {
            "layout": self.layout.name,
            "num_heads": self.num_heads,
            "head_dim": self.width // self.num_heads,
            "depth": len(self.strides),
            "strided": [number for number, stride in enumerate(self.strides, start=1) if stride == 2],
            "in_channels": self.in_channels,
            "num_persons": self.num_persons,
        }

    def _checked(self, skeleton: Float[Tensor, "B T M J C"]) -> Float[Tensor, "B T P J C"]:
        _, _, persons, joints, channels = skeleton.shape
        if channels != self.in_channels:
            raise ValueError(
                f"the skeletons have {channels} channels a joint, this encoder takes {self.in_channels}: 2-D joints "
                "and other streams need an encoder of their own (in_channels), coordinates are never made up"
            )
        if joints != self.layout.num_joints:
            raise ValueError(
                f"the skeletons have {joints} joints, this encoder's layout {self.layout.name} has "
                f"{self.layout.num_joints}; use an encoder trained on that layout"
            )
        if persons > self.num_persons:
            raise ValueError(f"the skeletons hold {persons} persons, this encoder takes at most {self.num_persons}")
        missing = self.num_persons - persons
        return F.pad(skeleton, (0, 0, 0, 0, 0, missing), value=math.nan) if missing else skeleton


def _presence(
    skeleton: Float[Tensor, "B T M J C"],
) -> tuple[Bool[Tensor, "B T M"], Bool[Tensor, "N T J"] | None]:
    """Return which persons are present when, and which joints of those ever present they have, None for all.

    In frames without a person all joints count as there. There the person as a whole is left out.
    """
    absent = skeleton.isnan()
    unknown = absent.any(-1)
    if bool((unknown & ~absent.all(-1)).any()):
        raise ValueError("some channels of a joint are NaN and others are not; NaN must mark a joint that is absent")
    present = ~unknown.all(-1)
    somebody = present.flatten(1).any(1)
    if not bool(somebody.all()):
        empty = (~somebody).nonzero().flatten().tolist()
        raise ValueError(f"clips {empty} of the batch show nobody in any frame; leave them out")
    single = unknown & present[..., None]
    if not bool(single.any()):
        return present, None
    return present, rearrange(~single, "b t m j -> b m t j")[present.any(1)]


def _average_joints(
    features: Float[Tensor, "N F U J"], has_joint: Bool[Tensor, "N U J"] | None
) -> Float[Tensor, "N U F"]:
    """Average over the joints that are there at each time step. The others are zeros."""
    if has_joint is None:
        return reduce(features, "n c u j -> n u c", "mean")
    number = has_joint.sum(-1, keepdim=True).clamp(min=1).to(features.dtype)
    return reduce(features, "n c u j -> n u c", "sum") / number


def _average_persons(per_person: Float[Tensor, "N U F"], *, present: Bool[Tensor, "B T M"]) -> SkeletonTokens:
    """Average over the persons present at each time step, and over all of the clip where nobody is."""
    ever = present.any(1)
    index = ever.nonzero()
    presence = F.adaptive_max_pool1d(rearrange(present.float(), "b t m -> b m t"), per_person.shape[1])
    presence = torch.where(presence.any(1, keepdim=True), presence, ever[..., None].float())
    weight = presence / presence.sum(1, keepdim=True)
    weight = weight[index[:, 0], index[:, 1]].to(per_person.dtype)
    tokens = per_person.new_zeros(len(ever), *per_person.shape[1:])
    tokens = tokens.index_add(0, index[:, 0], per_person * weight[..., None])
    return SkeletonTokens(tokens, tokens.mean(1))


class ActionClassifier(nn.Module):
    """Hyperformer with the linear layer over action classes that it is pretrained with."""

    def __init__(self, encoder: Hyperformer, *, num_classes: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(encoder.width, num_classes)
        nn.init.normal_(self.head.weight, 0.0, math.sqrt(2.0 / num_classes))

    def forward(self, skeleton: Float[Tensor, "B T M J _"]) -> Float[Tensor, "B C"]:
        """Return one score for every action class."""
        return self.head(self.encoder(skeleton).feature)
