"""Clips of a packed set as batches for the skeleton encoder, with augmentation that a resumed run repeats exactly."""

from collections.abc import Sequence
from typing import TypedDict

import numpy as np
import torch
from jaxtyping import Float, Float32, Int
from torch import Tensor
from torch.utils.data import Dataset

from ski_lvlm.skeletons.layouts import layout_named
from ski_lvlm.skeletons.motion_frames import frames_to_keep
from ski_lvlm.skeletons.packed import PackedSkeletons
from ski_lvlm.skeletons.preprocessing import Preprocessing, preprocess, whole_joints


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
        skeleton = preprocess(self.joints(clip), num_frames=self.num_frames, preprocessing=self.preprocessing, rng=rng)
        return {"skeleton": torch.from_numpy(skeleton), "label": self.labels[clip]}

    def joints(self, clip: int) -> Float32[np.ndarray, "T M J D"]:
        """Return the joints of a clip as they are before the preprocessing."""
        return self.packed.get(self.names[clip])


class ShortenedClips(SkeletonClips):
    """Clips for evaluation from which frames are removed, by `frames_to_keep`, before they are preprocessed.

    Assumption: what is left is resized to T_s as any clip. SMIE's own frames, 20 of 50, go in as they are.

    Args:
        clips: whole ones.
        draw: numbers on which, with the clip's place, the removal depends.
    """

    def __init__(self, clips: SkeletonClips, *, draw: tuple[int, ...]) -> None:
        super().__init__(
            clips.packed,
            clips.names,
            labels=clips.labels,
            num_frames=clips.num_frames,
            preprocessing=clips.preprocessing,
        )
        self.draw = draw

    def joints(self, clip: int) -> Float32[np.ndarray, "T M J D"]:
        """Return the joints in the frames that are kept."""
        joints = whole_joints(super().joints(clip), layout=layout_named(self.preprocessing.layout))
        return joints[frames_to_keep(joints, rng=np.random.default_rng((*self.draw, clip)))]


def collate(samples: Sequence[LabelledSkeleton]) -> SkeletonBatch:
    """Stack clips into a batch."""
    return {
        "skeleton": torch.stack([sample["skeleton"] for sample in samples]),
        "labels": torch.tensor([sample["label"] for sample in samples]),
    }
