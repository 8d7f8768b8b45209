"""The skeleton encoder Shift-GCN (Cheng et al. 2020): joints and frames exchange channels, and no graph is needed.

Within the blocks a tensor is (J C T N): joints, channels, time steps, persons of the batch. So a shift between joints
and one in time both move whole rows of memory.
"""

import math
from typing import ClassVar

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from ski_lvlm.encoders.graph_encoder import GraphEncoder
from ski_lvlm.encoders.temporal_shift import TemporalShift


def joint_shift(num_joints: int, num_channels: int) -> Int[Tensor, " JC"]:
    """Return the flat positions that joints take channels from: channel j of joint i from joint i + j, in a circle.

    >>> joint_shift(3, 2).tolist()
    [0, 3, 2, 5, 4, 1]
    """
    joint, channel = torch.arange(num_joints)[:, None], torch.arange(num_channels)
    return ((joint + channel) % num_joints * num_channels + channel).flatten()


def _normed(norm: nn.BatchNorm1d, x: Float[Tensor, "J C T N"]) -> Float[Tensor, "J C T N"]:
    """Apply a batch norm of C channels, or one of J * C."""
    lines = x.flatten(2)
    return norm(lines if norm.num_features == x.shape[1] else lines.flatten(0, 1)[None]).view(x.shape)


def _masked(x: Float[Tensor, "J C T N"], has_joint: Bool[Tensor, "J 1 T N"] | None) -> Float[Tensor, "J C T N"]:
    """Set absent joints to zero."""
    return x if has_joint is None else x * has_joint


class Pointwise(nn.Module):
    """A linear layer over the channels of every joint, the 1x1 convolution of the published network."""

    def __init__(self, in_width: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width, in_width).normal_(0.0, math.sqrt(2.0 / width)))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Float[Tensor, "J C T N"]) -> Float[Tensor, "J D T N"]:
        """Map the channels."""
        weight = self.weight.expand(len(x), -1, -1)
        return torch.baddbmm(self.bias[:, None], weight, x.flatten(2)).unflatten(2, x.shape[2:])


class Projection(nn.Module):
    """A linear layer and a batch norm, for a residual that changes its width or its time steps."""

    def __init__(self, in_width: int, width: int) -> None:
        super().__init__()
        self.linear, self.norm = Pointwise(in_width, width), nn.BatchNorm1d(width)

    def forward(self, x: Float[Tensor, "J C T N"]) -> Float[Tensor, "J D T N"]:
        """Map and normalise the channels."""
        return _normed(self.norm, self.linear(x))


class JointShift(nn.Module):
    """The spatial part of a block: a shift, a linear layer whose inputs are weighted by joint, and the shift back."""

    shift_in: Tensor
    shift_out: Tensor

    def __init__(self, in_width: int, width: int, *, num_joints: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(in_width, width).normal_(0.0, math.sqrt(1.0 / width)))
        self.bias = nn.Parameter(torch.zeros(width))
        self.mask = nn.Parameter(torch.zeros(num_joints, in_width))
        self.norm = nn.BatchNorm1d(num_joints * width)
        self.skip = Projection(in_width, width) if in_width != width else nn.Identity()
        self.register_buffer("shift_in", joint_shift(num_joints, in_width), persistent=False)
        self.register_buffer("shift_out", joint_shift(num_joints, width).argsort(), persistent=False)

    def forward(self, x: Float[Tensor, "J C T N"]) -> Float[Tensor, "J D T N"]:
        """Let the joints of each time step exchange channels."""
        lines = x.flatten(0, 1).flatten(1).index_select(0, self.shift_in).unflatten(0, x.shape[:2])
        weight = (self.mask.tanh() + 1)[..., None] * self.weight
        mixed = torch.baddbmm(self.bias[:, None], weight.mT, lines)
        mixed = mixed.flatten(0, 1).index_select(0, self.shift_out).view(len(x), -1, *x.shape[2:])
        return F.relu(_normed(self.norm, mixed) + self.skip(x))


