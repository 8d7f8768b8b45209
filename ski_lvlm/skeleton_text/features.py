"""Pooled features of skeletons, computed once by a frozen encoder and kept on disk."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

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


@dataclass(frozen=True)
class FeatureTable:
    """Features of clips and the classes they show, by number.

    Features may be mapped from a file. `rows` says where each clip's lies, so that a part of a table copies nothing.
    """

    features: Float[Tensor, "R *F"]
    labels: Int[Tensor, " N"]
    rows: Int[Tensor, " N"]

    @classmethod
    def of(cls, features: Float[Tensor, "N *F"], labels: Int[Tensor, " N"]) -> "FeatureTable":
        """Return the table of all clips."""
        return cls(features, labels, torch.arange(len(labels)))

    def __len__(self) -> int:
        return len(self.labels)

    def of_classes(self, numbers: list[int]) -> "FeatureTable":
        """Return the clips of some classes, which are counted anew in the given order."""
        place = torch.full((int(self.labels.max()) + 1 if len(self) else 1,), -1)
        for new, old in enumerate(numbers):
            if old < len(place):
                place[old] = new
        labels = place[self.labels]
        return FeatureTable(self.features, labels[labels >= 0], self.rows[labels >= 0])

    def batch(self, places: Int[Tensor, " B"]) -> Float[Tensor, "B *F"]:
        """Return the features of clips by their places in the table."""
        return self.features[self.rows[places]].float()

    def batches(self, size: int = 256) -> Iterator[Float[Tensor, "B *F"]]:
        """Iterate over the features of all clips, in order."""
        for places in torch.arange(len(self)).split(size):
            yield self.batch(places)


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
    key = clips_key(encoder, clips)
    if file.is_file() and _key(file) == key:
        return FeatureTable.of(read_safetensors(file)["features"], labels)
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
    return FeatureTable.of(features, labels)


def clips_key(encoder: str, clips: SkeletonClips) -> str:
    """Return a digest of all that features depend on."""
    return digest(encoder, clips.packed.source, json.dumps(clips.names), clips.num_frames)


def _key(file: Path) -> str:
    try:
        with safe_open(file, framework="pt") as content:
            return str((content.metadata() or {}).get("key"))
    except SafetensorError:  # damaged: it is made again
        return ""
