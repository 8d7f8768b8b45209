"""A trained SKI-LVLM or a published projector that chooses, by likelihoods and by a written answer."""

import argparse
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from eval.choosing.items import LETTERS
from eval.choosing.model import ChoiceTask, Evidence, Found, Tasks
from eval.choosing.reading import shown_tasks
from eval.describing.trained_model import load_lvlm, model_description, model_digest
from ski_lvlm.storage.shards import Shard

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from ski_lvlm.lvlm.inference import LoadedLvlm


class SkiLvlmChoice:
    """The model of `--model DIR` or `--baseline`.

    Raises:
        ValueError: as `load_lvlm`.
    """

    missing: Mapping[str, str] = {}

    def __init__(self, args: argparse.Namespace, *, shard: Shard) -> None:
        self._args, self._lvlm = args, load_lvlm(args, shard)
        self.identity = model_digest(self._lvlm.model)

    def description(self) -> dict[str, Any]:
        """Return the origin of the model, its frozen parts and its prompt."""
        return model_description(self._lvlm.model, self._args)

    def evidence(self, tasks: Tasks) -> Iterator[Found]:
        """Yield each task with the model's evidence, or None and the reason. Options share one look at the video."""
        import torch

        from eval.describing.clip_inputs import ClipInputs

        args, lvlm = self._args, self._lvlm
        has_videos = tasks and not args.text_only
        clips = ClipInputs(lvlm, args.videos, data=args.data, features=args.features) if has_videos else None
        sizes = {"batch_size": args.batch_size, "workers": args.workers}
        no_video = None if has_videos else torch.zeros(0, lvlm.tower.width)
        for batch in shown_tasks(tasks, clips, **sizes, no_video=no_video):
            yield from ((task, None, error) for task, tokens, error in batch if tokens is None)
            ready = [(task, tokens) for task, tokens, _ in batch if tokens is not None]
            for start in range(0, len(ready), args.batch_size):
                yield from _weigh(lvlm, ready[start : start + args.batch_size], args.max_new_tokens)


def _weigh(
    lvlm: "LoadedLvlm", batch: "Sequence[tuple[ChoiceTask, Float[Tensor, '_ F']]]", max_new_tokens: int
) -> Iterator[Found]:
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
        yield task, Evidence(answer.text, answer.is_cut, likelihoods[:count], [*likelihoods[count:]]), ""


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
        return None, NOT_FINITE
    return [(likelihood.total, likelihood.tokens) for likelihood in likelihoods], ""


NOT_FINITE = "the model's likelihoods are not finite; hold the language model in another precision"