class TimeShift(nn.Module):
    """The temporal part of a block: a shift, a linear layer, and another shift, which may halve the time steps."""

    def __init__(self, width: int, *, stride: int) -> None:
        super().__init__()
        self.entrance_norm, self.exit_norm = nn.BatchNorm1d(width), nn.BatchNorm1d(width)
        self.shift_in, self.shift_out = TemporalShift(width), TemporalShift(width, stride=stride)
        self.linear = Pointwise(width, width)

    def forward(
        self, x: Float[Tensor, "J C T N"], has_joint: Bool[Tensor, "J 1 T N"] | None
    ) -> Float[Tensor, "J C U N"]:
        """Let the frames of each joint exchange channels. A joint is zero where it is absent."""
        x = self.shift_in(_masked(_normed(self.entrance_norm, x), has_joint))
        return _normed(self.exit_norm, self.shift_out(F.relu(self.linear(x))))


class Block(nn.Module):
    """The spatial part, then the temporal one, with a residual around both, except in the first block."""

    def __init__(self, in_width: int, width: int, *, num_joints: int, stride: int, has_residual: bool) -> None:
        super().__init__()
        self.joints = JointShift(in_width, width, num_joints=num_joints)
        self.time = TimeShift(width, stride=stride)
        self.stride, self.has_residual = stride, has_residual
        is_same = in_width == width and stride == 1
        self.residual = Projection(in_width, width) if has_residual and not is_same else nn.Identity()

    def forward(
        self, x: Float[Tensor, "J C T N"], has_joint: Bool[Tensor, "J 1 T N"] | None
    ) -> Float[Tensor, "J D U N"]:
        """Shift between joints and in time."""
        y = self.time(self.joints(x), has_joint)
        if self.has_residual:
            y = y + self.residual(x[:, :, : y.shape[2] * self.stride : self.stride])
        return F.relu(y)


class ShiftGCN(GraphEncoder):
    """Skeleton encoder of SynSE and STAR: ten blocks over joints and time, tokens averaged over joints and persons.

    A joint exchanges channels with all joints, in the order of the layout, whose bones are not used.

    Deviation: the published network computes and averages an absent second person as one standing at the origin. This
    one leaves out whoever is absent, also from its blocks' batch norms. Fed with zeros instead of NaN (Preprocessing's
    `absent`), it is as published.
    Assumption: a joint that is absent from a frame gives zeros to the others there and in time, and is not averaged in.
    The published network knows no such joints.
    Assumption: the initial weights of 1x1 convolutions are normal with the variance 2 / outputs.

    Time steps are halved rounding down.
    """

    network: ClassVar[str] = "shift_gcn"
    title: ClassVar[str] = "Shift-GCN"
    published_widths: ClassVar[tuple[int, ...]] = (64, 64, 64, 64, 128, 128, 128, 256, 256, 256)
    has_partial_steps: ClassVar[bool] = False
    strongly_decayed: ClassVar[dict[str, float]] = {".joints.weight": 10.0}  # 1e-3 beside 1e-4, as published

    def block(self, before: int, width: int, *, stride: int, number: int) -> nn.Module:
        """Return a block. The first has no outer residual."""
        return Block(before, width, num_joints=self.layout.num_joints, stride=stride, has_residual=number > 1)

    def feature_map(
        self,
        skeleton: Float[Tensor, "B T M J C"],
        *,
        present: Bool[Tensor, "B T M"],
        has_joint: Bool[Tensor, "N T J"] | None = None,
    ) -> Float[Tensor, "N F U J"]:
        """Return the last block's output."""
        x = rearrange(self.entered(skeleton, present), "n t j c -> j c t n").contiguous()
        for block, stride in zip(self.blocks, self.strides, strict=True):
            rows = None if has_joint is None else rearrange(has_joint, "n t j -> j 1 t n")
            x = block(_masked(x, rows), rows)
            has_joint = has_joint if has_joint is None else self.halved(has_joint, stride)
        x = rearrange(x, "j c t n -> n c t j")
        return x if has_joint is None else x * has_joint[:, None]
