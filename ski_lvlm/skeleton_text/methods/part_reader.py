"""STAR's readers of body parts and maps of texts, which meet in one space (Chen et al., ACM MM 2024).

A dimension of that space belongs to one learned query of each part, which the paper calls a visual prompt.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn


class PartReader(nn.Module):
    """Learned queries that attend to the joints of one body part. Each gives one number.

    A query A attends, and two linear layers turn what it read into E. Its number is A^T U E. Linear layers that follow
    each other are multiplied once a batch and not applied to every clip and query. The result is the same, and of four
    products of the size `width` squared per clip and query one remains.

    Deviation: the published attention gives keys a bias. It adds one number to all keys, which softmax does not see.

    Args:
        feature_width: F, of a joint at a time step.
        queries: their number.
        width: of a query.
        heads: of the attention.
    """

    def __init__(self, feature_width: int, *, queries: int, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.queries = nn.Parameter(torch.randn(queries, width))  # A
        self.query, self.key = nn.Linear(width, width), nn.Linear(feature_width, width, bias=False)
        self.value, self.exit = nn.Linear(feature_width, width), nn.Linear(width, width)
        self.hidden, self.output = nn.Linear(width, width), nn.Linear(width, width)
        self.match = nn.Parameter(torch.randn(width, width))  # U
        for layer in (self.query, self.key, self.value):
            nn.init.xavier_uniform_(layer.weight)
        for bias in (self.query.bias, self.value.bias, self.exit.bias):
            nn.init.zeros_(bias)

    def forward(
        self, joints: Float[Tensor, "B S F"], has_joint: Bool[Tensor, "B S"] | None = None
    ) -> Float[Tensor, "B I"]:
        """Return the numbers of all queries. Joints that are not there are not attended to."""
        matched = self.queries @ self.match
        weight, offset = matched @ self.output.weight, matched @ self.output.bias
        return torch.einsum("biw,iw->bi", self.hidden_units(joints, has_joint), weight) + offset

    def hidden_units(
        self, joints: Float[Tensor, "B S F"], has_joint: Bool[Tensor, "B S"] | None = None
    ) -> Float[Tensor, "B I W"]:
        """Return the units between the two linear layers behind the attention."""
        queries = rearrange(self.query(self.queries), "i (h d) -> h i d", h=self.heads)
        keys = rearrange(self.key.weight, "(h d) f -> h d f", h=self.heads)
        by_feature = queries @ keys / math.sqrt(queries.shape[-1])
        logits = F.linear(joints, by_feature.flatten(0, 1))
        if has_joint is not None:
            logits = logits.masked_fill(~has_joint[..., None], -math.inf)
        shares = rearrange(logits.softmax(1), "b s (h i) -> b h i s", h=self.heads)
        values = rearrange(self.value(joints), "b s (h d) -> b h s d", h=self.heads)
        weight = self.hidden.weight @ self.exit.weight
        return F.relu(F.linear(rearrange(shares @ values, "b h i d -> b i (h d)"), weight, self.hidden(self.exit.bias)))


class PartScores(NamedTuple):
    """Numbers of all queries by part and clip. A part of which no joint is ever there has zeros."""

    scores: Float[Tensor, "B P I"]
    has_part: Bool[Tensor, "B P"]

    @property
    def whole(self) -> Float[Tensor, "B I"]:
        """The sum over the parts."""
        return self.scores.sum(1)


class PartNetwork(nn.Module):
    """A reader of each body part, and maps of texts into the space of the readers' numbers.

    Args:
        feature_width: F, of a joint at a time step.
        text_width: D, of a text's vector.
        parts: joints of each body part.
        classes: number of training classes. Each has a learned vector for each part, the paper's semantic prompt.
        queries: their number, I.
        width: of a query. Must divide by `heads`.
        hidden: width between the two layers of a text's map.
        heads: of the attention.

    Raises:
        ValueError: the heads have no equal width, or one query has no direction to compare.
    """

    def __init__(
        self,
        feature_width: int,
        text_width: int,
        *,
        parts: Mapping[str, Sequence[int]],
        classes: int,
        queries: int = 100,
        width: int = 768,
        hidden: int = 256,
        heads: int = 4,
    ) -> None:
        super().__init__()
        if width % heads or queries < 2:
            raise ValueError(
                f"{queries} queries of width {width}: expected 2 or more, and a width that divides by {heads}; choose "
                "another --latent, or a text encoder of another width"
            )
        self.parts = {part: list(joints) for part, joints in parts.items()}
        self.readers = nn.ModuleDict(
            {part: PartReader(feature_width, queries=queries, width=width, heads=heads) for part in parts}
        )
        self.name_map = _text_map(text_width, hidden, queries)  # g
        self.part_maps = nn.ModuleDict({part: _text_map(text_width, hidden, queries) for part in parts})  # h
        self.class_offsets = nn.ParameterDict({part: torch.randn(classes, text_width) for part in parts})  # Q

    def read(self, features: Float[Tensor, "B F U J"]) -> PartScores:
        """Read all parts of clips. NaN marks a joint that is absent from a time step."""
        features = features.to(next(self.parameters()).dtype)
        absent = features.isnan().any(1)
        has_joints = None if not bool(absent.any()) else ~absent
        features = features if has_joints is None else features.nan_to_num(0.0)
        scores, has_part = [], []
        for part, joints in self.parts.items():
            has_joint = None if has_joints is None else has_joints[..., joints].flatten(1)
            score, is_there = _read_part(self.readers[part], _keys(features[..., joints]), has_joint)
            scores.append(score)
            has_part.append(is_there)
        return PartScores(torch.stack(scores, 1), torch.stack(has_part, 1))

    def map_names(self, texts: Float[Tensor, "C K D"]) -> Float[Tensor, "C I"]:
        """Map the first vector of each class, that of its name."""
        return self.name_map(texts[:, 0])

    def map_parts(self, texts: Float[Tensor, "C K D"]) -> Float[Tensor, "C P I"]:
        """Map the vectors of the training classes' parts, which follow the name's in the order of the parts."""
        sums = (texts[:, row] + self.class_offsets[part] for row, part in enumerate(self.parts, start=1))
        return torch.stack([self.part_maps[part](text) for part, text in zip(self.parts, sums, strict=True)], 1)


def _text_map(width: int, hidden: int, queries: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, queries))


def _keys(features: Float[Tensor, "B F U J"]) -> Float[Tensor, "B S F"]:
    return rearrange(features, "b f u j -> b (u j) f")


def _read_part(
    reader: nn.Module, joints: Float[Tensor, "B S F"], has_joint: Bool[Tensor, "B S"] | None
) -> tuple[Float[Tensor, "B I"], Bool[Tensor, " B"]]:
    if has_joint is None:
        return reader(joints), torch.ones(len(joints), dtype=torch.bool, device=joints.device)
    is_there = has_joint.any(1)
    # Where nothing is to be attended to, softmax would give NaN. Such a clip's numbers are dropped.
    scores = reader(joints, has_joint | ~is_there[:, None])
    return scores * is_there[:, None], is_there
