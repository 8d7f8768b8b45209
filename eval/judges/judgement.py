"""What a judge gives, and what `score.py` needs of a judge."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from eval.judges.rubrics import Rubric, Rubrics
from ski_lvlm.servers.client import Message, ModelInfo, Reply


@dataclass(frozen=True)
class Judgement:
    """A score from 0 to 5, or None and why there is none; with all that the judge was told and said, in order.

    `prompt` is what it was told first, nothing where no model was asked. `last` is a model's last reply.
    """

    score: float | None
    replies: tuple[str, ...] = ()
    reason: str | None = None
    prompt: tuple[Message, ...] = ()
    last: Reply | None = None


class Judge(Protocol):
    """Grades records. `settings` is what, besides its name and its rubrics, may move its grades.

    The rubrics of a judge that asks nobody hold the texts that it compares, and no words.
    """

    name: str
    rubrics: Rubrics
    settings: dict[str, Any]

    def ping(self) -> ModelInfo:
        """Say which weights judge; raises ValueError, saying what to start, when they cannot."""

    def not_measured(self, metric: str) -> str | None:
        """Why this judge cannot honestly grade a metric; None when it can."""

    def stop(self) -> None:
        """Ask nothing more: calls under way come to an end soon, with what was asked or with an error."""

    def __call__(self, rubric: Rubric, fields: Mapping[str, str], *, seed: int = 0) -> Judgement:
        """Grade one record."""
