"""A language model as judge: behind a server, or in this process."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any, ClassVar, Protocol, Self

from eval.judges.judge import Judgement, JudgeSettings
from eval.judges.rubrics import OWN, Rubric, Rubrics, messages
from eval.judges.score_reading import EXPECTED, ExpectedScore, SampledScore, ScoreReading
from ski_lvlm.servers.client import (
    ChatClient,
    ChatError,
    ChatRequest,
    Message,
    ModelInfo,
    ModelMissing,
    Refused,
    Reply,
    ServerNotRunning,
    Stopped,
)
from ski_lvlm.servers.pace import Pace

HOPELESS = 20  # failed grades in a row, each after all its attempts, that end the run


class Chat(Protocol):
    """A model that answers: `ChatClient`, or `eval.judges.hf_chat.HfChat`.

    `server` is the address of a server that gives no digest of its weights, else None.
    """

    name: str
    server: str | None

    def ping(self, probe: ChatRequest) -> ModelInfo:
        """Return which weights answer, if need be after sending `probe`."""

    def stop(self) -> None:
        """Start no further answer in any thread."""

    def chat(self, request: ChatRequest, *, before: Callable[[], object] = lambda: None) -> Reply:
        """Answer. `before` is called before each attempt."""


class LlmJudge:
    """A language model as judge.

    If no reply can be read, or the server fails, the judgement has a reason instead of a score, never 0.

    Args:
        chat: the model.
        rubrics: the questions.
        reading: the way a grade is asked for and read, by default from a written reply.
        pace: limit of requests a minute, applied to every attempt.
    """

    has_prompts: ClassVar[bool] = True
    note: ClassVar[str | None] = None

    def __init__(
        self,
        chat: Chat,
        rubrics: Rubrics = OWN,
        *,
        reading: ScoreReading | None = None,
        pace: Pace | None = None,
    ) -> None:
        self.name, self.rubrics = chat.name, rubrics
        self._reading = SampledScore() if reading is None else reading
        self.settings: dict[str, Any] = dict(self._reading.settings)
        if chat.server is not None:  # such servers give no digest of their weights, so the address distinguishes them
            self.settings["server"] = chat.server
        self._chat, self._pace = chat, pace
        self._failures, self._lock = 0, threading.Lock()

    @classmethod
    def open(cls, name: str, settings: JudgeSettings) -> Self:
        """Return the judge behind `ollama:MODEL`, `openai:MODEL`, `hf:MODEL` or a bare name."""
        limit = settings.requests_per_minute
        pace = None if limit is None else Pace(requests_per_minute=limit, tokens_per_minute=None)
        is_expected = settings.score_kind == EXPECTED
        reading = ExpectedScore() if is_expected else SampledScore(settings.temperature, settings.max_tokens)
        return cls(_chat(name, settings), settings.rubrics, reading=reading, pace=pace)

    def ping(self) -> ModelInfo:
        """Check server and model with a question that has the form of the real ones.

        Raises:
            ChatError: they do not answer, or not so that the grade can be read.
        """
        system = next((rubric.system for rubric in self.rubrics.metrics if rubric.system), "")
        rules = (Message(system, role="system"),) if system else ()
        probe = self._reading.request([*rules, Message("Say yes.")], self.rubrics.schema)
        info = self._chat.ping(replace(probe, candidates=()))
        self._reading.check(self._chat.chat, probe)
        return info

    def stop(self) -> None:
        """Send no further question. Threads that wait to send one get `Stopped` at once."""
        self._chat.stop()
        if self._pace is not None:
            self._pace.stop()

    def not_measured(self, metric: str) -> str | None:
        """Return a reason for metrics without a rubric."""
        return None if self.rubrics.of(metric) else "the rubrics do not ask for it"

    def __call__(self, rubric: Rubric, fields: Mapping[str, str], *, seed: int = 0) -> Judgement:
        """Grade one record.

        Raises:
            ChatError: other records would fail too: `ServerNotRunning`, `ModelMissing`, `Stopped`, or too many failures
                in a row.
        """
        prompt, replies = tuple(messages(rubric, fields)), list[Reply]()
        score, reason = None, None
        try:
            while score is None and len(replies) < self._reading.asks:
                replies.append(self._ask(prompt, replies, seed))
                score = self._reading.score(replies[-1])
        except (ServerNotRunning, ModelMissing, Stopped):
            raise
        except ChatError as error:
            self._count_failure(error)
            reason = f"failed: {type(error).__name__}: {error}"
        else:
            self._failures = 0
            reason = self._reading.unparsed(replies) if score is None else None
        last = replies[-1] if replies else None
        facts = self._reading.facts(last) if last else {}
        return Judgement(score, tuple(r.text for r in replies), reason, prompt, last, facts)

    def _count_failure(self, error: ChatError) -> None:
        """Raise after `HOPELESS` failures in a row, unless the server refuses only these questions."""
        with self._lock:
            self._failures += 1
            if self._failures < HOPELESS:
                return
            self._failures = 0
        if isinstance(error, Refused):
            self.ping()  # fails where everything is refused, as without a quota
            return
        raise ChatError(f"{HOPELESS} grades in a row failed, the last one so: {error}") from error

    def _ask(self, prompt: Sequence[Message], unreadable: Sequence[Reply], seed: int) -> Reply:
        """Ask, or ask again after unreadable replies."""
        retries = [
            [Message(r.text, role="assistant"), Message(self.rubrics.again)] for r in unreadable if r.text.strip()
        ]
        request = self._reading.request([*prompt, *chain(*retries)], self.rubrics.schema, seed=seed)
        return self._chat.chat(request, before=self._keep_pace)

    def _keep_pace(self) -> None:
        if self._pace is not None:
            self._pace.wait(0)


def _chat(name: str, settings: JudgeSettings) -> Chat:
    if name.startswith("hf:"):
        from eval.judges.hf_chat import HfChat

        return HfChat(name.removeprefix("hf:"))
    return ChatClient(name, base_url=settings.base_url, timeout=settings.timeout)
