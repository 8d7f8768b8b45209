"""Evidence for a model's choice: how likely it finds each option and each letter, and the answer that it writes."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from eval.choosing.items import LETTERS, ChoiceItem, Order

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from eval.describing.clip_inputs import ClipInputs
    from ski_lvlm.lvlm.inference import LoadedLvlm


class ChoiceTask(NamedTuple):
    """A question in one order of its options, the number of that order, and the prompt that asks it."""

    item: ChoiceItem
    number: int
    order: Order
    prompt: str

    @property
    def options(self) -> list[str]:
        """Return the options in the order of their letters."""
        return [self.item.options[option] for option in self.order]


class Evidence(NamedTuple):
    """The answer that a model writes, and log-likelihoods of options and letters, by position.

    A log-likelihood is in nats and over the whole answer with its end, of so many tokens.
    """

    reply: str
    is_cut: bool
    options: list[tuple[float, int]]
    letters: list[tuple[float, int]]


def evidence(
    lvlm: "LoadedLvlm",
    tasks: Mapping[str, Sequence[ChoiceTask]],
    clips: "ClipInputs | None",
    *,
    batch_size: int,
    workers: int,
    max_new_tokens: int,
) -> Iterator[tuple[ChoiceTask, Evidence | None, str]]:
    """Yield each task with the model's evidence, or None and the reason. `tasks` are by video.

    Workers read videos ahead, and each is encoded once. Without `clips`, the model gets the question alone.
    """
    import torch

    from ski_lvlm.datasets.reading import batched, read_ahead

    if clips is None:
        no_video = torch.zeros(0, lvlm.tower.width)
        every_task = [task for tasks_of_video in tasks.values() for task in tasks_of_video]
        for start in range(0, len(every_task), batch_size):
            yield from _weigh(
                lvlm, [(task, no_video) for task in every_task[start : start + batch_size]], max_new_tokens
            )
        return
    for batch in read_ahead(batched(list(tasks), batch_size), clips.read, workers=workers):
        ready = []
        for clip in batch:
            tokens, error = clips.content(clip)
            if tokens is None:
                yield from ((task, None, error) for task in tasks[clip.name])
            else:
                ready += [(task, tokens) for task in tasks[clip.name]]
        for start in range(0, len(ready), batch_size):
            yield from _weigh(lvlm, ready[start : start + batch_size], max_new_tokens)


def _weigh(
    lvlm: "LoadedLvlm", batch: "Sequence[tuple[ChoiceTask, Float[Tensor, '_ F']]]", max_new_tokens: int
) -> Iterator[tuple[ChoiceTask, Evidence | None, str]]:
    """Yield the evidence of one batch. Answers are written together, and likelihoods are computed task by task."""
    ready = []
    for task, tokens in batch:
        likelihoods, error = _likelihoods(lvlm, task, tokens)
        if likelihoods is None:
            yield task, None, error
        else:
            ready.append((task, tokens, likelihoods))
    if not ready:
        return
    answers = lvlm.answer(
        [tokens for _, tokens, _ in ready], [task.prompt for task, _, _ in ready], max_new_tokens=max_new_tokens
    )
    for (task, _, likelihoods), answer in zip(ready, answers, strict=True):
        count = len(task.order)
        yield task, Evidence(answer.text, answer.is_cut, likelihoods[:count], likelihoods[count:]), ""


def _likelihoods(
    lvlm: "LoadedLvlm", task: ChoiceTask, tokens: "Float[Tensor, '_ F']"
) -> tuple[list[tuple[float, int]] | None, str]:
    """Return those of the options and then of the letters, or None and the reason."""
    from ski_lvlm.lvlm.likelihood import answer_likelihoods

    answers = [*task.options, *LETTERS[: len(task.order)]]
    try:
        likelihoods = answer_likelihoods(lvlm.model, tokens, task.prompt, answers)
    except ValueError as error:  # the question fills the context
        return None, str(error)
    if not all(math.isfinite(likelihood.total) for likelihood in likelihoods):
        return None, "the model's likelihoods are not finite; hold the language model in another precision"
    return [(likelihood.total, likelihood.tokens) for likelihood in likelihoods], ""
