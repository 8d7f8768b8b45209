"""Clips of a packed set as batches for the skeleton encoder, with augmentation that a resumed run repeats exactly."""

from collections.abc import Sequence
from typing import TypedDict

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.data import Dataset

from ski_lvlm.skeletons.packed import PackedSkeletons
from ski_lvlm.skeletons.preprocessing import Preprocessing, preprocess


class LabelledSkeleton(TypedDict):
    """One clip: the encoder's input (NaN where a person is absent) and its class."""

    skeleton: Float[Tensor, "T M J C"]
    label: int


class SkeletonBatch(TypedDict):
    """Several clips of one length."""

    skeleton: Float[Tensor, "B T M J C"]
    labels: Int[Tensor, " B"]


class SkeletonClips(Dataset[LabelledSkeleton]):
    """Clips of a packed set, preprocessed. With a seed they are augmented, differently in every epoch.

    Args:
        packed: the packed set.
        names: the clips, in order.
        labels: the class of each clip, as a number from 0.
        num_frames: T_s.
        preprocessing: of the clips.
        seed: of the augmentation, or None for evaluation, which is always the same.
    """

    def __init__(
        self,
        packed: PackedSkeletons,
        names: Sequence[str],
        *,
        labels: Sequence[int],
        num_frames: int,
        preprocessing: Preprocessing,
        seed: int | None = None,
    ) -> None:
        self.packed, self.names, self.labels = packed, list(names), list(labels)
        self.num_frames, self.preprocessing, self.seed = num_frames, preprocessing, seed

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, key: int | tuple[int, int]) -> LabelledSkeleton:
        """Return clip `key`, or clip `key[1]` as epoch `key[0]` augments it."""
        epoch, clip = key if isinstance(key, tuple) else (0, key)
        rng = None if self.seed is None else np.random.default_rng((self.seed, epoch, clip))
        joints = self.packed.get(self.names[clip])
        skeleton = preprocess(joints, num_frames=self.num_frames, preprocessing=self.preprocessing, rng=rng)
        return {"skeleton": torch.from_numpy(skeleton), "label": self.labels[clip]}


def collate(samples: Sequence[LabelledSkeleton]) -> SkeletonBatch:
    """Stack clips into a batch."""
    return {
        "skeleton": torch.stack([sample["skeleton"] for sample in samples]),
        "labels": torch.tensor([sample["label"] for sample in samples]),
    }
