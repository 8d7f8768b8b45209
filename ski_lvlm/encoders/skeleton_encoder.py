"""The base of the skeleton encoders g_s: tokens, their mean, and the same way with whoever is absent."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from ski_lvlm.encoders.presence import average_joints, average_persons, presence_of
from ski_lvlm.skeletons.layouts import Layout


class SkeletonTokens(NamedTuple):
    """A batch of encoded clips: one token per remaining time step, and their mean z_s."""

    tokens: Float[Tensor, "B N F"]
    feature: Float[Tensor, "B F"]


class SkeletonEncoder(nn.Module, ABC):
    """Base of the skeleton encoders: blocks over joints and time, some of which halve the time steps.

    A subclass computes `feature_map`. Tokens are its mean over the joints, then over the persons present. A person who
    is absent from a whole clip is neither computed nor averaged in. One who is absent for some frames is skipped in the
    mean at those time steps. A joint that is absent is left out where joints are averaged.

    Args:
        layout: joints, bones and joint groups of the skeletons.
        width: F, of a token.
        depth: number of blocks.
        strided: blocks (counted from 1) that halve the time steps.
        in_channels: channels of a joint (3 for metres in space, 2 for pixels, more for stacked streams).
        num_persons: persons of a clip at most. The first batch norm distinguishes them, unless they share it.
    """

    network: ClassVar[str]  # its name in cards, and of --encoder
    title: ClassVar[str]  # its name in messages
    sizes: ClassVar[tuple[str, ...]]  # constructor arguments that are flags of the recipe
    has_partial_steps: ClassVar[bool]  # whether a last odd frame becomes a time step where they are halved
    has_shared_norm: ClassVar[bool] = False  # whether the first batch norm does not distinguish persons
    strongly_decayed: ClassVar[dict[str, float]] = {}  # ends of weights' names, and multipliers of their weight decay

    def __init__(
        self, *, layout: Layout, width: int, depth: int, strided: Sequence[int], in_channels: int, num_persons: int
    ) -> None:
        super().__init__()
        if in_channels % layout.dimensions:  # 3 channels a stream, joints of 2 coordinates, or the reverse
            layout.require_dimensions(5 - layout.dimensions)
        self.layout, self.width, self.in_channels, self.num_persons = layout, width, in_channels, num_persons
        self.keep_statistics = False
        self.strides = tuple(2 if number in strided else 1 for number in range(1, depth + 1))
        rows = 1 if self.has_shared_norm else num_persons
        self.entrance_norm = nn.BatchNorm1d(rows * layout.num_joints * in_channels)

    def forward(self, skeleton: Float[Tensor, "B T M J C"]) -> SkeletonTokens:
        """Encode clips, in which NaN marks a person, or a joint of one, who is absent from a frame.

        Raises:
            ValueError: another joint layout or dimension than the encoder's, more persons, too few frames, or a clip
                without anybody.
        """
        skeleton = self.checked(skeleton)
        present, has_joint = presence_of(skeleton)
        features = self.feature_map(skeleton, present=present, has_joint=has_joint)
        per_person = average_joints(features, None if has_joint is None else self.remaining(has_joint))
        tokens = average_persons(per_person, present=present)
        return SkeletonTokens(tokens, tokens.mean(1))

    @abstractmethod
    def feature_map(
        self,
        skeleton: Float[Tensor, "B T M J C"],
        *,
        present: Bool[Tensor, "B T M"],
        has_joint: Bool[Tensor, "N T J"] | None = None,
    ) -> Float[Tensor, "N F U J"]:
        """Return the last block's output for each of the N persons who are present in some frame, clip by clip.

        `has_joint` says which of their joints are there. With None, all are. The others are zeros in the result.
        """

    def remaining(self, has_joint: Bool[Tensor, "N T J"]) -> Bool[Tensor, "N U J"]:
        """Return which joints are there at the time steps that the blocks leave."""
        for stride in self.strides:
            has_joint = self.halved(has_joint, stride)
        return has_joint

    def halved(self, has_joint: Bool[Tensor, "N T J"], stride: int) -> Bool[Tensor, "N U J"]:
        """Return which joints are there in some of the frames of each time step that one block leaves."""
        if stride == 1:
            return has_joint
        return F.max_pool2d(has_joint.float(), (stride, 1), ceil_mode=self.has_partial_steps) > 0

    def train(self, mode: bool = True) -> "SkeletonEncoder":
        """Enter training mode. With `keep_statistics` the batch norms keep using the statistics they have."""
        super().train(mode)
        if self.keep_statistics:
            for module in self.modules():
                if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.SyncBatchNorm):
                    module.eval()
        return self

    def num_tokens(self, num_frames: int) -> int:
        """Return the number of tokens of a clip: with two strided blocks 16 for 64 frames, 256 for 1024."""
        for stride in self.strides:
            num_frames = -(-num_frames // stride) if self.has_partial_steps else num_frames // stride
        return num_frames

    @property
    def settings(self) -> dict[str, Any]:
        """Return the constructor arguments as JSON, with network and layout by their names."""
        sizes = {"strided": [number for number, stride in enumerate(self.strides, start=1) if stride == 2]}
        return {
            "network": self.network,
            "layout": self.layout.name,
            **self.own_settings,
            **sizes,
            "in_channels": self.in_channels,
            "num_persons": self.num_persons,
        }

    @property
    @abstractmethod
    def own_settings(self) -> dict[str, Any]:
        """Return the constructor arguments that other encoders do not have."""

    def entered(self, skeleton: Float[Tensor, "B T M J C"], present: Bool[Tensor, "B T M"]) -> Float[Tensor, "N T J C"]:
        """Apply the first batch norm and return the persons who are present in some frame.

        Assumption: this norm, whose channels belong to persons, sees zeros for the absent as in the published networks,
        so that released weights keep their statistics and a batch without a second person still trains. One that all
        persons share sees those alone who are present in some frame.
        """
        skeleton, ever = skeleton.nan_to_num(0.0), present.any(1)
        if self.has_shared_norm:
            x = rearrange(skeleton, "b t m j c -> b m (j c) t")[ever]
            return rearrange(self.entrance_norm(x), "n (j c) t -> n t j c", c=self.in_channels)
        x = rearrange(skeleton, "b t m j c -> b (m j c) t")
        x = rearrange(self.entrance_norm(x), "b (m j c) t -> b m t j c", m=self.num_persons, c=self.in_channels)
        return x[ever]

    def checked(self, skeleton: Float[Tensor, "B T M J C"]) -> Float[Tensor, "B T P J C"]:
        """Return clips with as many persons as the encoder takes, NaN for those who are missing.

        Raises:
            ValueError: another joint layout or dimension than the encoder's, more persons, or too few frames.
        """
        _, frames, persons, joints, channels = skeleton.shape
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
        if not self.num_tokens(frames):
            raise ValueError(
                f"the skeletons have {frames} frames, this encoder needs {math.prod(self.strides)} for one token; use "
                "more frames, or fewer strided blocks"
            )
        missing = self.num_persons - persons
        return F.pad(skeleton, (0, 0, 0, 0, 0, missing), value=math.nan) if missing else skeleton


class ActionClassifier(nn.Module):
    """A skeleton encoder with the linear layer over action classes that it is pretrained with."""

    def __init__(self, encoder: SkeletonEncoder, *, num_classes: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(encoder.width, num_classes)
        nn.init.normal_(self.head.weight, 0.0, math.sqrt(2.0 / num_classes))

    def forward(self, skeleton: Float[Tensor, "B T M J _"]) -> Float[Tensor, "B C"]:
        """Return one score for every action class."""
        return self.head(self.encoder(skeleton).feature)
