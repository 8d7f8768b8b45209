"""Labelled clips as batches of video and, optionally, of their skeletons.

One time window and one draw of the mirror hold for video and skeleton of an item. The draws depend on seed, epoch and
clip alone, so worker processes and resumed runs repeat them. The video's draws come first, so a run without skeletons
gets the same videos.

Assumption: a packed skeleton has only the frames in which a body was detected. The window takes the same share of its
frames as of the video's. That is the same time where no frame was lost (784 of the 960 synthetic clips). Elsewhere it
is exact as far as the lost frames are spread evenly (up to 9 of 53 frames there: off by at most a tenth of the clip).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NotRequired, TypedDict

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.utils.data import Dataset

from ski_lvlm.skeletons.layouts import layout_named
from ski_lvlm.skeletons.packed import PackedSkeletons
from ski_lvlm.skeletons.preprocessing import NUM_PERSONS, Preprocessing, mirror, preprocess
from ski_lvlm.videos.augmentation import VideoAugmentation, augment, random_window, scaled
from ski_lvlm.videos.frame_cache import FrameSource


class PairedSample(TypedDict):
    """One clip: its frames, its class and, with skeletons, the encoder's input. NaN means nobody is there."""

    video: UInt8[Tensor, "T 3 S S"]
    skeleton: NotRequired[Float[Tensor, "T_s M J C"]]
    label: int


class PairedBatch(TypedDict):
    """Several clips. A clip without a skeleton is NaN throughout."""

    video: UInt8[Tensor, "B T 3 S S"]
    skeleton: NotRequired[Float[Tensor, "B T_s M J C"]]
    labels: Int[Tensor, " B"]


@dataclass(frozen=True)
class ViewSettings:
    """The input of a student: how a clip's frames are sampled, scaled and augmented."""

    num_frames: int  # T_v
    side: int  # S in pixels; frames of a larger source are scaled down
    seed: int | None = None  # of the augmentation, anew in every epoch; None for evaluation, which is always the same
    augmentation: VideoAugmentation = VideoAugmentation()


@dataclass(frozen=True)
class SkeletonSettings:
    """The skeletons of the clips, and how they become the encoder's input."""

    packed: PackedSkeletons  # a clip that it lacks has a skeleton of NaN
    preprocessing: Preprocessing
    num_frames: int = 64  # T_s


class PairedClips(Dataset[PairedSample]):
    """Clips with their classes, and with their skeletons unless these are None.

    Evaluation shows the middle frames of equal segments of the whole clip, and the skeleton as `SkeletonClips` does. A
    label is the number of a clip's class.

    Raises:
        ValueError: the source lacks a clip or has smaller frames.
    """

    def __init__(
        self,
        source: FrameSource,
        names: Sequence[str],
        *,
        labels: Sequence[int],
        view: ViewSettings,
        skeletons: SkeletonSettings | None = None,
    ) -> None:
        _check_source(source, names, view.side)
        self.source, self.names, self.labels = source, list(names), list(labels)
        self.view, self.skeletons = view, skeletons

    @property
    def num_without_skeleton(self) -> int:
        """Number of clips that the packed set lacks, 0 for video alone."""
        return 0 if self.skeletons is None else sum(name not in self.skeletons.packed for name in self.names)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, key: int | tuple[int, int]) -> PairedSample:
        """Return clip `key`, or clip `key[1]` as epoch `key[0]` augments it."""
        epoch, clip = key if isinstance(key, tuple) else (0, key)
        name, view = self.names[clip], self.view
        if view.seed is None:
            frames = self.source.window(name, start=0.0, stop=1.0, num_frames=view.num_frames)
            video = scaled(frames, side=view.side)
            skeleton = self._skeleton(name)
        else:
            rng = np.random.default_rng((view.seed, epoch, clip))
            start, stop = random_window(rng, augmentation=view.augmentation)
            flip = bool(rng.random() < view.augmentation.flip)
            frames = self.source.window(name, start=start, stop=stop, num_frames=view.num_frames, rng=rng)
            video = augment(frames, flip=flip, side=view.side, rng=rng, augmentation=view.augmentation)
            skeleton = self._skeleton(name, window=(start, stop), flip=flip, rng=rng)
        sample: PairedSample = {"video": video, "label": self.labels[clip]}
        return sample if skeleton is None else {**sample, "skeleton": skeleton}

    def _skeleton(
        self,
        name: str,
        *,
        window: tuple[float, float] | None = None,
        flip: bool = False,
        rng: np.random.Generator | None = None,
    ) -> Float[Tensor, "T_s M J C"] | None:
        if self.skeletons is None:
            return None
        packed, preprocessing, num_frames = (
            self.skeletons.packed,
            self.skeletons.preprocessing,
            self.skeletons.num_frames,
        )
        layout = layout_named(preprocessing.layout)
        if name not in packed:
            return torch.full((num_frames, NUM_PERSONS, layout.num_joints, preprocessing.num_channels), torch.nan)
        joints = mirror(packed.get(name), layout=layout) if flip else packed.get(name)
        return torch.from_numpy(
            preprocess(joints, num_frames=num_frames, preprocessing=preprocessing, rng=rng, window=window)
        )


def _check_source(source: FrameSource, names: Sequence[str], side: int) -> None:
    if source.side < side:
        raise ValueError(
            f"found frames of {source.side} px, expected at least the {side} that the model takes; "
            f"make the frame cache again with --side {side}, or decode"
        )
    if missing := sorted(set(names) - set(source.names)):
        raise ValueError(
            f"{len(missing)} of {len(names)} clips have no frames, {missing[0]} for one; cache them all with "
            "scripts/cache_frames.py (its failures.json lists unreadable videos), or leave them out"
        )


def collate_pairs(samples: Sequence[PairedSample]) -> PairedBatch:
    """Stack clips into a batch, with skeletons if the clips have them."""
    batch: PairedBatch = {
        "video": torch.stack([sample["video"] for sample in samples]),
        "labels": torch.tensor([sample["label"] for sample in samples]),
    }
    if "skeleton" in samples[0]:
        batch["skeleton"] = torch.stack([sample["skeleton"] for sample in samples])
    return batch
