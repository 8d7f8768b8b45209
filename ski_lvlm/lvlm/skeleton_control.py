"""Controls of skeletons in training: tokens of another clip, or noise.

A model of a control is no system. It shows what skeletons add: beside it, the tokens' content is the only difference.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from ski_lvlm.datasets.instruction_file import Conversation
from ski_lvlm.lvlm.features import FeatureFolder
from ski_lvlm.lvlm.projectors.projector import Statistics
from ski_lvlm.lvlm.token_statistics import cached_statistics
from ski_lvlm.storage.digests import digest_number
from ski_lvlm.training.epoch_sampler import SampleKey


def shuffled_partners(features: FeatureFolder, clips: Iterable[str], *, seed: int) -> dict[str, str]:
    """Return for each clip the clip whose skeleton tokens it has, never its own.

    All clips with tokens stand in one circle, in an order drawn by the seed, and each has the tokens of the next.
    So every clip's tokens are there as often as clips, and two names of one file are one clip. Clips without tokens
    are left out.

    Raises:
        ValueError: fewer than two clips have tokens.
    """
    files = {clip: file for clip in sorted(set(clips)) if (file := features.find_relative(clip, "skeleton"))}
    clip_of = {file: clip for clip, file in files.items()}
    if len(clip_of) < 2:
        raise ValueError(
            f"--skeleton_control shuffled: found {len(clip_of)} clips with skeleton tokens in {features.root}, "
            "expected two or more; give more clips, or --skeleton_control none"
        )
    generator = np.random.default_rng(digest_number(f"skeleton_control/{seed}"))
    names = sorted(clip_of)
    circle = [names[k] for k in generator.permutation(len(names))]
    following = dict(zip(circle, [*circle[1:], circle[0]], strict=True))
    return {clip: clip_of[following[file]] for clip, file in files.items()}


@dataclass(frozen=True)
class SkeletonNoise:
    """Gaussian tokens with mean and deviation of each channel of real ones, drawn by seed, sample and epoch."""

    statistics: Statistics
    seed: int

    def tokens(self, count: int, key: SampleKey) -> Float32[Tensor, "N F"]:
        """Return so many tokens for the sample at this place of the training."""
        seed = digest_number(f"skeleton_noise/{self.seed}/{key.epoch}/{key.sample}", num_bytes=7)
        generator = torch.Generator().manual_seed(seed)
        mean, std = self.statistics.mean.float(), self.statistics.std.float()
        return mean + std * torch.randn(count, len(mean), generator=generator)


def control_settings(
    control: str, features: FeatureFolder, conversations: Iterable[Conversation], *, seed: int, folders: Sequence[Path]
) -> dict[str, Any]:
    """Return the settings of `SampleSettings` that a control needs, none without one.

    Args:
        control: none, shuffled or noise.
        features: the tokens.
        conversations: of the training.
        seed: of the training.
        folders: where statistics of many clips may be, as for `cached_statistics`.

    Raises:
        ValueError: no skeleton tokens, or those of one clip to shuffle.
    """
    if control == "none":
        return {}
    clips = [conversation.skeleton for conversation in conversations if conversation.skeleton]
    if control == "shuffled":
        return {"partners": shuffled_partners(features, clips, seed=seed)}
    return {"noise": SkeletonNoise(cached_statistics(features, clips, "skeleton", folders), seed)}


def check_control(control: str, modalities: Iterable[str]) -> None:
    """Refuse a control of skeletons in a training without them.

    Raises:
        ValueError: the message names the flag.
    """
    if control != "none" and "skeleton" not in modalities:
        raise ValueError(
            f"--skeleton_control {control}: found --modalities {','.join(modalities)}, expected skeleton among them; "
            "leave one of the two out"
        )
