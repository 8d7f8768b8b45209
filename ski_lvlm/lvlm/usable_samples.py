"""Conversations that can be trained on, checked before training starts."""

import logging

from ski_lvlm.datasets.instruction_file import Conversation
from ski_lvlm.llm.conversation import IGNORED
from ski_lvlm.lvlm.samples import InstructDataset, clips_of

logger = logging.getLogger(__name__)


def drop_unusable(dataset: InstructDataset, *, skip_missing: bool = False) -> InstructDataset:
    """Check every conversation before training starts, and return the dataset of those that can be trained on.

    Conversations that lose their whole answer to truncation (at most 1 %) are dropped and, with `skip_missing`, those
    whose clips have no features. Both are counted in the log, and so are those that lose a part of their answers.

    Raises:
        ValueError: clips without features, two clips with one file, an answer without a token, or more than 1 %
            truncated away.
    """
    features, modalities, limit = dataset.features, dataset.settings.modalities, dataset.settings.limit
    present = [c for c in dataset.conversations if not _missing(dataset, c)]
    absent = len(dataset) - len(present)
    if absent and not skip_missing:
        first = [name for c in dataset.conversations for name in _missing(dataset, c)][:5]
        raise ValueError(
            f"{absent} of {len(dataset)} conversations name clips without features in {features.root}, first "
            f"{first}; run scripts/extract_features.py for them, or skip them with --skip_missing True"
        )
    for modality in modalities:
        clips = (clip for c in present for name, clip in clips_of(c, modalities).items() if name == modality)
        features.check_apart(clips, modality)
    shares = [_trained_share(dataset, c) for c in present]
    usable = [c for c, share in zip(present, shares, strict=True) if share]
    shortened = [c.id for c, share in zip(present, shares, strict=True) if 0 < share < 1]
    truncated = len(present) - len(usable)
    if truncated > 0.01 * len(present):
        raise ValueError(
            f"{truncated} of {len(present)} conversations have no trained token within {limit.tokens} tokens (at most "
            f"1 % may); {limit.remedy}"
        )
    for reason, count in (("without features", absent), ("truncated before their answer", truncated)):
        if count:
            logger.warning("skipped %d conversations %s", count, reason)
    if shortened:
        logger.warning(
            "%d conversations are longer than %d tokens and lose the end of their answers, first %s; %s",
            len(shortened),
            limit.tokens,
            shortened[:5],
            limit.remedy,
        )
    return InstructDataset(usable, features, dataset.tokenizer, dataset.settings)


def _missing(dataset: InstructDataset, conversation: Conversation) -> list[str]:
    clips = clips_of(conversation, dataset.settings.modalities)
    return [f"{name}/{clip}" for name, clip in clips.items() if not dataset.features.has(clip, name)]


def _trained_share(dataset: InstructDataset, conversation: Conversation) -> float:
    """Return the share of the answers' tokens that remains when the sample is truncated."""
    clips = clips_of(conversation, dataset.settings.modalities)
    counts = {name: dataset.features.token_count(clip, name) for name, clip in clips.items()}
    trained = dataset.encode(conversation, counts).labels != IGNORED
    if not trained.any():
        raise ValueError(f"conversation {conversation.id!r} has no token to train on; give it a non-empty answer")
    return float(trained[: dataset.settings.limit.tokens].sum() / trained.sum())
