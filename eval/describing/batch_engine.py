"""Answers by transformers' `generate` in this process, batch by batch."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from eval.describing.answering import Prompt
from eval.items.answers import Answer
from ski_lvlm.lvlm.inference import LoadedLvlm
from ski_lvlm.storage.digests import digest_number


class BatchEngine:
    """Answers of a SKI-LVLM in batches. Samples depend on the seed and on the batch, not on earlier batches."""

    def __init__(self, lvlm: LoadedLvlm, *, batch_size: int, seed: int, generation: dict[str, Any]) -> None:
        self._lvlm, self._seed, self._generation = lvlm, seed, generation
        self.clips_at_once = batch_size

    def problem(self, content: Float[Tensor, "N F"], question: str) -> str | None:
        """Return the reason why a question does not fit into the language model's context, None where it does."""
        return self._lvlm.model.problem(len(content), question)

    def answer(self, prompts: Sequence[Prompt]) -> Iterator[Answer]:
        """Yield the answers to all prompts."""
        for start in range(0, len(prompts), self.clips_at_once):
            yield from self._batch(prompts[start : start + self.clips_at_once])

    def rest(self) -> Iterator[Answer]:
        """Yield nothing, since every prompt has its answer."""
        yield from ()

    def _batch(self, prompts: Sequence[Prompt]) -> Iterator[Answer]:
        names, tokens, questions = zip(*prompts, strict=True)
        torch.manual_seed(digest_number(json.dumps([self._seed, names, questions]), num_bytes=7))
        answers = self._lvlm.answer(tokens, questions, **self._generation)
        for name, question, answer in zip(names, questions, answers, strict=True):
            yield Answer(name, question, answer.text, cut=answer.is_cut)
