"""Pooled features of skeletons, computed once by a frozen encoder and kept on disk."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.utils.data import DataLoader

from ski_lvlm.cli import progress
from ski_lvlm.datasets.skeleton_clips import SkeletonClips, collate
from ski_lvlm.storage.digests import digest
from ski_lvlm.storage.files import atomic_path
from ski_lvlm.storage.weight_files import read_safetensors

_BATCH = 64


class FeatureTable(NamedTuple):
    """Features of clips and the classes they show, by number."""

    features: Float[Tensor, "N F"]
    labels: Int[Tensor, " N"]

    def of_classes(self, numbers: list[int]) -> "FeatureTable":
        """Return the clips of some classes, which are counted anew in the given order."""
        place = torch.full((int(self.labels.max()) + 1 if len(self.labels) else 1,), -1)
        for new, old in enumerate(numbers):
            if old < len(place):
                place[old] = new
        labels = place[self.labels]
        return FeatureTable(self.features[labels >= 0], labels[labels >= 0])


@torch.no_grad()
def feature_table(
    pooled: Callable[[Tensor], Float[Tensor, "B F"]],
    clips: SkeletonClips,
    *,
    file: Path,
    encoder: str,
    device: torch.device,
) -> FeatureTable:
    """Compute the features of clips, or read those that an earlier start left in `file`.

    Args:
        pooled: a frozen encoder, on `device`.
        clips: not augmented.
        file: its header holds a digest of the encoder, the packed set and the names of clips.
        encoder: digest of the encoder.
        device: of the encoder.

    Raises:
        ValueError: a feature is not finite.
    """
    labels = torch.tensor(clips.labels, dtype=torch.int64)
    key = digest(encoder, clips.packed.source, json.dumps(clips.names), clips.num_frames)
    if file.is_file() and _key(file) == key:
        return FeatureTable(read_safetensors(file)["features"], labels)
    rows = []
    with progress(file.stem, total=len(clips)) as advance:
        for batch in DataLoader(clips, batch_size=_BATCH, collate_fn=collate):
            rows.append(pooled(batch["skeleton"].to(device)).float().cpu())
            advance(len(rows[-1]))
    features = torch.cat(rows)
    if not bool(features.isfinite().all()):
        raise ValueError("the skeleton encoder's features are not numbers; its training diverged: pretrain it again")
    with atomic_path(file) as temporary:
        save_file({"features": features}, temporary, metadata={"key": key})
    return FeatureTable(features, labels)


def _key(file: Path) -> str:
    try:
        with safe_open(file, framework="pt") as content:
            return str((content.metadata() or {}).get("key"))
    except SafetensorError:  # damaged: it is made again
        return ""
