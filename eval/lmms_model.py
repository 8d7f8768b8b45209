"""A SKI-LVLM for the harness lmms-eval, by its `simple` model interface. docs/evaluation.md installs it.

    lmms-eval --model ski_lvlm --model_args pretrained=DIR --tasks TASK --batch_size 8
    accelerate launch --num_processes 8 -m lmms_eval --model ski_lvlm …      # on eight GPUs

The harness finds the model by an entry point of this package. A task gives one video file for a question, or none.
Frames, prompt and precision are those of eval/describe.py.
"""

import itertools
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from lmms_eval.api.model import lmms
from torch import Tensor

from ski_lvlm.llm.sampling import MAX_NEW_TOKENS
from ski_lvlm.lvlm.inference import load_for_inference
from ski_lvlm.lvlm.likelihood import answer_likelihoods

if TYPE_CHECKING:
    from lmms_eval.api.instance import Instance


class LmmsSkiLvlm(lmms):
    """Model of lmms-eval with a trained SKI-LVLM.

    Args:
        pretrained: the --output_dir of train_ski_lvlm.py.
        batch_size: answers that are generated at once.
        settings: others of the harness (`device`, `max_batch_size`). A process takes the GPU of its local rank.

    Raises:
        ValueError: as `load_for_inference`.
    """

    is_simple = True

    def __init__(self, pretrained: str, batch_size: int | str = 1, **settings: Any) -> None:  # noqa: ANN401
        super().__init__()
        if unknown := set(settings) - {"device", "max_batch_size"}:
            raise ValueError(f"--model_args: found {', '.join(sorted(unknown))}, expected pretrained=DIR alone")
        self.lvlm = load_for_inference(pretrained, number=int(os.environ.get("LOCAL_RANK", "0")))
        self.batch_size = int(batch_size)
        self._video: tuple[str, Float[Tensor, "N F"]] | None = None  # the last one, of which a task may ask more

    @property
    def device(self) -> torch.device:
        """Return the device, on which the harness joins the results of several processes."""
        return self.lvlm.model.device

    def generate_until(self, requests: "Sequence[Instance]") -> list[str]:
        """Return an answer to each request, cut before the first of its task's stop texts."""
        answers = []
        for settings, group in itertools.groupby(requests, key=lambda request: request.args[1]):
            group_requests = list(group)
            for start in range(0, len(group_requests), self.batch_size):
                answers += self._answers(group_requests[start : start + self.batch_size], settings)
        return answers

    def loglikelihood(self, requests: "Sequence[Instance]") -> list[tuple[float, bool]]:
        """Return the loss per token of each continuation, and whether it is the greedy answer.

        The harness calls it a log-likelihood, but its tasks take the smallest one, as its own models return losses.
        Continuations of one question share a pass over it.
        """
        results = []
        for (question, _), group in itertools.groupby(requests, key=_question):
            group_requests = list(group)
            answers = [self._continuation(request).strip() for request in group_requests]
            tokens = self._tokens(group_requests[0])
            likelihoods = answer_likelihoods(self.lvlm.model, tokens, question, answers)
            results += [(-likelihood.mean, likelihood.is_greedy) for likelihood in likelihoods]
        return results

    def generate_until_multi_round(self, requests: "Sequence[Instance]") -> list[str]:
        """Refuse tasks of several rounds, since a SKI-LVLM is trained on single questions."""
        raise NotImplementedError("a SKI-LVLM answers single questions; choose a task of output_type generate_until")

    def _answers(self, requests: "Sequence[Instance]", settings: dict[str, Any]) -> list[str]:
        tokens, questions = [self._tokens(request) for request in requests], [request.args[0] for request in requests]
        answers = self.lvlm.answer(tokens, questions, **generation_of(settings))
        return [until(answer.text, settings.get("until")) for answer in answers]

    def _continuation(self, request: "Instance") -> str:
        continuation = request.args[1]
        return str(continuation(self._document(request)) if callable(continuation) else continuation)

    def _document(self, request: "Instance") -> Any:  # noqa: ANN401
        _, _, _, number, task, split = request.args
        return self.task_dict[task][split][number]

    def _tokens(self, request: "Instance") -> Float[Tensor, "N F"]:
        """Return the tokens of a request's video, none where its task shows nothing.

        Raises:
            ValueError: the task shows images, several videos, or a video that cannot be read.
        """
        to_visuals: Callable[[Any], Iterable[Any] | None] = request.args[2]
        visuals = list(to_visuals(self._document(request)) or ())
        if not visuals:
            return torch.zeros(0, self.lvlm.tower.width)
        if len(visuals) > 1 or not isinstance(visuals[0], str | Path):
            kinds = sorted({type(visual).__name__ for visual in visuals})
            raise ValueError(
                f"task {request.args[4]}: found {len(visuals)} visuals ({', '.join(kinds)}) for a question, expected "
                "the file of one video; choose a task about videos"
            )
        path = str(visuals[0])
        if self._video is None or self._video[0] != path:
            self._video = path, self.lvlm.encode(self.lvlm.read(Path(path)))
        return self._video[1]


def _question(request: "Instance") -> tuple[str, tuple[Any, ...]]:
    """Return the question and the place of its document."""
    return request.args[0], tuple(request.args[3:])


def generation_of(settings: dict[str, Any]) -> dict[str, Any]:
    """Return a task's settings as transformers' `generate` takes them. Without a temperature it is greedy.

    >>> generation_of({"max_new_tokens": 16, "temperature": 0, "top_p": 1.0, "num_beams": 1, "until": ["."]})
    {'max_new_tokens': 16}
    """
    length = {"max_new_tokens": int(settings.get("max_new_tokens") or MAX_NEW_TOKENS)}
    beams = {"num_beams": settings["num_beams"]} if (settings.get("num_beams") or 1) > 1 else {}
    if not settings.get("temperature") or settings.get("do_sample") is False:
        return length | beams
    sampling = {name: settings[name] for name in ("temperature", "top_p", "top_k") if settings.get(name) is not None}
    return length | beams | {"do_sample": True} | sampling


def until(text: str, stops: str | Sequence[str] | None) -> str:
    """Return the text before the first of the stop texts.

    >>> until("B. He sits.", ["\\n", "."]), until("B", None)
    ('B', 'B')
    """
    places = [text.find(stop) for stop in ([stops] if isinstance(stops, str) else stops or ()) if stop]
    return text[: min((place for place in places if place >= 0), default=len(text))]


def manifest() -> Any:  # noqa: ANN401
    """Return what the harness registers under the name `ski_lvlm`."""
    from lmms_eval.models.registry_v2 import ModelManifest

    return ModelManifest(model_id="ski_lvlm", simple_class_path=f"{__name__}.{LmmsSkiLvlm.__name__}")
