"""A model behind a server of OpenAI's protocol that chooses: written answers, and letters where the server tells."""

import argparse
import math
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from eval.choosing.items import LETTERS
from eval.choosing.methods import OPTION_LIKELIHOODS
from eval.choosing.model import ChoiceTask, Evidence, Found, Tasks
from eval.choosing.reading import shown_tasks
from eval.describing.server_model import Replies, ServerModel, picture_probe, shown_question
from ski_lvlm.servers.client import PROBE, ChatRequest, Refused, Reply
from ski_lvlm.storage.shards import Shard
from ski_lvlm.video_llm.frames import VideoFrames
from ski_lvlm.video_llm.text_prompting import NO_VIDEO

_NO_OPTIONS = "OpenAI's protocol tells the likelihood of what the model writes alone, not that of a given answer"


class ServerChoice:
    """The model of `--model openai:MODEL`. It is asked once for the written answer and the first token's letters.

    Raises:
        ChatError: the name, the address or a key is malformed, or the server or its model cannot be used.
    """

    missing: Mapping[str, str] = dict.fromkeys(OPTION_LIKELIHOODS, _NO_OPTIONS)

    def __init__(self, args: argparse.Namespace, *, shard: Shard) -> None:
        self._args = args
        self._model = ServerModel(args, shard=shard, generation={})
        self.identity = f"{self._model.identity} choice"

    def description(self) -> dict[str, Any]:
        """Return the model, its server and the frames that it was shown."""
        return self._model.description()

    def evidence(self, tasks: Tasks) -> Iterator[Found]:
        """Yield each task with the model's evidence, or None and the reason. Several requests are made at a time.

        Raises:
            ValueError: there are no such videos, or the server fails again and again.
        """
        args = self._args
        if not tasks:
            return
        clips = None if args.text_only else self._model.clips()
        has_letters = self._has_letters()
        waiting: deque[tuple[ChoiceTask, Future[Reply]]] = deque()
        replies = Replies()
        with ThreadPoolExecutor(args.batch_size) as threads:
            try:
                for batch in shown_tasks(tasks, clips, batch_size=1, workers=args.workers, no_video=NO_VIDEO):
                    for task, frames, error in batch:
                        if frames is None:
                            yield task, None, error
                            continue
                        request = self._request(task, frames, has_letters=has_letters)
                        waiting.append((task, threads.submit(self._model.client.chat, request)))
                        if len(waiting) > args.batch_size:
                            yield _found(*waiting.popleft(), replies)
                while waiting:
                    yield _found(*waiting.popleft(), replies)
            finally:
                self._model.client.stop()
                threads.shutdown(cancel_futures=True)

    def _has_letters(self) -> bool:
        """Ask the server once, which fails if it cannot be used, and return whether it tells letters."""
        probe = PROBE if self._args.text_only else picture_probe()
        self._model.client.ping(probe)
        try:
            return bool(self._model.client.chat(replace(probe, candidates=tuple(LETTERS))).first_token)
        except Refused:
            return False

    def _request(self, task: ChoiceTask, frames: VideoFrames, *, has_letters: bool) -> ChatRequest:
        return ChatRequest(
            [shown_question(frames, task.prompt)],
            max_tokens=self._args.max_new_tokens,
            seed=self._args.seed,
            candidates=tuple(LETTERS[: len(task.order)]) if has_letters else (),
        )


def _found(task: ChoiceTask, future: Future[Reply], replies: Replies) -> Found:
    reply, error = replies.of(future)
    if reply is None:
        return task, None, error
    return task, Evidence(reply.text, reply.cut, None, letters(reply, len(task.order))), ""


def letters(reply: Reply, count: int) -> list[tuple[float, int] | None] | None:
    """Return the log-probability of each letter as the first token, None for one that the server does not tell.

    >>> letters(Reply("B", 0, 0, 0.0, first_token=(("B", 1.0), ("The", 0.0))), 2)
    [None, (0.0, 1)]
    """
    probabilities = [reply.probability(letter) for letter in LETTERS[:count]]
    if not any(probabilities):
        return None
    return [(math.log(probability), 1) if probability > 0 else None for probability in probabilities]
