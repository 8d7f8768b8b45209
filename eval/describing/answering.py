"""The contract between eval/describe.py and the models that answer: clips, prompts, engines."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

from eval.items.answers import Answer
from ski_lvlm.datasets.reading import LoadedClip


class Prompt(NamedTuple):
    """A question about a video, and the video as the model takes it: tokens, frames or pictures."""

    video: str
    content: Any
    question: str


class Clips(Protocol):
    """Clips as a model takes them."""

    @property
    def read(self) -> Callable[[str], Any]:
        """The function that reads a clip by its name in the questions, for worker processes. It holds no model."""

    def content(self, clip: LoadedClip[Any]) -> tuple[Any | None, str]:
        """Return a clip that was read as the model takes it, or None and the reason."""


class Engine(Protocol):
    """A way to answer prompts."""

    @property
    def clips_at_once(self) -> int:
        """Number of clips that are read together."""

    def problem(self, content: Any, question: str) -> str | None:  # noqa: ANN401
        """Return the reason why a prompt cannot be answered, None where it can."""

    def answer(self, prompts: Sequence[Prompt]) -> Iterator[Answer]:
        """Take prompts. Yield answers that are ready, which may belong to earlier prompts."""

    def rest(self) -> Iterator[Answer]:
        """Yield the answers to all prompts that have none yet."""


class AnsweringModel(Protocol):
    """A model that can be asked about videos."""

    @property
    def identity(self) -> str:
        """Digests of all that makes the answers, for the log."""

    def description(self) -> dict[str, Any]:
        """Return what predictions.run.json says of the model."""

    def open(self, questions: Mapping[str, Sequence[str]]) -> AbstractContextManager[tuple[Clips, Engine]]:
        """Make everything ready for these questions, by video."""
