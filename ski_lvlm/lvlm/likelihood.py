"""Likelihoods of given answers to a question about a video. The question is read once for all of its answers."""

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from ski_lvlm.llm.conversation import IGNORED
from ski_lvlm.llm.limits import pad_id
from ski_lvlm.lvlm.model import SkiLvlm, video_counts


class AnswerLikelihood(NamedTuple):
    """Log-likelihood of an answer and its end, in nats, its tokens, and whether greedy generation gives it."""

    total: float
    tokens: int
    is_greedy: bool

    @property
    def mean(self) -> float:
        """Return the log-likelihood per token, the negative of the training's loss on this answer."""
        return self.total / self.tokens


@torch.inference_mode()
def answer_likelihoods(
    model: SkiLvlm, video_tokens: Float[Tensor, "N F"], question: str, answers: Sequence[str]
) -> list[AnswerLikelihood]:
    """Return the likelihood of each answer to a question about a video. Without tokens, the question stands alone.

    The end of an answer counts as well. Otherwise an answer would be at least as likely as any that continues it.
    Assumption: the paper has no such scores.

    Raises:
        ValueError: question, video and the longest answer fill the language model's context.
    """
    prompt = model.prompt_ids(len(video_tokens), question)
    answer_ids = [model.prompting.answer_ids(answer) for answer in answers]
    longest = max(answer_ids, key=len)
    if problem := model.prompting.problem(torch.cat([prompt, longest])):
        raise ValueError(problem)
    labels = pad_sequence(answer_ids, batch_first=True, padding_value=IGNORED).to(model.device)
    logits = _logits(model, prompt.to(model.device), video_tokens.to(model.device), labels).float()
    losses = functional.cross_entropy(logits.transpose(1, 2), labels, ignore_index=IGNORED, reduction="none")
    is_greedy = ((logits.argmax(-1) == labels) | (labels == IGNORED)).all(1)
    totals = (-losses.double().sum(1)).tolist()
    return [AnswerLikelihood(*row) for row in zip(totals, map(len, answer_ids), is_greedy.tolist(), strict=True)]


def _logits(
    model: SkiLvlm, prompt: Int[Tensor, " L"], video_tokens: Float[Tensor, "N F"], labels: Int[Tensor, "B T"]
) -> Float[Tensor, "B T V"]:
    """Return the logits of each answer's tokens, from one pass over the prompt and one over all answers."""
    llm = cast(Any, model.llm)
    counts = video_counts([video_tokens]).to(prompt.device)
    embeddings = model.embed(prompt.unsqueeze(0), {"video": video_tokens}, {"video": counts})
    prefix = llm(inputs_embeds=embeddings, use_cache=True, logits_to_keep=1)
    first = prefix.logits.expand(len(labels), -1, -1)
    if labels.shape[1] == 1:
        return first
    prefix.past_key_values.batch_repeat_interleave(len(labels))
    ids = labels[:, :-1].masked_fill(labels[:, :-1] == IGNORED, pad_id(model.tokenizer))
    mask = torch.ones(len(ids), len(prompt) + ids.shape[1], dtype=torch.long, device=ids.device)
    mask[:, len(prompt) :] = labels[:, :-1] != IGNORED
    positions = torch.arange(len(prompt), mask.shape[1], device=ids.device).expand(len(ids), -1)
    later = llm(
        input_ids=ids,
        attention_mask=mask,
        position_ids=positions,
        past_key_values=prefix.past_key_values,
        use_cache=True,
    )
    return torch.cat([first, later.logits], dim=1)
