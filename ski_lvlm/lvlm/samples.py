"""Instruction pairs and features become samples for the LLM, and samples become batches."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerBase

from ski_lvlm.datasets.instruction_file import Conversation
from ski_lvlm.llm.conversation import IGNORED, PLACEHOLDER_IDS, encode
from ski_lvlm.llm.limits import Context
from ski_lvlm.lvlm.features import FeatureFolder
from ski_lvlm.lvlm.projector import Statistics
from ski_lvlm.storage.digests import digest_number

logger = logging.getLogger(__name__)


class InstructSample(NamedTuple):
    """One conversation for the LLM with the tokens that go into its placeholders."""

    ids: Int[Tensor, " L"]
    labels: Int[Tensor, " L"]
    features: dict[str, Float[Tensor, "_ _"]]  # modality → [N F]


class InstructDataset(Dataset[InstructSample]):
    """Conversations with their features; truncated to `max_length` tokens, skeletons left out at random if asked.

    They are truncated to what the language model reads, its `context`, if that is less.

    `skeleton_dropout` leaves the skeleton tokens of a sample out (the tokens, not their values), since inference never
    has them; the choice depends on seed, epoch and sample alone, so that a resumed run makes the same one.
    """

    def __init__(
        self,
        conversations: Sequence[Conversation],
        features: FeatureFolder,
        tokenizer: PreTrainedTokenizerBase,
        *,
        modalities: Sequence[str] = ("video", "skeleton"),
        max_length: int = 2048,
        context: Context | None = None,
        chat_template: str = "auto",
        skeleton_dropout: float = 0.0,
        seed: int = 0,
    ) -> None:
        self.conversations = conversations
        self.features = features
        self.tokenizer = tokenizer
        self.modalities = tuple(modalities)
        self.max_length, self.remedy = max_length, "raise --model_max_length"
        if context is not None and context.tokens < max_length:
            self.max_length = context.tokens
            self.remedy = f"the language model reads no more ({context.source}); shorten them or take one that does"
        self.chat_template = chat_template
        self.skeleton_dropout = skeleton_dropout
        self.seed = seed

    def __len__(self) -> int:
        return len(self.conversations)

    def __getitem__(self, key: int | tuple[int, int]) -> InstructSample:
        """The conversation `key`, or conversation `key[1]` with the skeletons that epoch `key[0]` leaves."""
        epoch, index = key if isinstance(key, tuple) else (0, key)
        conversation = self.conversations[index]
        clips = clips_of(conversation, self.modalities)
        if self._drops_skeleton(epoch, index):
            clips.pop("skeleton", None)
        features = {modality: self.features.load(clip, modality) for modality, clip in clips.items()}
        encoded = encode(
            conversation.turns,
            self.tokenizer,
            token_counts={modality: len(tokens) for modality, tokens in features.items()},
            chat_template=self.chat_template,
        )
        ids, labels = encoded.ids[: self.max_length], encoded.labels[: self.max_length]
        self._check_whole(conversation, ids, features)
        return InstructSample(ids, labels, features)

    def _check_whole(self, conversation: Conversation, ids: Int[Tensor, " L"], features: Mapping[str, Tensor]) -> None:
        for modality, tokens in features.items():
            left = int((ids == PLACEHOLDER_IDS[modality]).sum())
            if left != len(tokens):
                raise ValueError(
                    f"conversation {conversation.id!r}: only {left} of {len(tokens)} {modality} tokens fit into "
                    f"{self.max_length}; shorten the question, or {self.remedy}"
                )

    def _drops_skeleton(self, epoch: int, index: int) -> bool:
        return digest_number(f"{self.seed}/{epoch}/{index}") / 2**64 < self.skeleton_dropout


def clips_of(conversation: Conversation, modalities: Sequence[str]) -> dict[str, str]:
    """The clip that a conversation names for each of the modalities it has, {"video": clip, "skeleton": clip}."""
    named = {"video": conversation.video, "skeleton": conversation.skeleton}
    return {name: clip for name, clip in named.items() if clip is not None and name in modalities}


def check_dataset(dataset: InstructDataset, *, skip_missing: bool = False) -> InstructDataset:
    """Look at every conversation before training starts: clips must have features, answers must fit.

    Returns the dataset without the conversations that lost their whole answer to truncation (at most 1 %) and, with
    `skip_missing`, without those whose clips have no features. Both are counted in the log, and so are those that lose
    a part of their answers.

    Raises:
        ValueError: clips without features, two clips with one file, an answer without a token, or more than 1 %
            truncated away.
    """
    present = [c for c in dataset.conversations if not _missing(dataset, c)]
    absent = len(dataset) - len(present)
    if absent and not skip_missing:
        first = [name for c in dataset.conversations for name in _missing(dataset, c)][:5]
        raise ValueError(
            f"{absent} of {len(dataset)} conversations name clips without features in {dataset.features.root}, first "
            f"{first}; run scripts/extract_features.py for them, or leave them out with --skip_missing True"
        )
    for modality in dataset.modalities:
        clips = (clip for c in present for name, clip in clips_of(c, dataset.modalities).items() if name == modality)
        dataset.features.check_apart(clips, modality)
    shares = [_trained_share(dataset, c) for c in present]
    kept = [c for c, share in zip(present, shares, strict=True) if share]
    shortened = [c.id for c, share in zip(present, shares, strict=True) if 0 < share < 1]
    truncated = len(present) - len(kept)
    if truncated > 0.01 * len(present):
        raise ValueError(
            f"{truncated} of {len(present)} conversations have no trained token left within {dataset.max_length} "
            f"tokens (at most 1 % may); {dataset.remedy}"
        )
    for reason, count in (("without features", absent), ("truncated before their answer", truncated)):
        if count:
            logger.warning("left out %d conversations %s", count, reason)
    if shortened:
        logger.warning(
            "%d conversations are longer than %d tokens and lose the end of their answers, first %s; %s",
            len(shortened),
            dataset.max_length,
            shortened[:5],
            dataset.remedy,
        )
    dataset.conversations = kept
    return dataset


def _missing(dataset: InstructDataset, conversation: Conversation) -> list[str]:
    clips = clips_of(conversation, dataset.modalities)
    return [f"{name}/{clip}" for name, clip in clips.items() if not dataset.features.has(clip, name)]


def _trained_share(dataset: InstructDataset, conversation: Conversation) -> float:
    """Return the share of the answers' tokens that is left when the sample is truncated."""
    clips = clips_of(conversation, dataset.modalities)
    counts = {name: dataset.features.token_count(clip, name) for name, clip in clips.items()}
    encoded = encode(conversation.turns, dataset.tokenizer, token_counts=counts, chat_template=dataset.chat_template)
    trained = encoded.labels != IGNORED
    if not trained.any():
        raise ValueError(f"conversation {conversation.id!r} has no token to train on; give it a non-empty answer")
    return float(trained[: dataset.max_length].sum() / trained.sum())


