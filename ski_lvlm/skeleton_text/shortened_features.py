"""Features of shortened versions of clips, beside those of the whole clips (SMIE's own track)."""

from collections.abc import Callable
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from ski_lvlm.datasets.skeleton_clips import ShortenedClips, SkeletonClips
from ski_lvlm.skeleton_text.features import FeatureTable, feature_table
from ski_lvlm.storage.digests import digest


def with_shortened(
    table: FeatureTable,
    pooled: Callable[[Tensor], Float[Tensor, "B F"]],
    clips: SkeletonClips,
    *,
    number: int,
    seed: int,
    file: Path,
    encoder: str,
    device: torch.device,
) -> FeatureTable:
    """Return the table of clips with the features of `number` shortened versions behind each whole one's, (N F 1+R).

    Args:
        table: of the whole clips.
        pooled: a frozen encoder, on `device`.
        clips: whole ones.
        number: R, versions of each clip. Each has a file of its own beside `file`.
        seed: of the frames that are removed.
        file: of the whole clips' features.
        encoder: digest of the encoder.
        device: of the encoder.
    """
    versions = [table.features]
    for version in range(1, number + 1):
        shortened = feature_table(
            pooled,
            ShortenedClips(clips, draw=(seed, version)),
            file=file.with_stem(f"{file.stem}_shortened_{version}"),
            encoder=digest(encoder, "shortened", seed, version),
            device=device,
        )
        versions.append(shortened.features)
    return FeatureTable.of(torch.stack(versions, dim=-1), table.labels)
