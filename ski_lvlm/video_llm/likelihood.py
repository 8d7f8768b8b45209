"""Likelihoods of given answers of a video LLM. Each answer is one pass behind question and video."""

from collections.abc import Sequence
from typing import Any, cast

import torch
from jaxtyping import Int
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedModel

from ski_lvlm.llm.conversation import encode_answer
from ski_lvlm.lvlm.likelihood import AnswerLikelihood
from ski_lvlm.video_llm.answering import Prompting, placed
from ski_lvlm.video_llm.frames import VideoFrames
from ski_lvlm.video_llm.prompting import Inputs


@torch.inference_mode()
def answer_likelihoods(
    model: PreTrainedModel, prompting: Prompting, video: VideoFrames, question: str, answers: Sequence[str]
) -> list[AnswerLikelihood]:
    """Return the likelihood of each answer with its end, as `ski_lvlm.lvlm.likelihood` does for a SKI-LVLM.

    Raises:
        ValueError: question, video and the longest answer fill the context, or the question cannot be asked.
    """
    if not answers:
        return []
    inputs = placed(prompting.inputs(question, video), model)
    answer_ids = [encode_answer(answer, prompting.template) for answer in answers]
    length = inputs["input_ids"].shape[1]
    if problem := prompting.problem(length + max(map(len, answer_ids))):
        raise ValueError(problem)
    return [_likelihood(model, inputs, ids.to(model.device)) for ids in answer_ids]


def _likelihood(model: PreTrainedModel, inputs: Inputs, answer: Int[Tensor, " T"]) -> AnswerLikelihood:
    count = len(answer)
    output = cast(Any, model)(**_continued(inputs, answer), logits_to_keep=count + 1, use_cache=False)
    # Models that keep all logits end with the same ones.
    logits = output.logits[0, -count - 1 : -1].float()
    total = -functional.cross_entropy(logits, answer, reduction="none").double().sum()
    return AnswerLikelihood(float(total), count, bool((logits.argmax(-1) == answer).all()))


def _continued(inputs: Inputs, answer: Int[Tensor, " T"]) -> Inputs:
    """Return inputs with the answer behind the prompt. Other values for each token are those of text."""
    shape = inputs["input_ids"].shape
    texts = {name: value.new_zeros(1, len(answer)) for name, value in inputs.items() if value.shape == shape}
    texts["input_ids"] = answer.unsqueeze(0)
    if "attention_mask" in texts:
        texts["attention_mask"] = torch.ones_like(texts["input_ids"])
    return {name: torch.cat([value, texts[name]], 1) if name in texts else value for name, value in inputs.items()}
