"""A video LLM trained with --base_vlm, which answers by its own `generate`."""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from eval.describing.answering import Clips, Engine, Prompt
from eval.items.answers import Answer
from ski_lvlm.datasets.catalogue import open_data_set
from ski_lvlm.datasets.clip_files import video_clips
from ski_lvlm.datasets.reading import LoadedClip
from ski_lvlm.llm.loading import tokenizer_digest
from ski_lvlm.lvlm.inference import LoadedModel
from ski_lvlm.lvlm.trained import trained_digest
from ski_lvlm.storage.digests import digest, digest_number
from ski_lvlm.storage.shards import Shard
from ski_lvlm.video_llm.frames import VideoFrames, read_video_frames
from ski_lvlm.video_llm.opening import load_for_inference
from ski_lvlm.videos.folder import VideoClip, VideoError, VideoFolder


class VideoLlmModel:
    """The model of --model, where that was trained with --base_vlm.

    Args:
        args: the command line.
        shard: whose number is that of the GPU.
        generation: settings of `generate`.

    Raises:
        ValueError: no such model, a base with other weights, or flags that are for other models.
    """

    def __init__(self, args: argparse.Namespace, *, shard: Shard, generation: dict[str, Any]) -> None:
        for flag, is_set in (("--engine vllm", args.engine != "hf"), ("--features", args.features)):
            if is_set:
                raise ValueError(f"{flag}: {args.model} was trained with --base_vlm, whose base looks at videos itself")
        self._args, self._generation = args, generation
        self.loaded = load_for_inference(args.model, number=shard.index - 1)
        model, config = self.loaded.model, self.loaded.model.config
        prompt = digest(json.dumps(config.prompt))
        frames = f"{config.num_frames} {config.frame_side}"
        weights = f"{trained_digest(model)} {config.llm_digest}"
        self.identity = f"{weights} {tokenizer_digest(model.tokenizer)} {frames} {prompt}"

    @contextmanager
    def open(self, questions: Mapping[str, Sequence[str]]) -> Iterator[tuple[Clips, Engine]]:
        """Open the videos.

        Raises:
            ValueError: there are no such videos.
        """
        args, config = self._args, self.loaded.model.config
        videos = video_clips(open_data_set(args.data), args.videos) if args.data else VideoFolder(str(args.videos))
        clips = VideoClips(FrameReader(videos, config.num_frames, config.frame_side))
        yield clips, VideoEngine(self.loaded, args.batch_size, seed=args.seed, generation=self._generation)

    def description(self) -> dict[str, Any]:
        """Return model, frozen base, frames and prompt."""
        model, config = self.loaded.model, self.loaded.model.config
        return {
            "model": {"source": str(Path(self._args.model).resolve()), "trained": trained_digest(model)},
            "video_llm": {
                "id": config.base_llm,
                "digest": config.llm_digest,
                "dtype": str(model.llm.dtype).removeprefix("torch."),
                "lora_rank": config.lora_rank,
            },
            "video": {"num_frames": config.num_frames, "frame_side": config.frame_side},
            "prompt": config.prompt,
        }


@dataclass(frozen=True)
class FrameReader:
    """Reader of a clip's frames by its name, for worker processes."""

    videos: Mapping[str, VideoClip] | VideoFolder
    num_frames: int
    side: int

    def __call__(self, name: str) -> VideoFrames:
        """Decode the frames of a clip.

        Raises:
            VideoError: no such clip, or one that cannot be read.
        """
        path, span = self._clip(name)
        return read_video_frames(path, num_frames=self.num_frames, side=self.side, span=span)

    def _clip(self, name: str) -> VideoClip:
        if isinstance(self.videos, VideoFolder):
            return VideoClip(self.videos.find(name))
        if name not in self.videos:
            raise VideoError(f"no video of clip {name!r} among the {len(self.videos)} of the data set")
        return self.videos[name]


@dataclass(frozen=True)
class VideoClips:
    """Clips as frames, which the base encodes together with the question."""

    read: FrameReader

    def content(self, clip: LoadedClip[VideoFrames]) -> tuple[VideoFrames | None, str]:
        """Return the frames of a clip, or None and the reason."""
        return clip.content, clip.error


class VideoEngine:
    """Answers one by one. Samples depend on the seed, the video and the question alone."""

    def __init__(self, loaded: LoadedModel, clips_at_once: int, *, seed: int, generation: dict[str, Any]) -> None:
        self._loaded, self._seed, self._generation = loaded, seed, generation
        self.clips_at_once = clips_at_once

    def problem(self, content: VideoFrames, question: str) -> str | None:
        """Return None: whether a question fits is known when the base has made its inputs."""
        return None

    def answer(self, prompts: Sequence[Prompt]) -> Iterator[Answer]:
        """Yield the answers to all prompts, or the reason why there is none."""
        for prompt in prompts:
            seed = json.dumps([self._seed, prompt.video, prompt.question])
            torch.manual_seed(digest_number(seed, num_bytes=7))
            try:
                (answer,) = self._loaded.answer([prompt.content], [prompt.question], **self._generation)
            except ValueError as error:
                yield Answer(prompt.video, prompt.question, None, str(error))
                continue
            yield Answer(prompt.video, prompt.question, answer.text, cut=answer.is_cut)

    def rest(self) -> Iterator[Answer]:
        """Yield nothing, since every prompt has its answer."""
        yield from ()
