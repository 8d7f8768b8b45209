"""Batches of samples for the LLM."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ski_lvlm.llm.conversation import IGNORED
from ski_lvlm.lvlm.padding import left_padded
from ski_lvlm.lvlm.samples import InstructSample


class InstructCollator:
    """Collator of samples into batches in which every modality is present, if need be with no tokens at all.

    `packing` puts the samples behind each other into one row, without padding.
    """

    def __init__(self, pad_id: int, token_widths: Mapping[str, int], *, packing: bool = False) -> None:
        self.pad_id, self.packing = pad_id, packing
        # An absent modality runs through its projector as an empty tensor, so that all ranks make the same calls.
        self.token_widths = dict(token_widths)

    def __call__(self, samples: Sequence[InstructSample]) -> dict[str, Any]:
        """Return the arguments of `SkiLvlm.forward`."""
        batch = {
            **self._laid_out(samples),
            "features": {name: self._stacked(samples, name) for name in self.token_widths},
            "token_counts": {name: _counts(samples, name) for name in self.token_widths},
        }
        students = [
            InstructSample(*sample.video_only, {"video": sample.features["video"]})
            for sample in samples
            if sample.video_only is not None
        ]
        return batch | ({"video_only": {"batch": self(students), "taught": self._taught(samples)}} if students else {})

    def _taught(self, samples: Sequence[InstructSample]) -> Int[Tensor, "B L"]:
        """Return the labels of the batch, as far as they are of samples that teach the video alone."""
        unlabelled = [s if s.video_only else s._replace(labels=torch.full_like(s.labels, IGNORED)) for s in samples]
        return cast(Tensor, self._laid_out(unlabelled)["labels"])

    def _laid_out(self, samples: Sequence[InstructSample]) -> dict[str, Any]:
        return _row(samples) if self.packing else self._padded(samples)

    def _padded(self, samples: Sequence[InstructSample]) -> dict[str, Any]:
        return {
            "ids": left_padded([s.ids for s in samples], self.pad_id),
            "labels": left_padded([s.labels for s in samples], IGNORED),
            "attention_mask": left_padded([torch.ones_like(s.ids) for s in samples], 0),
        }

    def _stacked(self, samples: Sequence[InstructSample], modality: str) -> Float[Tensor, "_ _"]:
        present = [s.features[modality] for s in samples if modality in s.features]
        return torch.cat(present) if present else torch.empty(0, self.token_widths[modality])


def _row(samples: Sequence[InstructSample]) -> dict[str, Any]:
    labels = [s.labels.clone() for s in samples]
    for of_sample in labels:
        of_sample[0] = IGNORED  # nothing before it predicts it, and the sample before must not
    return {
        "ids": torch.cat([s.ids for s in samples]).unsqueeze(0),
        "labels": torch.cat(labels).unsqueeze(0),
        "sample_lengths": [len(s.ids) for s in samples],
    }


def _counts(samples: Sequence[InstructSample], modality: str) -> Int[Tensor, " _"]:
    counts = [len(s.features[modality]) for s in samples if modality in s.features]
    return torch.tensor(counts, dtype=torch.long)
