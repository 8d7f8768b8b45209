"""Labelled clips as batches of video and, optionally, of their skeletons.

One time window and one draw of the mirror hold for video and skeleton of an item. The draws depend on seed, epoch and
clip alone, so worker processes and resumed runs repeat them. The video's draws come first, so a run without skeletons
gets the same videos.

Assumption: a packed skeleton has only the frames in which a body was detected. The window takes the same share of its
frames as of the video's. That is the same time where no frame was lost (784 of the 960 synthetic clips). Elsewhere it
is exact as far as the lost frames are spread evenly (up to 9 of 53 frames there: off by at most a tenth of the clip).
"""

from collections.abc import Sequence
from typing import NotRequired, TypedDict

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.utils.data import Dataset

from ski_lvlm.datasets.ntu import labels
from ski_lvlm.skeletons.layouts import layout_named
from ski_lvlm.skeletons.packed import PackedSkeletons
from ski_lvlm.skeletons.preprocessing import NUM_PERSONS, Preprocessing, mirror, preprocess
from ski_lvlm.videos.augmentation import VideoAugmentation, augment, random_window, scaled
from ski_lvlm.videos.frame_cache import FrameSource


class PairedSample(TypedDict):
    """One clip: its frames, its class, and in a dataset with skeletons the encoder's input (NaN: nobody there)."""

    video: UInt8[Tensor, "T 3 S S"]
    skeleton: NotRequired[Float[Tensor, "T_s M J C"]]
    label: int


class PairedBatch(TypedDict):
    """Several clips. A clip without a skeleton is NaN throughout."""

    video: UInt8[Tensor, "B T 3 S S"]
    skeleton: NotRequired[Float[Tensor, "B T_s M J C"]]
    labels: Int[Tensor, " B"]


class PairedClips(Dataset[PairedSample]):
    """Clips with their classes. With a seed they are augmented, differently in every epoch.

    Evaluation shows the middle frames of equal segments of the whole clip, and the skeleton as `SkeletonClips` does.

    Args:
        source: of the frames. Frames larger than `side` are scaled down.
        names: the clips, in order.
        actions: the classes. A label is an index into them.
        num_frames: T.
        side: S in pixels.
        seed: of the augmentation, or None for evaluation, which is always the same.
        skeletons: the packed set, or None for video alone. A clip that it lacks has a skeleton of NaN.
        preprocessing: of the skeletons.
        skeleton_frames: T_s.
        augmentation: of the videos.

    Raises:
        ValueError: the source lacks a clip or has smaller frames, or skeletons come without a preprocessing.
    """

    def __init__(
        self,
        source: FrameSource,
        names: Sequence[str],
        *,
        actions: Sequence[int],
        num_frames: int,
        side: int,
        seed: int | None = None,
        skeletons: PackedSkeletons | None = None,
        preprocessing: Preprocessing | None = None,
        skeleton_frames: int = 64,
        augmentation: VideoAugmentation = VideoAugmentation(),  # noqa: B008 (frozen)
    ) -> None:
        _check_source(source, names, side)
        if skeletons is not None and preprocessing is None:
            raise ValueError("found skeletons without a preprocessing; give the one of the skeleton encoder")
        self.source, self.names, self.labels = source, list(names), labels(names, actions=actions)
        self.num_frames, self.side, self.seed, self.augmentation = num_frames, side, seed, augmentation
        self.skeletons, self.preprocessing, self.skeleton_frames = skeletons, preprocessing, skeleton_frames

    @property
    def num_without_skeleton(self) -> int:
        """Number of clips that the packed set lacks (0 for video alone)."""
        return 0 if self.skeletons is None else sum(name not in self.skeletons for name in self.names)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, key: int | tuple[int, int]) -> PairedSample:
        """Return clip `key`, or clip `key[1]` as epoch `key[0]` augments it."""
        epoch, clip = key if isinstance(key, tuple) else (0, key)
        name = self.names[clip]
        if self.seed is None:
            frames = self.source.window(name, start=0.0, stop=1.0, num_frames=self.num_frames)
            video = scaled(frames, side=self.side)
            skeleton = self._skeleton(name)
        else:
            rng = np.random.default_rng((self.seed, epoch, clip))
            start, stop = random_window(rng, augmentation=self.augmentation)
            flip = bool(rng.random() < self.augmentation.flip)
            frames = self.source.window(name, start=start, stop=stop, num_frames=self.num_frames, rng=rng)
            video = augment(frames, flip=flip, side=self.side, rng=rng, augmentation=self.augmentation)
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
        if self.skeletons is None or self.preprocessing is None:
            return None
        layout = layout_named(self.preprocessing.layout)
        if name not in self.skeletons:
            shape = (self.skeleton_frames, NUM_PERSONS, layout.num_joints, self.preprocessing.num_channels)
            return torch.full(shape, torch.nan)
        joints = self.skeletons.get(name)
        if flip:
            joints = mirror(joints, layout=layout)
        skeleton = preprocess(
            joints, num_frames=self.skeleton_frames, preprocessing=self.preprocessing, rng=rng, window=window
        )
        return torch.from_numpy(skeleton)


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
