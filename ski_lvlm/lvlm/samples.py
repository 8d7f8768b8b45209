"""Samples for the LLM from instruction pairs and features."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerBase

from ski_lvlm.datasets.instruction_file import Conversation
from ski_lvlm.datasets.instruction_index import IndexedConversations
from ski_lvlm.llm.chat_template import ChatTemplate
from ski_lvlm.llm.conversation import PLACEHOLDER_IDS, Encoded, encode_pieces, pieces_of
from ski_lvlm.llm.limits import Context
from ski_lvlm.lvlm.distillation import video_only_sample
from ski_lvlm.lvlm.features import FeatureFolder
from ski_lvlm.lvlm.projectors.settings import ProjectorSettings
from ski_lvlm.lvlm.skeleton_control import SkeletonNoise
from ski_lvlm.lvlm.skeleton_dropout import SkeletonDropout
from ski_lvlm.training.epoch_sampler import SampleKey, sample_key


class LengthLimit(NamedTuple):
    """Maximum length of a sample in tokens, and the remedy for longer ones."""

    tokens: int
    remedy: str


@dataclass(frozen=True)
class SampleSettings:
    """Settings of the way from conversations to samples.

    Samples are truncated to `max_length` tokens, or to the language model's `context` if that is shorter.

    `skeleton_dropout` is the share of samples without skeleton tokens, which moves to `last_skeleton_dropout` where
    there is one. Controls give clips the skeleton tokens of their `partners`, or `noise`.
    """

    modalities: tuple[str, ...] = ("video", "skeleton")
    max_length: int = 2048
    context: Context | None = None
    chat_template: str = "auto"
    skeleton_dropout: float = 0.0
    last_skeleton_dropout: float | None = None
    seed: int = 0
    projectors: Mapping[str, ProjectorSettings] = field(default_factory=dict)  # linear where there is none
    partners: Mapping[str, str] = field(default_factory=dict)  # clip → clip whose skeleton tokens it has
    noise: SkeletonNoise | None = None
    is_distilled: bool = False  # samples with video and skeleton come with their `video_only`

    @property
    def limit(self) -> LengthLimit:
        """Return the longest sample in tokens, and the remedy where that is too short."""
        if self.context is None or self.context.tokens >= self.max_length:
            return LengthLimit(self.max_length, "raise --model_max_length")
        remedy = f"the language model reads no more ({self.context.source}); shorten them or take one that does"
        return LengthLimit(self.context.tokens, remedy)

    @property
    def dropout(self) -> SkeletonDropout:
        """Return the samples that go without their skeleton."""
        last = self.skeleton_dropout if self.last_skeleton_dropout is None else self.last_skeleton_dropout
        return SkeletonDropout(self.skeleton_dropout, last, self.seed)

    def embeddings(self, modality: str, tokens: int) -> int:
        """Return the number of embeddings that the language model reads of so many tokens."""
        return self.projectors.get(modality, ProjectorSettings()).count(tokens)


class InstructSample(NamedTuple):
    """One conversation for the LLM with the tokens that go into its placeholders."""

    ids: Int[Tensor, " L"]
    labels: Int[Tensor, " L"]
    features: dict[str, Float[Tensor, "_ _"]]  # modality → [N F]
    video_only: Encoded | None = None  # without the skeleton, as at inference, where that is to be taught


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
        self.template = ChatTemplate(tokenizer, settings.chat_template)
        self._lengths: Int[np.ndarray, " C 2"] | None = None

    @property
    def drops_skeletons(self) -> bool:
        """Return whether some samples go without the skeleton that they have."""
        return "skeleton" in self.settings.modalities and self.settings.dropout.is_active

    def subset(
        self, places: Int[np.ndarray, " D"], lengths: Int[np.ndarray, " C"], bare_lengths: Int[np.ndarray, " C"]
    ) -> "InstructDataset":
        """Return the conversations at these places, with lengths of all in tokens, with and without their skeletons."""
        conversations = self.conversations
        if isinstance(conversations, IndexedConversations):
            part: Sequence[Conversation] = conversations.subset(places)
        else:
            part = [conversations[int(place)] for place in places]
        dataset = InstructDataset(part, self.features, self.tokenizer, self.settings)
        dataset._lengths = np.stack([lengths, bare_lengths], axis=1)[places].clip(max=self.settings.limit.tokens)
        return dataset

    def lengths(self, epoch: int) -> Int[np.ndarray, " C"]:
        """Return the tokens of every sample in an epoch, which draws its own skeletons to drop, at a constant share.

        Raises:
            ValueError: they were not measured. `drop_unusable` does that.
        """
        if self._lengths is None:
            raise ValueError("the samples were not measured; expected the dataset that drop_unusable returns")
        if not self.drops_skeletons:
            return self._lengths[:, 0]
        is_bare = np.array([self.settings.dropout.drops(SampleKey(epoch, index)) for index in range(len(self))])
        return np.where(is_bare, self._lengths[:, 1], self._lengths[:, 0])

    def __len__(self) -> int:
        return len(self.conversations)

    def __getitem__(self, key: int | tuple[int, int] | SampleKey) -> InstructSample:
        """Return conversation `key`, or the one at that place of the training, with its skeleton or without."""
        place = sample_key(key)
        conversation = self.conversations[place.sample]
        clips = self.clips(conversation)
        if self.settings.dropout.drops(place):
            clips.pop("skeleton", None)
        features = {modality: self._tokens(clip, modality, place) for modality, clip in clips.items()}
        encoded = self.encode(conversation, {modality: len(tokens) for modality, tokens in features.items()})
        ids, labels = (part[: self.settings.limit.tokens] for part in encoded)
        self._check_whole(conversation, ids, features)
        return InstructSample(ids, labels, features, self._video_only(conversation, labels, features))

    def _video_only(
        self, conversation: Conversation, labels: Int[Tensor, " L"], features: Mapping[str, Tensor]
    ) -> Encoded | None:
        if not (self.settings.is_distilled and {"video", "skeleton"} <= features.keys()):
            return None
        encoded = self.encode(conversation, {"video": len(features["video"])})
        return video_only_sample(encoded, labels, limit=self.settings.limit.tokens)

    def clips(self, conversation: Conversation) -> dict[str, str]:
        """Return the clip from which a conversation has the tokens of each modality."""
        clips = clips_of(conversation, self.settings.modalities)
        return {name: self.settings.partners.get(c, c) if name == "skeleton" else c for name, c in clips.items()}

    def _tokens(self, clip: str, modality: str, place: SampleKey) -> Float[Tensor, "N F"]:
        if modality == "skeleton" and self.settings.noise is not None:
            return self.settings.noise.tokens(self.features.token_count(clip, modality), place)
        return self.features.load(clip, modality)

    def encode(self, conversation: Conversation, token_counts: Mapping[str, int]) -> Encoded:
        """Return ids and labels of a conversation whose modalities have so many tokens, not truncated."""
        pieces = pieces_of(conversation.turns, self.template, token_counts)
        return encode_pieces(pieces, self.template, self.embeddings(token_counts))

    def embeddings(self, token_counts: Mapping[str, int]) -> dict[str, int]:
        """Return the number of embeddings that the language model reads of so many tokens of each modality."""
        return {name: self.settings.embeddings(name, tokens) for name, tokens in token_counts.items()}

    def _check_whole(self, conversation: Conversation, ids: Int[Tensor, " L"], features: Mapping[str, Tensor]) -> None:
        limit = self.settings.limit
        for modality, tokens in features.items():
            count = int((ids == PLACEHOLDER_IDS[modality]).sum())
            expected = self.settings.embeddings(modality, len(tokens))
            if count != expected:
                raise ValueError(
                    f"conversation {conversation.id!r}: only {count} of {expected} {modality} tokens fit into "
                    f"{limit.tokens}; shorten the question, or {limit.remedy}"
                )


def clips_of(conversation: Conversation, modalities: Sequence[str]) -> dict[str, str]:
    """Return the clip of each of the modalities that a conversation has, {"video": clip, "skeleton": clip}."""
    clips = {"video": conversation.video, "skeleton": conversation.skeleton}
    return {name: clip for name, clip in clips.items() if clip is not None and name in modalities}
