"""Inputs of a video LLM as its processor makes them, with places for skeleton tokens behind the video."""

import re
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from ski_lvlm.datasets.instruction_file import Turn
from ski_lvlm.llm.conversation import (
    IGNORED,
    PLACEHOLDER_IDS,
    Encoded,
    Piece,
    encode_pieces,
    lay_out,
    without_placeholders,
)
from ski_lvlm.llm.limits import Context, context_of
from ski_lvlm.video_llm.chat_template import VideoChatTemplate
from ski_lvlm.video_llm.frames import VideoFrames
from ski_lvlm.video_llm.loading import VideoLlm

SKELETON = PLACEHOLDER_IDS["skeleton"]
Inputs = dict[str, Tensor]


def context_problem(context: Context | None, length: int) -> str | None:
    """Return the reason why a prompt of so many tokens leaves no room for an answer, None where it does."""
    if context is None or length < context.tokens:
        return None
    return (
        f"question and video take {length} tokens, but the model reads {context.tokens} ({context.source}); shorten "
        "the question, or show fewer or smaller frames"
    )


def checked_question(question: str, marks: re.Pattern[str]) -> str:
    """Return a question without placeholders, and refuse one that could be mistaken for the template's own text.

    Raises:
        ValueError: the question is empty, or holds one of the `marks`.
    """
    text = without_placeholders(question)
    if not text:
        raise ValueError("found an empty question; give it some words")
    if mark := marks.search(text):
        raise ValueError(f"the question {text[:60]!r} holds {mark[0]!r}, a mark of the model's own; remove it")
    return text


class VideoPrompting:
    """Prompts of a video LLM, for training and inference alike.

    Raises:
        ValueError: the template cannot write a question about a video.
    """

    def __init__(self, base: VideoLlm) -> None:
        self.processor = base.processor
        self.tokenizer = base.processor.tokenizer
        self.template = VideoChatTemplate(base.processor)
        self.prompt = self.template.frame([Turn("user", "")]).texts
        self.context = context_of(base.model.config, self.tokenizer)
        generation: Any = base.model.generation_config
        self.end_ids = self.template.end_ids(generation.eos_token_id)
        placeholders = (*base.processor.image_token_ids, *base.processor.video_token_ids)
        self._video_ids = torch.tensor([k for k in placeholders if k is not None])
        self._closing_ids = torch.tensor(self.tokenizer.all_special_ids)

    def inputs(self, question: str, video: VideoFrames) -> Inputs:
        """Return the model's inputs for a question about a video, as its processor makes them, for a batch of one."""
        (piece,) = lay_out([Turn("user", checked_question(question, self.template.marks))], self.template)
        return self._processed(piece, video)

    def sample(self, turns: Sequence[Turn], video: VideoFrames, skeleton: int) -> tuple[Encoded, Inputs]:
        """Return ids and labels of a conversation about a video, and the processor's other inputs.

        `skeleton` places for skeleton tokens lie behind the video's own placeholders and the marks that close them.
        Only answers are trained.
        """
        texts = [
            turn.text.strip() if turn.role == "assistant" else checked_question(turn.text, self.template.marks)
            for turn in turns
        ]
        stripped = [turn._replace(text=text) for turn, text in zip(turns, texts, strict=True)]
        first, *following = lay_out(stripped, self.template)
        inputs = self._processed(first, video)
        ids = inputs.pop("input_ids")[0]
        inputs.pop("attention_mask", None)
        place = self._behind_video(ids)
        ending = encode_pieces(following, self.template, {})
        slots = torch.full((skeleton,), SKELETON)
        whole = torch.cat([ids[:place], slots, ids[place:], ending.ids])
        labels = torch.cat([torch.full((len(ids) + skeleton,), IGNORED), ending.labels])
        # Kinds of tokens, by which positions in space and time are chosen: skeleton tokens and answers are like text.
        for name, value in inputs.items():
            if value.shape == (1, len(ids)):
                text = value.new_zeros(1, len(whole))
                text[:, :place], text[:, place + skeleton : len(ids) + skeleton] = value[:, :place], value[:, place:]
                inputs[name] = text
        return Encoded(whole, labels), inputs

    def shown(self, encoded: Encoded) -> Encoded:
        """Return the sample with the video's placeholders as this repository writes them, to be printed."""
        is_video = torch.isin(encoded.ids, self._video_ids)
        return encoded._replace(ids=encoded.ids.masked_fill(is_video, PLACEHOLDER_IDS["video"]))

    def problem(self, length: int) -> str | None:
        """Return the reason why a prompt of so many tokens leaves no room for an answer, None where it does."""
        return context_problem(self.context, length)

    def room(self, length: int, max_new_tokens: int) -> int:
        """Return the maximum length of an answer behind a prompt of this length."""
        return max_new_tokens if self.context is None else min(max_new_tokens, self.context.tokens - length)

    def _processed(self, piece: Piece, video: VideoFrames) -> Inputs:
        settings: dict[str, Any] = {}
        if self.tokenizer.bos_token and piece.text.startswith(self.tokenizer.bos_token):
            settings["add_special_tokens"] = False  # as in transformers' own apply_chat_template
        outputs = self.processor(
            text=[piece.text],
            videos=[video.pixels],
            video_metadata=[video.metadata],
            do_sample_frames=False,
            return_tensors="pt",
            **settings,
        )
        return {name: torch.as_tensor(value) for name, value in outputs.items()}

    def _behind_video(self, ids: Int[Tensor, " L"]) -> int:
        """Return the place behind the last placeholder of the video and the special tokens that close it."""
        is_video: Bool[Tensor, " L"] = torch.isin(ids, self._video_ids)
        if not is_video.any():
            raise ValueError(f"{type(self.processor).__name__} wrote no placeholder for the video; expected some")
        place = int(is_video.nonzero()[-1]) + 1
        while place < len(ids) and bool(torch.isin(ids[place], self._closing_ids)):
            place += 1
        return place
