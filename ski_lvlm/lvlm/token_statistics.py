"""Mean and deviation of the channels of tokens, by which projectors standardise them."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from ski_lvlm.lvlm.features import FeatureFolder
from ski_lvlm.lvlm.projectors.projector import Statistics
from ski_lvlm.storage.digests import digest
from ski_lvlm.storage.tensor_cache import cached_tensors, rules_digest

_SMALL = 1000  # clips; fewer are found within a second


def cached_statistics(
    features: FeatureFolder, clips: Sequence[str], modality: str, folders: Sequence[Path]
) -> Statistics:
    """Return `token_statistics`, or those of an earlier start with the same clips and files.

    Args:
        features: the tokens.
        clips: all clips that may be looked at.
        modality: whose tokens.
        folders: where the statistics of many clips may be, as for `cached_tensors`.
    """

    def make() -> dict[str, Tensor]:
        return token_statistics(features, clips, modality)._asdict()

    if len(clips) < _SMALL:
        return Statistics(**make())
    name = f"statistics-{digest(features.root.resolve(), modality, *clips)}"
    return Statistics(**cached_tensors(name, folders, state=digest(features.state, rules_digest()), make=make))


def token_statistics(features: FeatureFolder, clips: Sequence[str], modality: str, *, limit: int = 500) -> Statistics:
    """Return mean and deviation of each channel over the tokens of `limit` clips at most, evenly spaced by name."""
    names = sorted({clip for clip in clips if features.has(clip, modality)})
    if not names:
        raise ValueError(
            f"{features.root}: no {modality} features of any clip; run scripts/extract_features.py for them"
        )
    count = min(limit, len(names))
    evenly_spaced = [names[k * len(names) // count] for k in range(count)]
    tokens = torch.cat([features.load(name, modality) for name in evenly_spaced])
    return Statistics(tokens.mean(0), tokens.std(0))
