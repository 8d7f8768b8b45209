"""Answers of a trained SKI-LVLM about one clip, word by word."""

from collections import OrderedDict
from collections.abc import Callable, Generator
from pathlib import Path
from queue import Queue
from threading import Event, Thread
from typing import Any

from jaxtyping import UInt8
from torch import Tensor
from transformers.generation.streamers import BaseStreamer

from ski_lvlm.llm.answer_text import answer_text
from ski_lvlm.lvlm.inference import LoadedModel

_KEPT_CLIPS = 4


class Answerer:
    """A model that answers questions about clips. It keeps what it has encoded of the last few clips.

    As in training, a question is answered without earlier ones.
    """

    def __init__(self, lvlm: LoadedModel, title: str) -> None:
        self.lvlm, self.title = lvlm, title
        self._clips: OrderedDict[str, Any] = OrderedDict()

    def frames(self, clip: Path) -> UInt8[Tensor, "T_v 3 H W"]:
        """Return the frames that the model sees."""
        frames = self.lvlm.read(clip)
        return getattr(frames, "pixels", frames)  # a video LLM's frames have their times beside them

    def stream(self, clip: Path, question: str, **generation: Any) -> Generator[str]:  # noqa: ANN401
        """Yield the answer so far, again and again, until it is whole.

        Closing the iterator stops the model.

        Raises:
            ValueError: the question and the video do not fit into the model's context.
        """
        encoded = self._encoded(clip)
        stop = Event()
        parts: Queue[str | Exception | None] = Queue()
        thread = Thread(target=self._generate, args=(encoded, question, parts, stop, generation), daemon=True)
        thread.start()
        try:
            while (part := parts.get()) is not None:
                if isinstance(part, Exception):
                    raise part
                yield part
        finally:
            stop.set()
            thread.join()

    def _encoded(self, clip: Path) -> Any:  # noqa: ANN401
        key = str(clip)
        if key not in self._clips:
            self._clips[key] = self.lvlm.encode(self.lvlm.read(clip))
        self._clips.move_to_end(key)
        while len(self._clips) > _KEPT_CLIPS:
            self._clips.popitem(last=False)
        return self._clips[key]

    def _generate(
        self,
        encoded: Any,  # noqa: ANN401
        question: str,
        parts: "Queue[str | Exception | None]",
        stop: Event,
        generation: dict[str, Any],
    ) -> None:
        model = self.lvlm.model

        def show(ids: list[int]) -> None:
            if stop.is_set():
                raise _StoppedError
            parts.put(answer_text(ids, model.tokenizer, model.end_ids))

        try:
            (answer,) = self.lvlm.answer([encoded], [question], streamer=_Parts(show), **generation)
            parts.put(answer.text)
        except Exception as error:  # noqa: BLE001 (raised again in the thread of the page)
            parts.put(error)
        finally:
            parts.put(None)


class _StoppedError(Exception):
    """The visitor has stopped an answer."""


class _Parts(BaseStreamer):
    """Streamer that hands over all ids that were generated so far. Those of the first call are the prompt."""

    def __init__(self, show: Callable[[list[int]], None]) -> None:
        self._show = show
        self._ids: list[int] | None = None

    def put(self, value: Any) -> None:  # noqa: ANN401
        """Take the next token ids."""
        if self._ids is None:
            self._ids = []
            return
        self._ids += value.flatten().tolist()
        self._show(self._ids)

    def end(self) -> None:
        """Do nothing: the whole answer comes from the model."""
