"""A video LLM that answers with its own processor: one of transformers, or one trained with --base_vlm."""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from eval.describing.answering import Clips, Engine, Prompt
from eval.describing.frame_inputs import FrameInputs
from eval.describing.model_flags import other_kind
from eval.items.answers import Answer
from ski_lvlm.encoders.digest import weights_digest
from ski_lvlm.llm.loading import tokenizer_digest
from ski_lvlm.lvlm.inference import fast_dtype, on_device
from ski_lvlm.lvlm.trained import trained_digest
from ski_lvlm.storage.digests import digest, digest_number
from ski_lvlm.storage.shards import Shard
from ski_lvlm.video_llm.answering import Prompting, answer
from ski_lvlm.video_llm.frames import VideoFrames
from ski_lvlm.video_llm.loading import knows_videos, load_video_llm
from ski_lvlm.video_llm.model import SkiVideoLlm
from ski_lvlm.video_llm.picture_prompting import PicturePrompting
from ski_lvlm.video_llm.prompting import VideoPrompting


class VideoLlmModel:
    """The model of `--model hf:ID`, or of the folder of a training with --base_vlm.

    A model that knows pictures but no videos sees the frames as pictures.

    Args:
        args: the command line.
        shard: whose number is that of the GPU.
        generation: settings of transformers' `generate`.

    Raises:
        ValueError: there is no such model, or it is of another kind.
    """

    def __init__(self, args: argparse.Namespace, *, shard: Shard, generation: dict[str, Any]) -> None:
        self._args, self._generation = args, generation
        self._num_frames, self._side = args.num_frames, args.frame_side
        number = shard.index - 1
        self.llm, self.prompting = self._untrained(number) if other_kind(args.model) else self._trained(number)
        tokenizer = tokenizer_digest(self.prompting.tokenizer)
        settings = digest(json.dumps(self.prompting.processor.to_dict(), default=str))
        inputs = digest(json.dumps([self._num_frames, self._side, self.prompting.prompt, settings]))
        weights = " ".join(str(value) for value in self._about.values())
        self.identity = f"video_llm {weights} {tokenizer} {inputs}"

    def _untrained(self, number: int) -> tuple[PreTrainedModel, Prompting]:
        model_id = self._args.model.removeprefix("hf:")
        base = load_video_llm(model_id, dtype=fast_dtype(), flag="--model hf:", needs_video=False)
        self._about: dict[str, Any] = {"digest": weights_digest(base.model)}
        prompting = VideoPrompting(base) if knows_videos(base.processor) else PicturePrompting(base)
        return on_device(base.model, number=number), prompting

    def _trained(self, number: int) -> tuple[PreTrainedModel, Prompting]:
        args = self._args
        for flag, is_set in (("--engine vllm", args.engine != "hf"), ("--features", args.features)):
            if is_set:
                raise ValueError(f"{flag}: {args.model} was trained with --base_vlm, whose base looks at videos itself")
        model = SkiVideoLlm.from_pretrained(args.model, is_for_video=True, dtype=fast_dtype())
        config = model.config
        self._num_frames, self._side = config.num_frames, config.frame_side
        self._about = {"digest": config.llm_digest, "trained": trained_digest(model), "lora_rank": config.lora_rank}
        return on_device(model, number=number).llm, model.prompting

    def clips(self) -> FrameInputs:
        """Open the videos, of which the model sees some frames.

        Raises:
            ValueError: there are no such videos.
        """
        args = self._args
        return FrameInputs(args.videos, data=args.data, num_frames=self._num_frames, side=self._side)

    @contextmanager
    def open(self, questions: Mapping[str, Sequence[str]]) -> Iterator[tuple[Clips, Engine]]:
        """Open the videos.

        Raises:
            ValueError: there are no such videos.
        """
        args = self._args
        yield self.clips(), VideoLlmEngine(self.llm, self.prompting, seed=args.seed, generation=self._generation)

    def description(self) -> dict[str, Any]:
        """Return the model, its digest and the frames that it was shown."""
        model = self._args.model
        return {
            "model": {"source": model if other_kind(model) else str(Path(model).resolve())},
            "video_llm": self._about | {"dtype": str(self.llm.dtype).removeprefix("torch.")},
            "video": {"num_frames": self._num_frames, "frame_side": self._side},
            "sees": "pictures" if isinstance(self.prompting, PicturePrompting) else "a video",
            "prompt": self.prompting.prompt,
        }


class VideoLlmEngine:
    """Answers one after the other, since each family has its own form of batches.

    Each sample depends on the seed, the video and the question alone.
    """

    clips_at_once = 1

    def __init__(self, llm: PreTrainedModel, prompting: Prompting, *, seed: int, generation: Mapping[str, Any]) -> None:
        self._llm, self._prompting, self._seed, self._generation = llm, prompting, seed, generation

    def problem(self, content: VideoFrames, question: str) -> None:
        """Return None: a prompt's length is known only when it is made."""

    def answer(self, prompts: Sequence[Prompt]) -> Iterator[Answer]:
        """Yield the answers to all prompts."""
        for video, frames, question in prompts:
            torch.manual_seed(digest_number(json.dumps([self._seed, video, question]), num_bytes=7))
            try:
                text, is_cut = answer(self._llm, self._prompting, frames, question, **self._generation)
            except ValueError as error:
                yield Answer(video, question, None, str(error))
            else:
                yield Answer(video, question, text, cut=is_cut)

    def rest(self) -> Iterator[Answer]:
        """Yield nothing, since every prompt has its answer."""
        yield from ()
