"""Hyperformer's attention between the joints of one time step, which knows the skeleton's graph and joint groups."""

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

PROJECTION_GROUPS = 6  # of the output projection in the published network; the width must divide by it


def hop_distances(bones: Sequence[tuple[int, int]], *, num_joints: int) -> Int[np.ndarray, "J J"]:
    """Count the bones on the shortest way between every two joints.

    >>> hop_distances([(1, 0), (2, 1)], num_joints=3).tolist()
    [[0, 1, 2], [1, 0, 1], [2, 1, 0]]

    Raises:
        ValueError: the bones do not connect all joints.
    """
    distance = np.full((num_joints, num_joints), num_joints)
    np.fill_diagonal(distance, 0)
    for a, b in bones:
        distance[a, b] = distance[b, a] = 1
    for via in range(num_joints):
        distance = np.minimum(distance, distance[:, via, None] + distance[None, via])
    if distance.max() >= num_joints:
        loose = np.flatnonzero(distance[0] >= num_joints).tolist()
        raise ValueError(f"joints {loose} are not connected to joint 0 by the layout's bones; add the missing bones")
    return distance


class PointwiseConv(nn.Module):
    """A 1x1 convolution over channels-last tensors: a linear layer that uses the (faster) convolution kernels."""

    def __init__(self, in_channels: int, out_channels: int, *, bias: bool = False, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size=1, bias=bias, groups=groups)

    def forward(self, x: Float[Tensor, "N T J C"]) -> Float[Tensor, "N T J D"]:
        """Map the channels of every joint."""
        return rearrange(self.conv(rearrange(x, "n t j c -> n c t j")), "n c t j -> n t j c")


class HyperAttention(nn.Module):
    """One attention layer with its skip connection.

    The score of joint m for joint n adds up four terms: content (q_n . k_m), distance in the graph (q_n . r_hop(n,m)),
    the group m belongs to (q_n . e_m) and how much a head cares for that group at all (w . e_m). A learned matrix
    between joints, the same for every time step, is added to the attention weights.
    """

    hops: Tensor
    membership: Tensor
    group_mean: Tensor

    def __init__(
        self, in_width: int, width: int, *, num_heads: int, hops: Int[np.ndarray, "J J"], groups: Sequence[int]
    ) -> None:
        super().__init__()
        num_joints, head_dim = len(groups), width // num_heads
        self.num_heads, self.scale = num_heads, head_dim**-0.5
        self.norm = nn.LayerNorm(in_width)
        self.qkv = PointwiseConv(in_width, 3 * width)
        self.group_projection = PointwiseConv(in_width, width)
        self.skip = PointwiseConv(in_width, width) if in_width != width else nn.Identity()
        self.output = PointwiseConv(width, width, bias=True, groups=PROJECTION_GROUPS)
        self.hop_embedding = nn.Parameter(torch.zeros(int(hops.max()) + 1, width))
        self.group_weight = nn.Parameter(torch.zeros(num_heads, head_dim))
        self.joint_matrix = nn.Parameter(torch.eye(num_joints).repeat(num_heads, 1, 1))
        self.alpha = nn.Parameter(torch.zeros(1))
        membership = F.one_hot(torch.tensor(groups)).float()
        self.register_buffer("hops", torch.from_numpy(hops), persistent=False)
        self.register_buffer("membership", membership, persistent=False)  # joints x groups
        self.register_buffer("group_mean", (membership / membership.sum(0)).T.contiguous(), persistent=False)

    def forward(
        self, x: Float[Tensor, "N T J C"], has_joint: Bool[Tensor, "N T J"] | None = None
    ) -> Float[Tensor, "N T J D"]:
        """Let the joints of each time step exchange information.

        Absent joints (False in `has_joint`) are zeros in `x`. Nobody attends to them, the learned matrix does not mix
        them in, their group's mean leaves them out, and their result is zero. With None, all are there.
        """
        steps, heads = len(x) * x.shape[1], "s j (h d) -> (s h) j d"
        q, k, v = (y.flatten(0, 1) for y in self.qkv(self.norm(x)).chunk(3, dim=-1))
        e = self.group_projection(self._group_means(x, has_joint)).flatten(0, 1)
        # q_n . (k_m + e_m): a product with the membership, because the gradient of gathering e is slow
        k = torch.baddbmm(k, self.membership.expand(steps, -1, -1), e)
        q, k, v = (rearrange(y, heads, h=self.num_heads) for y in (q, k, v))
        graph_scores = self._distance_scores(q) + self._group_scores(e)
        scores = torch.baddbmm(graph_scores, q, k.mT, beta=self.scale, alpha=self.scale)
        if has_joint is not None:
            is_key = has_joint.flatten(0, 1).repeat_interleave(self.num_heads, dim=0)
            scores, v = scores.masked_fill(~is_key[:, None], -math.inf), v * is_key[..., None]
        attention = rearrange(scores.softmax(dim=-1), "(s h) j m -> s h j m", h=self.num_heads)
        weights = torch.addcmul(self.joint_matrix, attention, self.alpha)
        mixed = rearrange(weights, "s h j m -> (s h) j m") @ v
        mixed = rearrange(mixed, "(n t h) j d -> n t j (h d)", n=len(x), h=self.num_heads)
        result = self.skip(x) + self.output(mixed)
        return result if has_joint is None else result * has_joint[..., None]

    def _group_means(
        self, x: Float[Tensor, "N T J C"], has_joint: Bool[Tensor, "N T J"] | None
    ) -> Float[Tensor, "N T G C"]:
        if has_joint is None:
            return self.group_mean @ x
        number = has_joint.to(x.dtype) @ self.membership  # of the joints of each group. Absent joints are zeros in x
        return self.membership.T @ x / number.clamp(min=1)[..., None]

    def _distance_scores(self, q: Float[Tensor, "S J d"]) -> Float[Tensor, "S J J"]:
        # one matrix product per head and joint: gathering q_n . r_hop afterwards is slower, above all backwards
        r = rearrange(self.hop_embedding[self.hops], "j m (h d) -> (h j) d m", h=self.num_heads)
        scores = torch.bmm(rearrange(q, "(s h) j d -> (h j) s d", h=self.num_heads), r)
        return rearrange(scores, "(h j) s m -> (s h) j m", h=self.num_heads)

    def _group_scores(self, e: Float[Tensor, "S G C"]) -> Float[Tensor, "N 1 J"]:
        per_group = (rearrange(e, "s g (h d) -> s h g d", h=self.num_heads) * self.group_weight[:, None]).sum(-1)
        return rearrange(per_group @ self.membership.T, "s h j -> (s h) 1 j")
