"""Prompts about a video: with the texts of the training's prompt, within the language model's context."""

import logging
from collections.abc import Collection, Sequence
from typing import Any, cast

from jaxtyping import Int
from torch import Tensor

from ski_lvlm.datasets.instruction_file import Turn
from ski_lvlm.llm.chat_template import ChatTemplate
from ski_lvlm.llm.conversation import encode_answer, encode_question, template_ids
from ski_lvlm.llm.limits import check_ids, context_of
from ski_lvlm.llm.loading import Llm

logger = logging.getLogger(__name__)


class Prompting:
    """Prompts with a question for a language model, and the ends of its answers.

    Args:
        llm: the language model and its tokenizer.
        prompt: texts of the chat template before and behind the question in training. Empty for the present ones.
        chat_template: as for `ski_lvlm.llm.conversation.render`.
        day: the date that the template may write.

    Raises:
        ValueError: the template cannot write a question, or writes tokens that the model has no rows for.
    """

    def __init__(self, llm: Llm, prompt: Sequence[str], *, chat_template: str, day: str) -> None:
        self._template = ChatTemplate(llm.tokenizer, chat_template, day=day)
        check_ids(template_ids(self._template), llm.model, llm.tokenizer)
        self.prompt = list(prompt) or self._template.frame([Turn("user", "")]).texts
        self.context = context_of(llm.model.config, llm.tokenizer)
        self.end_ids = self._template.end_ids(cast(Any, llm.model.generation_config).eos_token_id)
        self._has_warned = False
        if not self.end_ids:
            logger.warning("%s has no token that ends an answer; all run to the limit", llm.tokenizer.name_or_path)

    def ids(self, question: str, video_embeddings: int, *, delimited: Collection[str] = ()) -> Int[Tensor, " L"]:
        """Return the token ids of a question about a video of so many embeddings."""
        counts = {"video": video_embeddings}
        return encode_question(question, self._template, self.prompt, token_counts=counts, delimited=delimited)

    def answer_ids(self, answer: str) -> Int[Tensor, " L"]:
        """Return the token ids of an answer and its end, as in training."""
        return encode_answer(answer, self._template)

    def problem(self, ids: Int[Tensor, " L"]) -> str | None:
        """Return the reason why a question leaves no room for an answer, None where it does."""
        if self.context is None or len(ids) < self.context.tokens:
            return None
        return (
            f"question and video take {len(ids)} tokens, {int((ids < 0).sum())} of them the video's, but the language "
            f"model reads {self.context.tokens} ({self.context.source}); shorten the question, or train with fewer "
            "video tokens"
        )

    def room(self, length: int, max_new_tokens: int) -> int:
        """Return the maximum length of an answer behind a prompt of this length, and log the first shortened one."""
        if self.context is None or length + max_new_tokens <= self.context.tokens:
            return max_new_tokens
        room = self.context.tokens - length
        if not self._has_warned:
            logger.warning(
                "the language model reads %d tokens (%s): behind a prompt of %d, an answer is cut at %d and not at %d",
                *self.context,
                length,
                room,
                max_new_tokens,
            )
        self._has_warned = True
        return room
