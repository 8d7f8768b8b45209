"""A language model as judge: behind a server, or in this process."""

import threading
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any, Protocol

from eval.judges.judgement import Judgement
from eval.judges.parse_score import parse_score
from eval.judges.rubrics import OWN, Rubric, Rubrics, messages
from ski_lvlm.servers.client import (
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

ASKS = 3  # first the question, then twice "only the JSON, please"
HOPELESS = 20  # grades in a row that the server failed to give, each after all its attempts; the next would fare alike


class Chat(Protocol):
    """Who is asked: `ChatClient`, or `eval.judges.hf_chat.HfChat`. `server` is an address where no digest is told."""

    name: str
    server: str | None

    def ping(self, probe: ChatRequest) -> ModelInfo:
        """Say which weights answer, after a question of the shape of `probe` where nothing else tells."""

    def stop(self) -> None:
        """Begin no further answer, in any thread."""

    def chat(self, request: ChatRequest, *, before: Callable[[], object] = lambda: None) -> Reply:
        """Answer. `before` is called before each attempt."""


class LlmJudge:
    """A language model, its answer bound to a JSON schema where the backend can.

    A reply without a readable score is asked for again a bounded number of times within the same conversation (at
    temperature 0 the bare question would only bring the same reply). That and a server that fails give a judgement
    without a score, with the reason; never 0.

    Args:
        chat: who is asked.
        rubrics: what is asked.
        temperature: 0 takes the likeliest token each time.
        max_tokens: the longest reply; models that think aloud need more than the default.
        pace: limit of requests a minute, kept at every attempt.
    """

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
        if chat.server is not None:  # no digest tells two servers of OpenAI's protocol apart, so the address does
            self.settings["server"] = chat.server
        self._chat, self._pace = chat, pace
        self._failed, self._counting = 0, threading.Lock()

    def ping(self) -> ModelInfo:
        """Check server and model, with a question of the shape of the real ones."""
        system = next((rubric.system for rubric in self.rubrics.metrics if rubric.system), "")
        rules = (Message(system, role="system"),) if system else ()
        return self._chat.ping(self._request([*rules, Message("Say yes.")]))

    def stop(self) -> None:
        """Send no further question, also not one again; whoever waits to send one gets `Stopped` at once."""
        self._chat.stop()
        if self._pace is not None:
            self._pace.stop()

    def not_measured(self, metric: str) -> str | None:
        """An LLM can be asked whatever the rubrics ask."""
        return None if self.rubrics.of(metric) else "the rubrics do not ask for it"

    def __call__(self, rubric: Rubric, fields: Mapping[str, str], *, seed: int = 0) -> Judgement:
        """Grade one record.

        Raises:
            ChatError: going on with other records would be no use: `ServerNotRunning`, `ModelMissing`, too many
                failures in a row, or told to stop (`Stopped`).
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
            self._failed = 0
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
        """Stop at the last of `HOPELESS` failures in a row, unless the server only refuses these very questions."""
        with self._counting:
            self._failed += 1
            if self._failed < HOPELESS:
                return
            self._failed = 0
        if isinstance(error, Refused):
            self.ping()  # fails where everything is refused, as without a quota
            return
        raise ChatError(f"{HOPELESS} grades in a row failed, the last one so: {error}") from error

    def _ask(self, prompt: Sequence[Message], unread: Sequence[Reply], seed: int) -> Reply:
        """Ask, or ask again after replies that could not be read."""
        again = [[Message(r.text, role="assistant"), Message(self.rubrics.again)] for r in unread if r.text.strip()]
        return self._chat.chat(self._request([*prompt, *chain(*again)], seed=seed), before=self._keep_pace)

    def _request(self, turns: Sequence[Message], *, seed: int = 0) -> ChatRequest:
        return ChatRequest(turns, self.rubrics.schema, self._max_tokens, self._temperature, seed)

    def _keep_pace(self) -> None:
        if self._pace is not None:
            self._pace.wait(0)
