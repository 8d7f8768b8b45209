"""Samples for the LLM from instruction pairs and features, and batches of samples."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerBase

from ski_lvlm.datasets.instruction_file import Conversation
from ski_lvlm.llm.conversation import IGNORED, PLACEHOLDER_IDS, Encoded, encode
from ski_lvlm.llm.limits import Context
from ski_lvlm.lvlm.features import FeatureFolder
from ski_lvlm.lvlm.padding import left_padded
from ski_lvlm.lvlm.projector import Statistics
from ski_lvlm.storage.digests import digest_number

logger = logging.getLogger(__name__)


class LengthLimit(NamedTuple):
    """Maximum length of a sample in tokens, and the remedy for longer ones."""

    tokens: int
    remedy: str


@dataclass(frozen=True)
class SampleSettings:
    """Settings of the way from conversations to samples.

    Samples are truncated to `max_length` tokens, or to the language model's `context` if that is shorter.

    `skeleton_dropout` is the share of samples without skeleton tokens (the tokens, not their values), since inference
    never has them. Seed, epoch and sample alone decide which, so that a resumed run has the same ones.
    """

    modalities: tuple[str, ...] = ("video", "skeleton")
    max_length: int = 2048
    context: Context | None = None
    chat_template: str = "auto"
    skeleton_dropout: float = 0.0
    seed: int = 0

    @property
    def limit(self) -> LengthLimit:
        """Return the longest sample in tokens, and the remedy where that is too short."""
        if self.context is None or self.context.tokens >= self.max_length:
            return LengthLimit(self.max_length, "raise --model_max_length")
        remedy = f"the language model reads no more ({self.context.source}); shorten them or take one that does"
        return LengthLimit(self.context.tokens, remedy)


class InstructSample(NamedTuple):
    """One conversation for the LLM with the tokens that go into its placeholders."""

    ids: Int[Tensor, " L"]
    labels: Int[Tensor, " L"]
    features: dict[str, Float[Tensor, "_ _"]]  # modality → [N F]


class InstructDataset(Dataset[InstructSample]):
    """Conversations with their features, as samples for the LLM."""

    def __init__(
        self,
        conversations: Sequence[Conversation],
        features: FeatureFolder,
        tokenizer: PreTrainedTokenizerBase,
        settings: SampleSettings,
    ) -> None:
        self.conversations, self.features, self.tokenizer = conversations, features, tokenizer
        self.settings = settings

    def __len__(self) -> int:
        return len(self.conversations)

    def __getitem__(self, key: int | tuple[int, int]) -> InstructSample:
        """Return conversation `key`, or conversation `key[1]` with the skeleton dropout of epoch `key[0]`."""
        epoch, index = key if isinstance(key, tuple) else (0, key)
        conversation = self.conversations[index]
        clips = clips_of(conversation, self.settings.modalities)
        if self._drops_skeleton(epoch, index):
            clips.pop("skeleton", None)
        features = {modality: self.features.load(clip, modality) for modality, clip in clips.items()}
        encoded = self.encode(conversation, {modality: len(tokens) for modality, tokens in features.items()})
        ids, labels = (part[: self.settings.limit.tokens] for part in encoded)
        self._check_whole(conversation, ids, features)
        return InstructSample(ids, labels, features)

    def encode(self, conversation: Conversation, token_counts: Mapping[str, int]) -> Encoded:
        """Return ids and labels of a conversation whose modalities have so many tokens, not truncated."""
        template = self.settings.chat_template
        return encode(conversation.turns, self.tokenizer, token_counts=token_counts, chat_template=template)

    def _check_whole(self, conversation: Conversation, ids: Int[Tensor, " L"], features: Mapping[str, Tensor]) -> None:
        limit = self.settings.limit
        for modality, tokens in features.items():
            count = int((ids == PLACEHOLDER_IDS[modality]).sum())
            if count != len(tokens):
                raise ValueError(
                    f"conversation {conversation.id!r}: only {count} of {len(tokens)} {modality} tokens fit into "
                    f"{limit.tokens}; shorten the question, or {limit.remedy}"
                )

    def _drops_skeleton(self, epoch: int, index: int) -> bool:
        draw = digest_number(f"{self.settings.seed}/{epoch}/{index}") / 2**64
        return draw < self.settings.skeleton_dropout


def clips_of(conversation: Conversation, modalities: Sequence[str]) -> dict[str, str]:
    """Return the clip of each of the modalities that a conversation has, {"video": clip, "skeleton": clip}."""
    clips = {"video": conversation.video, "skeleton": conversation.skeleton}
    return {name: clip for name, clip in clips.items() if clip is not None and name in modalities}


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


class InstructCollator:
    """Collator of samples into batches in which every modality is present, if need be with no tokens at all."""

    def __init__(self, pad_id: int, token_widths: Mapping[str, int]) -> None:
        self.pad_id = pad_id
        # An absent modality runs through its projector as an empty tensor, so that all ranks make the same calls.
        self.token_widths = dict(token_widths)

    def __call__(self, samples: Sequence[InstructSample]) -> dict[str, Any]:
        """Return the arguments of `SkiLvlm.forward`."""
        return {
            "ids": left_padded([s.ids for s in samples], self.pad_id),
            "labels": left_padded([s.labels for s in samples], IGNORED),
            "attention_mask": left_padded([torch.ones_like(s.ids) for s in samples], 0),
            "features": {name: self._stacked(samples, name) for name in self.token_widths},
        }

    def _stacked(self, samples: Sequence[InstructSample], modality: str) -> Float[Tensor, "_ _"]:
        present = [s.features[modality] for s in samples if modality in s.features]
        return torch.cat(present) if present else torch.empty(0, self.token_widths[modality])
