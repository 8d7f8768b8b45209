"""A model behind a server of OpenAI's protocol, which is shown the frames of a video as pictures."""

import argparse
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from einops import rearrange

from eval.describing.answering import Clips, Engine, Prompt
from eval.describing.frame_inputs import FrameInputs
from eval.items.answers import Answer
from ski_lvlm.llm.thoughts import without_thoughts
from ski_lvlm.servers.address import without_secrets
from ski_lvlm.servers.client import ChatClient, ChatError, ChatRequest, Message, Reply
from ski_lvlm.storage.digests import digest, digest_number
from ski_lvlm.storage.shards import Shard
from ski_lvlm.video_llm.frames import VideoFrames

HOPELESS = 20  # failures in a row, each after all its attempts, that end the run
INTRODUCTION = "These pictures are {count} frames of one video, evenly spaced, in the order of time."


class ServerModel:
    """The model of `--model openai:MODEL`.

    Assumption: the paper asks no such model. The text before the question is `INTRODUCTION`.

    Raises:
        ChatError: the name, the address or a key is malformed.
    """

    def __init__(self, args: argparse.Namespace, *, shard: Shard, generation: dict[str, Any]) -> None:
        self._args, self._generation = args, generation
        self.client = ChatClient(args.model, base_url=args.base_url)
        view = json.dumps([args.num_frames, args.frame_side, INTRODUCTION])
        self.identity = f"{self.client.name} {self.client.server} {digest(view)}"

    def clips(self) -> FrameInputs:
        """Open the videos, of which the server is shown some frames.

        Raises:
            ValueError: there are no such videos.
        """
        args = self._args
        return FrameInputs(args.videos, data=args.data, num_frames=args.num_frames, side=args.frame_side)

    @contextmanager
    def open(self, questions: Mapping[str, Sequence[str]]) -> Iterator[tuple[Clips, Engine]]:
        """Open the videos, and ask the server once where there is a question for it.

        Raises:
            ValueError: no such videos, or the server or its model cannot be used. The message says what to start.
        """
        args, clips = self._args, self.clips()
        if questions:
            self.client.ping(picture_probe())
        with ThreadPoolExecutor(args.batch_size) as threads:
            try:
                yield clips, ServerEngine(self.client, threads, args.batch_size, args.seed, self._generation)
            finally:
                self.client.stop()
                threads.shutdown(cancel_futures=True)

    def description(self) -> dict[str, Any]:
        """Return the model, its server and the frames that it was shown."""
        return {
            "model": {"source": self.client.name, "server": without_secrets(str(self.client.server))},
            "video": {"num_frames": self._args.num_frames, "frame_side": self._args.frame_side},
            "sees": "pictures",
            "prompt": [INTRODUCTION],
        }


class Replies:
    """Replies to requests, of which too many failures in a row end the run."""

    def __init__(self) -> None:
        self._failures = 0

    def of(self, future: Future[Reply]) -> tuple[Reply | None, str]:
        """Return the reply, or None and the reason.

        Raises:
            ValueError: the last of `HOPELESS` failures in a row.
        """
        try:
            reply = future.result()
        except ChatError as error:
            self._failures += 1
            if self._failures >= HOPELESS:
                raise ValueError(f"{error}; this happened {HOPELESS} times in a row, so the run stops") from error
            return None, str(error)
        self._failures = 0
        return reply, ""


class ServerEngine:
    """Answers of a server, several requests at the same time.

    Args:
        client: asks the server, with retries.
        threads: one for each request.
        capacity: number of requests at the same time.
        seed: for sampling, which not every server follows.
        generation: as for `generate` of transformers.
    """

    def __init__(
        self,
        client: ChatClient,
        threads: ThreadPoolExecutor,
        capacity: int,
        seed: int,
        generation: Mapping[str, Any],
    ) -> None:
        self._client, self._threads, self._seed, self._generation = client, threads, seed, generation
        self.clips_at_once = capacity
        self._replies = Replies()
        self._waiting: list[tuple[Prompt, Future[Reply]]] = []

    def problem(self, content: VideoFrames, question: str) -> None:
        """Return None: only the server knows what it refuses."""

    def answer(self, prompts: Sequence[Prompt]) -> Iterator[Answer]:
        """Send prompts. Yield answers as soon as more requests wait than are made at the same time."""
        for prompt in prompts:
            self._waiting.append((prompt, self._threads.submit(self._client.chat, self._request(prompt))))
            if len(self._waiting) > self.clips_at_once:
                yield self._next()

    def rest(self) -> Iterator[Answer]:
        """Yield the answers to all prompts that were sent."""
        while self._waiting:
            yield self._next()

    def _request(self, prompt: Prompt) -> ChatRequest:
        return ChatRequest(
            [shown_question(prompt.content, prompt.question)],
            max_tokens=self._generation["max_new_tokens"],
            temperature=self._generation.get("temperature", 0.0),
            seed=digest_number(json.dumps([self._seed, prompt.video, prompt.question]), num_bytes=3),
        )

    def _next(self) -> Answer:
        prompt, future = self._waiting.pop(0)
        reply, error = self._replies.of(future)
        if reply is None:
            return Answer(prompt.video, prompt.question, None, error)
        return Answer(prompt.video, prompt.question, without_thoughts(reply.text).strip(), cut=reply.cut)


def shown_question(frames: VideoFrames, question: str) -> Message:
    """Return a question about the frames as pictures. Without frames, it is the question alone."""
    pictures = tuple(png(frame) for frame in rearrange(frames.pixels, "t c h w -> t h w c").numpy())
    return Message(f"{INTRODUCTION.format(count=len(pictures))}\n{question}" if pictures else question, images=pictures)


def png(frame: Any) -> bytes:  # noqa: ANN401
    """Return an RGB frame [H W 3] as the bytes of a PNG file."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(frame).save(file, "PNG")
    return file.getvalue()


def picture_probe() -> ChatRequest:
    """Return a question about a picture, which fails for models that take no pictures."""
    import numpy as np

    grey = np.full((64, 64, 3), 127, np.uint8)
    return ChatRequest([Message("Say yes.", images=(png(grey),))], max_tokens=16)
