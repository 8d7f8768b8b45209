"""Samples for a video LLM from instruction pairs, videos and skeleton tokens, and batches of samples."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.data import Dataset

from ski_lvlm.datasets.instruction_file import Conversation
from ski_lvlm.lvlm.features import FeatureFolder
from ski_lvlm.lvlm.projectors.settings import ProjectorSettings
from ski_lvlm.lvlm.skeleton_dropout import SkeletonDropout
from ski_lvlm.training.epoch_sampler import SampleKey, sample_key
from ski_lvlm.video_llm.frames import read_video_frames
from ski_lvlm.video_llm.prompting import Inputs, VideoPrompting
from ski_lvlm.videos.folder import VideoFolder


@dataclass(frozen=True)
class VideoSampleSettings:
    """Settings of the way from conversations to samples."""

    num_frames: int
    frame_side: int
    projector: ProjectorSettings = field(default_factory=ProjectorSettings)
    dropout: SkeletonDropout = field(default_factory=SkeletonDropout)


class VideoSample(NamedTuple):
    """One conversation: ids with places for skeleton tokens, the processor's other inputs, and the tokens."""

    ids: Int[Tensor, " L"]
    labels: Int[Tensor, " L"]
    inputs: Inputs
    skeleton: Float[Tensor, "N F"] | None


class VideoDataset(Dataset[VideoSample]):
    """Conversations about videos, with the skeleton tokens of those that have some."""

    def __init__(
        self,
        conversations: Sequence[Conversation],
        videos: VideoFolder,
        features: FeatureFolder,
        prompting: VideoPrompting,
        settings: VideoSampleSettings,
    ) -> None:
        self.conversations, self.videos, self.features = conversations, videos, features
        self.prompting, self.settings = prompting, settings

    def __len__(self) -> int:
        return len(self.conversations)

    def __getitem__(self, key: int | tuple[int, int] | SampleKey) -> VideoSample:
        """Return conversation `key`, or the one at that place of the training, with its skeleton or without.

        Raises:
            ValueError: the video or the tokens cannot be read, or nothing is left to train on within the context.
        """
        place = sample_key(key)
        conversation = self.conversations[place.sample]
        has_skeleton = conversation.skeleton is not None and not self.settings.dropout.drops(place)
        skeleton = self.features.load(str(conversation.skeleton), "skeleton") if has_skeleton else None
        count = 0 if skeleton is None else self.settings.projector.count(len(skeleton))
        video = read_video_frames(
            self._path(conversation), num_frames=self.settings.num_frames, side=self.settings.frame_side
        )
        encoded, inputs = self.prompting.sample(conversation.turns, video, count)
        if problem := self.prompting.problem(len(encoded.ids)):
            raise ValueError(f"conversation {conversation.id!r}: {problem}")
        return VideoSample(encoded.ids, encoded.labels, inputs, skeleton)

    def _path(self, conversation: Conversation) -> Path:
        return self.videos.find(str(conversation.video))


class VideoCollator:
    """Collator of samples, laid behind each other without padding. The model looks at them one after the other."""

    def __init__(self, skeleton_width: int) -> None:
        self.skeleton_width = skeleton_width

    def __call__(self, samples: Sequence[VideoSample]) -> dict[str, Any]:
        """Return the arguments of `SkiVideoLlm.forward`."""
        ids = torch.cat([sample.ids for sample in samples])
        skeletons = [sample.skeleton for sample in samples if sample.skeleton is not None]
        tokens = torch.cat(skeletons) if skeletons else torch.empty(0, self.skeleton_width)
        counts = torch.tensor([len(skeleton) for skeleton in skeletons], dtype=torch.long)
        return {
            "ids": ids,
            "labels": torch.cat([sample.labels for sample in samples]),
            "attention_mask": torch.ones_like(ids),
            "lengths": torch.tensor([len(sample.ids) for sample in samples]),
            "inputs": [sample.inputs for sample in samples],
            "features": {"skeleton": tokens},
            "token_counts": {"skeleton": counts},
        }


def usable_conversations(
    conversations: Sequence[Conversation], videos: VideoFolder, features: FeatureFolder, *, skip_missing: bool
) -> list[Conversation]:
    """Return the conversations whose clips have a video and, where they name one, skeleton tokens.

    Raises:
        ValueError: some have not, without `skip_missing`, or none has.
    """
    missing: dict[str, str] = {}
    for conversation in conversations:
        if reason := _missing(conversation, videos, features):
            missing[conversation.id] = reason
    usable = [conversation for conversation in conversations if conversation.id not in missing]
    if missing and not (skip_missing and usable):
        name, reason = next(iter(missing.items()))
        raise ValueError(
            f"{len(missing)} of {len(conversations)} conversations cannot be trained on, first {name!r}: {reason}; add "
            "what is missing, or skip them with --skip_missing True"
        )
    return usable


def _missing(conversation: Conversation, videos: VideoFolder, features: FeatureFolder) -> str:
    if conversation.video is None:
        return "it names no video"
    try:
        videos.find(conversation.video)
    except ValueError as error:
        return str(error)
    if conversation.skeleton is not None and not features.has(conversation.skeleton, "skeleton"):
        return f"no skeleton features of clip {conversation.skeleton!r} in {features.root}"
    return ""
