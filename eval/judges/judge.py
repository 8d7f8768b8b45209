"""The contract between `eval/score.py` and whoever grades."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, Protocol, Self

from eval.judges.rubrics import OWN, Rubric, Rubrics
from eval.judges.score_reading import SAMPLED, ScoreKind
from ski_lvlm.servers.client import Message, ModelInfo, Reply


@dataclass(frozen=True)
class Judgement:
    """A score from 0 to 5, or None with a reason, and the conversation that led to it.

    `prompt` holds the first messages and is empty where no model was asked. `last` is the model's last reply.
    `facts` are saved beside the score.
    """

    score: float | None
    replies: tuple[str, ...] = ()
    reason: str | None = None
    prompt: tuple[Message, ...] = ()
    last: Reply | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


class JudgeSettings(NamedTuple):
    """The settings of `eval/score.py` that a judge is opened with.

    `timeout` limits one attempt, in seconds. `requests_per_minute` counts all threads and all attempts. With the
    `score_kind` expected, temperature and max_tokens do not apply.
    """

    base_url: str | None = None
    timeout: float = 120.0
    rubrics: Rubrics = OWN
    temperature: float = 0.0
    max_tokens: int = 200
    requests_per_minute: int | None = None
    score_kind: ScoreKind = SAMPLED


class Judge(Protocol):
    """Whoever grades records.

    Attributes:
        has_prompts: whether a model is asked, so that rubrics, `--scores` and `--temperature` apply.
        note: a warning to print under this judge's scores, or None.
        name: the judge's name in the results.
        rubrics: the questions. Without prompts they hold only the names of the compared texts.
        settings: what, besides name and rubrics, may move the grades.
    """

    has_prompts: ClassVar[bool]
    note: ClassVar[str | None]
    name: str
    rubrics: Rubrics
    settings: dict[str, Any]

    @classmethod
    def open(cls, name: str, settings: JudgeSettings) -> Self:
        """Return the judge of this name."""

    def ping(self) -> ModelInfo:
        """Return which weights judge. A ValueError says what to start."""

    def not_measured(self, metric: str) -> str | None:
        """Return why this judge cannot grade a metric, or None if it can."""

    def stop(self) -> None:
        """Send no further question. Calls under way end soon, with a judgement or an error."""

    def __call__(self, rubric: Rubric, fields: Mapping[str, str], *, seed: int = 0) -> Judgement:
        """Grade one record."""
