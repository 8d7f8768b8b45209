"""Mean and deviation of the channels of tokens, by which projectors standardise them."""

from collections.abc import Sequence

import torch

from ski_lvlm.lvlm.features import FeatureFolder
from ski_lvlm.lvlm.projectors.projector import Statistics


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
