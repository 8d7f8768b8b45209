"""A language model as judge: behind a server, or in this process."""

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any, Protocol

from eval.judges.judgement import Judgement
from eval.judges.parse_score import parse_score
from eval.judges.rubrics import OWN, Rubric, Rubrics, messages
from ski_lvlm.chat_client import ChatError, Message, ModelInfo, ModelMissing, Reply, ServerNotRunning

ASKS = 3  # first the question, then twice "only the JSON, please"


class Chat(Protocol):
    """Who is asked: `ChatClient`, or `eval.judges.hf_chat.HfChat`. `server` is an address where no digest is told."""

    name: str
    server: str | None

    def ping(self) -> ModelInfo:
        """Say which weights answer."""

    def chat(
        self,
        messages: Sequence[Message],
        *,
        schema: dict[str, Any] | None = None,
        max_tokens: int = 512,
        temperature: float = 0.0,
        seed: int | None = None,
    ) -> Reply:
        """Answer."""


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
        wait: called before each question, to keep a limit on questions a minute.
    """

    def __init__(
        self,
        chat: Chat,
        rubrics: Rubrics = OWN,
        *,
        temperature: float = 0.0,
        max_tokens: int = 200,
        wait: Callable[[], None] = lambda: None,
    ) -> None:
        self.name, self.rubrics = chat.name, rubrics
        self._told: dict[str, Any] = {"temperature": temperature, "max_tokens": max_tokens}
        # No digest tells two servers of OpenAI's protocol apart, so the address does.
        self.settings = self._told if chat.server is None else {**self._told, "server": chat.server}
        self._chat, self._wait = chat, wait

    def ping(self) -> ModelInfo:
        """Check server and model."""
        return self._chat.ping()

    def not_measured(self, metric: str) -> str | None:
        """An LLM can be asked whatever the rubrics ask."""
        return None if self.rubrics.of(metric) else "the rubrics do not ask for it"

    def __call__(self, rubric: Rubric, fields: Mapping[str, str], *, seed: int = 0) -> Judgement:
        """Grade one record.

        Raises:
            ServerNotRunning, ModelMissing: going on with other records would be no use.
        """
        prompt, replies = tuple(messages(rubric, fields)), list[Reply]()
        score, reason = None, f"unparsed: no score from 0 to 5 in {ASKS} replies"
        try:
            while score is None and len(replies) < ASKS:
                replies.append(self._ask(prompt, replies, seed))
                score = parse_score(replies[-1].text, cut=replies[-1].cut)
        except (ServerNotRunning, ModelMissing):
            raise
        except ChatError as error:
            reason = f"failed: {type(error).__name__}: {error}"
        return Judgement(
            score,
            tuple(reply.text for reply in replies),
            reason if score is None else None,
            prompt,
            replies[-1] if replies else None,
        )

    def _ask(self, prompt: Sequence[Message], unread: Sequence[Reply], seed: int) -> Reply:
        """Ask, or ask again after replies that could not be read."""
        again = [[Message(reply.text, role="assistant"), Message(self.rubrics.again)] for reply in unread]
        self._wait()
        return self._chat.chat([*prompt, *chain(*again)], schema=self.rubrics.schema, seed=seed, **self._told)
