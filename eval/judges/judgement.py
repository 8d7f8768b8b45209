"""What a judge gives, and what `score.py` needs of a judge."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from eval.judges.rubrics import Rubric, Rubrics
from ski_lvlm.chat_client import ModelInfo


@dataclass(frozen=True)
class Judgement:
    """A score from 0 to 5, or None and why there is none; with all that the judge said, in order."""

    score: float | None
    replies: tuple[str, ...] = ()
    reason: str | None = None


class Judge(Protocol):
    """Grades records. `settings` is what, besides its name and its rubrics, may move its grades."""

    name: str
    rubrics: Rubrics
    settings: dict[str, Any]

    def ping(self) -> ModelInfo:
        """Say which weights judge; raises ValueError, saying what to start, when they cannot."""

    def not_measured(self, metric: str) -> str | None:
        """Why this judge cannot honestly grade a metric; None when it can."""

    def __call__(self, rubric: Rubric, fields: Mapping[str, str], *, seed: int = 0) -> Judgement:
        """Grade one record."""
