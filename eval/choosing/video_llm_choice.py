"""A video LLM that chooses: one of transformers, or one trained with --base_vlm."""

import argparse
import math
from collections.abc import Iterator
from typing import Any

from eval.choosing.items import LETTERS
from eval.choosing.methods import LIKELIHOODS
from eval.choosing.model import ChoiceTask, Evidence, Found, Tasks
from eval.choosing.reading import shown_tasks
from eval.choosing.ski_lvlm_choice import NOT_FINITE
from eval.describing.video_llm_model import VideoLlmModel
from ski_lvlm.llm.conversation import encode_answer
from ski_lvlm.storage.shards import Shard
from ski_lvlm.video_llm.answering import Prompting, answer
from ski_lvlm.video_llm.frames import VideoFrames
from ski_lvlm.video_llm.likelihood import answer_likelihoods
from ski_lvlm.video_llm.text_prompting import NO_VIDEO, TextPrompting


class VideoLlmChoice:
    """The model of `--model hf:ID`, or of the folder of a training with --base_vlm.

    Each option is one pass over question and video, since each family keeps what it has read in its own form.

    Raises:
        ValueError: there is no such model, or it is of another kind.
    """

    def __init__(self, args: argparse.Namespace, *, shard: Shard) -> None:
        self._args = args
        self._model = VideoLlmModel(args, shard=shard, generation={})
        prompting = self._model.prompting
        self._prompting = TextPrompting(prompting) if args.text_only else prompting
        self.identity = f"{self._model.identity} choice"
        self.missing = _missing(prompting)

    def description(self) -> dict[str, Any]:
        """Return the model, its digest and the frames that it was shown."""
        return self._model.description()

    def evidence(self, tasks: Tasks) -> Iterator[Found]:
        """Yield each task with the model's evidence, or None and the reason."""
        args = self._args
        clips = None if args.text_only or not tasks else self._model.clips()
        for batch in shown_tasks(tasks, clips, batch_size=1, workers=args.workers, no_video=NO_VIDEO):
            for task, frames, error in batch:
                if frames is None:
                    yield task, None, error
                else:
                    yield self._weigh(task, frames)

    def _weigh(self, task: ChoiceTask, frames: VideoFrames) -> Found:
        llm, prompting = self._model.llm, self._prompting
        answers = [] if self.missing else [*task.options, *LETTERS[: len(task.order)]]
        try:
            likelihoods = answer_likelihoods(llm, prompting, frames, task.prompt, answers)
            text, is_cut = answer(llm, prompting, frames, task.prompt, max_new_tokens=self._args.max_new_tokens)
        except ValueError as error:  # the question fills the context, or cannot be asked
            return task, None, str(error)
        if not all(math.isfinite(likelihood.total) for likelihood in likelihoods):
            return task, None, NOT_FINITE
        values = [(likelihood.total, likelihood.tokens) for likelihood in likelihoods]
        count = len(task.order)
        return task, Evidence(text, is_cut, values[:count] or None, [*values[count:]] or None), ""


def _missing(prompting: Prompting) -> dict[str, str]:
    """Return the likelihoods as missing where the processor's template cannot write a given answer."""
    try:
        encode_answer(LETTERS[0], prompting.template)
    except ValueError as error:
        return dict.fromkeys(LIKELIHOODS, f"the processor's template cannot write a given answer ({error})")
    return {}
