"""A language model as judge: behind a server, or in this process."""

import threading
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any, ClassVar, Protocol, Self

from eval.judges.judge import Judgement, JudgeSettings
from eval.judges.parse_score import parse_score
from eval.judges.rubrics import OWN, Rubric, Rubrics, messages
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

ASKS = 3  # the question, then up to two requests for the JSON alone
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
    """A language model as judge, with replies bound to a JSON schema where the backend can.

    A reply without a readable score is followed by up to two more requests in the same conversation. If these fail as
    well, or the server does, the judgement has a reason instead of a score, never 0.

    Args:
        chat: the model.
        rubrics: the questions.
        temperature: 0 decodes greedily.
        max_tokens: the longest reply. Models that think aloud need more than the default.
        pace: limit of requests a minute, applied to every attempt.
    """

    has_prompts: ClassVar[bool] = True
    note: ClassVar[str | None] = None

    def __init__(
        self,
        chat: Chat,
        rubrics: Rubrics = OWN,
        *,
        temperature: float = 0.0,
        max_tokens: int = 200,
        pace: Pace | None = None,
    ) -> None:
        self.name, self.rubrics = chat.name, rubrics
        self._temperature, self._max_tokens = temperature, max_tokens
        self.settings: dict[str, Any] = {"temperature": temperature, "max_tokens": max_tokens}
        if chat.server is not None:  # such servers give no digest of their weights, so the address distinguishes them
            self.settings["server"] = chat.server
        self._chat, self._pace = chat, pace
        self._failures, self._lock = 0, threading.Lock()

    @classmethod
    def open(cls, name: str, settings: JudgeSettings) -> Self:
        """Return the judge behind `ollama:MODEL`, `openai:MODEL`, `hf:MODEL` or a bare name."""
        limit = settings.requests_per_minute
        return cls(
            _chat(name, settings),
            settings.rubrics,
            temperature=settings.temperature,
            max_tokens=settings.max_tokens,
            pace=None if limit is None else Pace(requests_per_minute=limit, tokens_per_minute=None),
        )

    def ping(self) -> ModelInfo:
        """Check server and model with a question that has the form of the real ones."""
        system = next((rubric.system for rubric in self.rubrics.metrics if rubric.system), "")
        rules = (Message(system, role="system"),) if system else ()
        return self._chat.ping(self._request([*rules, Message("Say yes.")]))

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
            while score is None and len(replies) < ASKS:
                replies.append(self._ask(prompt, replies, seed))
                score = parse_score(replies[-1].text, cut=replies[-1].cut)
        except (ServerNotRunning, ModelMissing, Stopped):
            raise
        except ChatError as error:
            self._count_failure(error)
            reason = f"failed: {type(error).__name__}: {error}"
        else:
            self._failures = 0
            reason = self._unparsed(replies) if score is None else None
        return Judgement(score, tuple(r.text for r in replies), reason, prompt, replies[-1] if replies else None)

    def _unparsed(self, replies: Sequence[Reply]) -> str:
        if any(reply.cut for reply in replies):
            limit = self._max_tokens
            return f"unparsed: cut at --max_tokens {limit} before a score; raise it, most of all for a thinking model"
        if not any(reply.text.strip() for reply in replies):
            return f"unparsed: {ASKS} replies without a word, as of a model whose thoughts are no part of its reply"
        return f"unparsed: no score from 0 to 5 in {ASKS} replies"

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
        return self._chat.chat(self._request([*prompt, *chain(*retries)], seed=seed), before=self._keep_pace)

    def _request(self, turns: Sequence[Message], *, seed: int = 0) -> ChatRequest:
        return ChatRequest(turns, self.rubrics.schema, self._max_tokens, self._temperature, seed)

    def _keep_pace(self) -> None:
        if self._pace is not None:
            self._pace.wait(0)


def _chat(name: str, settings: JudgeSettings) -> Chat:
    if name.startswith("hf:"):
        from eval.judges.hf_chat import HfChat

        return HfChat(name.removeprefix("hf:"))
    return ChatClient(name, base_url=settings.base_url, timeout=settings.timeout)