def token_statistics(features: FeatureFolder, clips: Sequence[str], modality: str, *, most: int = 500) -> Statistics:
    """Mean and standard deviation of each channel over the tokens of at most `most` clips, evenly spaced by name.

    Raises:
        ValueError: none of the clips has features of this modality.
    """
    names = sorted({clip for clip in clips if features.has(clip, modality)})
    if not names:
        raise ValueError(
            f"{features.root}: no {modality} features of any clip; run scripts/extract_features.py for them"
        )
    count = min(most, len(names))
    chosen = [names[k * len(names) // count] for k in range(count)]
    tokens = torch.cat([features.load(name, modality) for name in chosen])
    return Statistics(tokens.mean(0), tokens.std(0))


def left_padded(sequences: Sequence[Int[Tensor, " _"]], value: int) -> Int[Tensor, "B L"]:
    """Stack sequences of unequal length, filled up on the left: answers then end together, which saves logits."""
    return torch.nn.utils.rnn.pad_sequence(list(sequences), batch_first=True, padding_value=value, padding_side="left")


class InstructCollator:
    """Batches of samples; every modality is present in every batch, if need be with no tokens at all.

    An absent modality still runs through its projector (on an empty tensor), so that all ranks make the same calls.
    """

    def __init__(self, pad_id: int, token_widths: Mapping[str, int]) -> None:
        self.pad_id = pad_id
        self.token_widths = dict(token_widths)

    def __call__(self, samples: Sequence[InstructSample]) -> dict[str, Any]:
        """The arguments of `SkiLvlm.forward`."""
        return {
            "ids": left_padded([s.ids for s in samples], self.pad_id),
            "labels": left_padded([s.labels for s in samples], IGNORED),
            "attention_mask": left_padded([torch.ones_like(s.ids) for s in samples], 0),
            "features": {name: self._stacked(samples, name) for name in self.token_widths},
        }

    def _stacked(self, samples: Sequence[InstructSample], modality: str) -> Float[Tensor, "_ _"]:
        present = [s.features[modality] for s in samples if modality in s.features]
        return torch.cat(present) if present else torch.empty(0, self.token_widths[modality])
