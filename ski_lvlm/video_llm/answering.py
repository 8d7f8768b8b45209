"""Answers of a video LLM: its own `generate` with its processor's own inputs."""

from collections.abc import Callable
from typing import Any, Protocol, cast, runtime_checkable

import torch
from jaxtyping import Int
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ski_lvlm.llm.answer_text import answer_text
from ski_lvlm.llm.chat_template import ChatTemplate
from ski_lvlm.llm.limits import pad_id
from ski_lvlm.llm.sampling import MAX_NEW_TOKENS
from ski_lvlm.lvlm.inference import ModelAnswer
from ski_lvlm.video_llm.frames import VideoFrames
from ski_lvlm.video_llm.prompting import Inputs


@runtime_checkable
class Prompting(Protocol):
    """Inputs for questions about videos, and the ends of answers."""

    processor: Any
    tokenizer: PreTrainedTokenizerBase
    end_ids: list[int]
    prompt: list[str]

    @property
    def template(self) -> ChatTemplate:
        """The template of the answers."""

    def inputs(self, question: str, video: VideoFrames) -> Inputs:
        """Return the model's inputs for a question about a video, for a batch of one."""

    def problem(self, length: int) -> str | None:
        """Return the reason why a prompt of so many tokens leaves no room for an answer, None where it does."""

    def room(self, length: int, max_new_tokens: int) -> int:
        """Return the maximum length of an answer behind a prompt of this length."""


def placed(inputs: Inputs, model: PreTrainedModel) -> Inputs:
    """Return inputs on the device of the model, pixels in its precision."""
    on_device = {name: value.to(model.device) for name, value in inputs.items()}
    return {name: v.to(model.dtype) if name.startswith("pixel_values") else v for name, v in on_device.items()}


@torch.inference_mode()
def answer(
    model: PreTrainedModel,
    prompting: Prompting,
    video: VideoFrames,
    question: str,
    *,
    max_new_tokens: int = MAX_NEW_TOKENS,
    **sampling: Any,  # noqa: ANN401
) -> ModelAnswer:
    """Answer a question about a video. Greedy unless `sampling` says otherwise.

    Raises:
        ValueError: question and video fill the context, or the question cannot be asked.
    """
    inputs = placed(prompting.inputs(question, video), model)
    length = inputs["input_ids"].shape[1]
    if problem := prompting.problem(length):
        raise ValueError(problem)
    generate = cast(Callable[..., Int[Tensor, "1 L"]], model.generate)
    generated = generate(
        **inputs,
        max_new_tokens=prompting.room(length, max_new_tokens),
        pad_token_id=pad_id(prompting.tokenizer),
        eos_token_id=prompting.end_ids or None,
        **({"do_sample": False} | sampling),
    )
    ids = generated[0, length:].tolist()
    text = answer_text(ids, prompting.tokenizer, prompting.end_ids)
    return ModelAnswer(text, is_cut=not set(ids) & set(prompting.end_ids))
