"""Measures of every conversation: tokens of the sample, trained ones, and whether its clips have features."""

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from ski_lvlm.datasets.instruction_file import Conversation
from ski_lvlm.llm.conversation import Piece, pieces_of, token_spans
from ski_lvlm.lvlm.features import MODALITIES, FeatureFolder
from ski_lvlm.lvlm.samples import InstructDataset
from ski_lvlm.storage.text_table import TextTable

logger = logging.getLogger(__name__)
_BLOCK = 2000  # conversations tokenised together
_NOTICE = 1000  # conversations that take long enough for a word

Files = dict[str, dict[str, str | None]]  # modality → clip → file in the modality's folder


class Layout(NamedTuple):
    """A conversation laid out with all its modalities, and without its skeleton where that may be dropped."""

    conversation: Conversation
    token_counts: dict[str, int]
    pieces: list[Piece]
    bare_pieces: list[Piece]


class Measures(NamedTuple):
    """Numbers of tokens of one sample. Only `trained_within` is of what truncation leaves."""

    length: int = 0
    bare_length: int = 0  # without the skeleton
    trained: int = 0
    trained_within: int = 0


def measure(dataset: InstructDataset, *, skip_missing: bool) -> dict[str, Tensor]:
    """Measure all conversations, opening each clip's file once.

    Raises:
        ValueError: as `sample_index`. The message is about the first conversation at fault.
    """
    if len(dataset) >= _NOTICE:
        logger.info("measuring %d conversations, once for these files", len(dataset))
    conversations = list(dataset.conversations)
    clips = [dataset.clips(conversation) for conversation in conversations]
    files = _files(clips, dataset.settings.modalities, dataset.features)
    is_absent = np.array([any(files[name][clip] is None for name, clip in of.items()) for of in clips], dtype=bool)
    if not skip_missing:
        refuse_absent(dataset, is_absent)
    present = [c for c, missing in zip(conversations, is_absent, strict=True) if not missing]
    for name in dataset.settings.modalities:
        dataset.features.check_apart((of[name] for c in present if name in (of := dataset.clips(c))), name)
    measures = np.zeros((len(conversations), len(Measures._fields)), np.int32)
    if present:
        measures[~is_absent] = list(_measures(dataset, present))
    columns = {name: torch.from_numpy(measures[:, k].copy()) for k, name in enumerate(Measures._fields)}
    return {"is_absent": torch.from_numpy(is_absent), **columns, **_tables(files)}


def refuse_absent(dataset: InstructDataset, is_absent: Bool[np.ndarray, " C"]) -> None:
    """Raise the error that names clips without features, if a conversation has any."""
    if not is_absent.any():
        return
    absent = (dataset.conversations[int(k)] for k in np.flatnonzero(is_absent))
    first = list(islice((name for conversation in absent for name in _missing(dataset, conversation)), 5))
    raise ValueError(
        f"{is_absent.sum()} of {len(dataset)} conversations name clips without features in {dataset.features.root}, "
        f"first {first}; run scripts/extract_features.py for them, or skip them with --skip_missing True"
    )


def _missing(dataset: InstructDataset, conversation: Conversation) -> list[str]:
    clips = dataset.clips(conversation)
    return [f"{name}/{clip}" for name, clip in clips.items() if not dataset.features.has(clip, name)]


def _files(clips: Sequence[Mapping[str, str]], modalities: Sequence[str], features: FeatureFolder) -> Files:
    files: Files = {name: {} for name in MODALITIES}
    for of_conversation in clips:
        for name, clip in of_conversation.items():
            if clip not in files[name]:
                files[name][clip] = features.find_relative(clip, name)
    for name in modalities:
        features.remember(name, {clip: file for clip, file in files[name].items() if file is not None})
    return files


def _tables(files: Files) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for name, of_clips in files.items():
        present = {clip: file for clip, file in of_clips.items() if file is not None}
        tensors |= TextTable.tensors(present, prefix=f"{name}.clip.")
        tensors |= TextTable.tensors(present.values(), prefix=f"{name}.file.")
    return tensors


def _measures(dataset: InstructDataset, conversations: Sequence[Conversation]) -> Iterator[Measures]:
    counts: dict[tuple[str, str], int] = {}

    def laid_out(conversation: Conversation) -> Layout:
        clips = dataset.clips(conversation)
        for name, clip in clips.items():
            if (name, clip) not in counts:
                counts[name, clip] = dataset.features.token_count(clip, name)
        token_counts = dataset.embeddings({name: counts[name, clip] for name, clip in clips.items()})
        pieces = pieces_of(conversation.turns, dataset.template, token_counts)
        if not (dataset.drops_skeletons and "skeleton" in clips):
            return Layout(conversation, token_counts, pieces, pieces)
        return Layout(conversation, token_counts, pieces, pieces_of(conversation.turns, dataset.template, ("video",)))

    for start in range(0, len(conversations), _BLOCK):
        layouts: list[Layout] = []
        block: list[Measures] = []
        try:
            layouts += map(laid_out, conversations[start : start + _BLOCK])
        finally:  # of two conversations at fault, the error is about the first
            block += _measures_of(dataset, layouts)
        yield from block
    # Worker processes are forked later. Without this word each of them warns that the tokenizer has used threads.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def _measures_of(dataset: InstructDataset, layouts: Sequence[Layout]) -> list[Measures]:
    parts = (part for layout in layouts for piece in (*layout.pieces, *layout.bare_pieces) for part in piece.parts)
    dataset.template.plain.tokenise_together(parts)
    return [_measure(dataset, layout) for layout in layouts]


def _measure(dataset: InstructDataset, layout: Layout) -> Measures:
    limit, template = dataset.settings.limit.tokens, dataset.template
    length, trained, trained_within = 0, 0, 0
    for count, is_trained in token_spans(layout.pieces, template, layout.token_counts):
        if is_trained:
            trained += count
            trained_within += max(0, min(count, limit - length))
        length += count
    if not trained:
        raise ValueError(
            f"conversation {layout.conversation.id!r} has no token to train on; give it a non-empty answer"
        )
    bare_length = length
    if layout.bare_pieces is not layout.pieces:
        bare_length = sum(count for count, _ in token_spans(layout.bare_pieces, template, layout.token_counts))
    return Measures(length, bare_length, trained, trained_within)
