"""Lengths of all samples and files of their clips, measured once before training."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int
from torch import Tensor

from ski_lvlm.datasets.instruction_index import IndexedConversations
from ski_lvlm.llm.loading import tokenizer_digest
from ski_lvlm.lvlm.features import MODALITIES, FeatureFolder
from ski_lvlm.lvlm.sample_measures import measure
from ski_lvlm.lvlm.samples import InstructDataset
from ski_lvlm.storage.digests import digest
from ski_lvlm.storage.tensor_cache import cached_tensors, rules_digest
from ski_lvlm.storage.text_table import TextTable

_SMALL = 1000  # conversations; fewer are measured within a second


class SampleIndex:
    """Measures of each conversation, mapped from disk.

    Counts are of tokens, before truncation unless they are within the limit. Those of conversations without features
    are 0.
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self.is_absent: Bool[np.ndarray, " C"] = tensors["is_absent"].numpy()  # a clip has no features
        self.lengths: Int[np.ndarray, " C"] = tensors["length"].numpy()
        self.bare_lengths: Int[np.ndarray, " C"] = tensors["bare_length"].numpy()  # when the skeleton is dropped
        self.trained: Int[np.ndarray, " C"] = tensors["trained"].numpy()  # tokens of answers
        self.trained_within: Int[np.ndarray, " C"] = tensors["trained_within"].numpy()  # the limit
        self.files = {
            modality: (TextTable(tensors, prefix=f"{modality}.clip."), TextTable(tensors, prefix=f"{modality}.file."))
            for modality in MODALITIES
        }

    def locate_clips(self, features: FeatureFolder) -> None:
        """Tell the feature folder where the clips' files are, so that no process searches for them."""
        for modality, (clips, files) in self.files.items():
            features.remember(modality, dict(zip(clips, files, strict=True)))


def sample_index(dataset: InstructDataset, folders: Sequence[Path], *, skip_missing: bool = False) -> SampleIndex:
    """Measure the samples of a dataset, or map what an earlier start has measured.

    Args:
        dataset: of a whole instruction file.
        folders: where the index of a large file may be, as for `cached_tensors`.
        skip_missing: measure the others if conversations name clips without features.

    Raises:
        ValueError: clips without features, two clips with one file, or an answer without a token.
    """

    def make() -> dict[str, Tensor]:
        return measure(dataset, skip_missing=skip_missing)

    conversations, settings = dataset.conversations, dataset.settings
    if not isinstance(conversations, IndexedConversations):
        return SampleIndex(make())
    if len(dataset) < _SMALL:
        folders = ()
    name = digest(
        *(conversations.source, dataset.features.root.resolve(), tokenizer_digest(dataset.tokenizer)),
        *(settings.modalities, settings.limit.tokens, settings.chat_template),
        *(settings.projectors, dataset.drops_skeletons),
        *sorted(settings.partners.items()),
    )
    state = digest(conversations.digest, dataset.features.state, rules_digest())
    return SampleIndex(cached_tensors(f"samples-{name}", folders, state=state, make=make))
