"""The skeleton encoder ST-GCN (Yan et al. 2018) in SMIE's sizes: each joint hears its neighbours, then its own past."""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from ski_lvlm.encoders.graph_encoder import GraphEncoder
from ski_lvlm.encoders.hyper_attention import hop_distances
from ski_lvlm.skeletons.layouts import Layout

_SUBSETS = 3  # of a joint's neighbours
_KERNEL = 9  # time steps
_DROPOUT = 0.5  # from the second block on


def spatial_subsets(layout: Layout) -> Float[Tensor, "3 J J"]:
    """Return how much joint j (second axis) gives to joint i (last): itself, further outside, further inside.

    Outside and inside are counted in bones from the layout's centre. Each joint takes the mean over itself and its
    neighbours. A neighbour as far from the centre counts as one outside.

    Deviation: the published code counts bones to one only, so that all neighbours far from the centre are one subset,
    and hangs NTU's hand tips on the thumbs.
    """
    hops = hop_distances(layout.bones, num_joints=layout.num_joints)
    radius = hops[:, list(layout.centre)].min(axis=1)
    is_neighbour, is_itself = hops <= 1, hops == 0
    is_inside = radius[:, None] < radius
    subsets = np.stack([is_itself, is_neighbour & ~is_itself & ~is_inside, is_neighbour & is_inside])
    return torch.from_numpy((subsets / is_neighbour.sum(axis=0)).astype(np.float32))


def _masked(x: Float[Tensor, "N T J C"], has_joint: Bool[Tensor, "N T J"] | None) -> Float[Tensor, "N T J C"]:
    """Set absent joints to zero."""
    return x if has_joint is None else x * has_joint[..., None]


class GraphConv(nn.Module):
    """A linear layer for each subset of a joint's neighbours, whose outputs are added."""

    def __init__(self, in_width: int, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_width, _SUBSETS * width)

    def forward(
        self, x: Float[Tensor, "N T J C"], graph: Float[Tensor, "3 J J"], has_joint: Bool[Tensor, "N T J"] | None
    ) -> Float[Tensor, "N T J D"]:
        """Let each joint hear its neighbours. One that is absent gives zeros."""
        messages = rearrange(_masked(self.linear(x), has_joint), "n t j (k d) -> (n t) (j k) d", k=_SUBSETS)
        sums = rearrange(graph, "k source target -> target (source k)") @ messages
        return sums.unflatten(0, x.shape[:2])


class TimeConv(nn.Module):
    """A convolution over each joint's time steps, which may halve them, rounding up."""

    def __init__(self, width: int, *, stride: int, dropout: float) -> None:
        super().__init__()
        self.entrance_norm, self.exit_norm = nn.BatchNorm2d(width), nn.BatchNorm2d(width)
        self.conv = nn.Conv2d(width, width, (_KERNEL, 1), stride=(stride, 1), padding=(_KERNEL // 2, 0))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Float[Tensor, "N C T J"], has_joint: Bool[Tensor, "N T J"] | None) -> Float[Tensor, "N C U J"]:
        """Convolve. Where a joint is absent, its neighbours in time see zeros, as beyond the ends of a clip."""
        x = F.relu(self.entrance_norm(x))
        x = x if has_joint is None else x * has_joint[:, None]
        return self.dropout(self.exit_norm(self.conv(x)))


class Block(nn.Module):
    """The neighbours, then time, with a residual around both, except in the first block."""

    def __init__(self, in_width: int, width: int, *, num_joints: int, stride: int, is_first: bool) -> None:
        super().__init__()
        self.edges = nn.Parameter(torch.ones(_SUBSETS, num_joints, num_joints))
        self.joints = GraphConv(in_width, width)
        self.time = TimeConv(width, stride=stride, dropout=0.0 if is_first else _DROPOUT)
        self.stride, self.is_first = stride, is_first
        self.residual: nn.Module = nn.Identity()
        if not is_first and (in_width != width or stride != 1):
            self.residual = nn.Sequential(nn.Conv2d(in_width, width, kernel_size=1), nn.BatchNorm2d(width))

    def forward(
        self, x: Float[Tensor, "N T J C"], subsets: Float[Tensor, "3 J J"], has_joint: Bool[Tensor, "N T J"] | None
    ) -> Float[Tensor, "N U J D"]:
        """Hear the neighbours and the past. Convolutions see the same memory as channels-last."""
        sums = self.joints(x, subsets * self.edges, has_joint)
        y = self.time(rearrange(sums, "n t j d -> n d t j"), has_joint)
        if not self.is_first:  # the residual strides by itself: see Hyperformer's block
            y = y + self.residual(rearrange(x[:, :: self.stride], "n u j c -> n c u j"))
        return rearrange(F.relu(y), "n d u j -> n u j d")


class STGCN(GraphEncoder):
    """Skeleton encoder of SMIE's own track: ten blocks over neighbours and time, tokens averaged over joints, persons.

    The share that a joint takes from each neighbour is learned in each block, from the layout's graph on. All persons
    share the first batch norm.

    Deviation: the published network computes and averages an absent second person as one standing at the origin. This
    one leaves out whoever is absent, also from all batch norms. Fed with zeros instead of NaN (Preprocessing's
    `absent`), it is as published.
    Assumption: a joint that is absent from a frame gives zeros to the others there and in time, and is not averaged in.
    The published network knows no such joints.
    Assumption: the initial weights are those of torch's layers.

    Time steps are halved rounding up.
    """

    subsets: Tensor

    network: ClassVar[str] = "st_gcn"
    title: ClassVar[str] = "ST-GCN"
    published_widths: ClassVar[tuple[int, ...]] = (16, 16, 16, 16, 32, 32, 32, 64, 64, 256)
    has_partial_steps: ClassVar[bool] = True
    has_shared_norm: ClassVar[bool] = True

    def __init__(
        self,
        *,
        layout: Layout,
        widths: Sequence[int] | None = None,
        strided: Sequence[int] = (5, 8),
        in_channels: int = 3,
        num_persons: int = 2,
    ) -> None:
        super().__init__(
            layout=layout, widths=widths, strided=strided, in_channels=in_channels, num_persons=num_persons
        )
        self.register_buffer("subsets", spatial_subsets(layout))  # kept, since released weights bring their own

    def block(self, before: int, width: int, *, stride: int, number: int) -> nn.Module:
        """Return a block. The first has no outer residual and no dropout."""
        return Block(before, width, num_joints=self.layout.num_joints, stride=stride, is_first=number == 1)

    def feature_map(
        self,
        skeleton: Float[Tensor, "B T M J C"],
        *,
        present: Bool[Tensor, "B T M"],
        has_joint: Bool[Tensor, "N T J"] | None = None,
    ) -> Float[Tensor, "N F U J"]:
        """Return the last block's output."""
        x = self.entered(skeleton, present).contiguous()
        for block, stride in zip(self.blocks, self.strides, strict=True):
            x = block(_masked(x, has_joint), self.subsets, has_joint)
            has_joint = has_joint if has_joint is None else self.halved(has_joint, stride)
        return rearrange(_masked(x, has_joint), "n u j c -> n c u j")
