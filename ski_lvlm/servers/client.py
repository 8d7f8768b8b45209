"""One client for every LLM server: captioning, question writing and judging all talk through it.

    client = ChatClient("llama3.1")                                            # Ollama, also "ollama:llama3.1"
    client = ChatClient("openai:qwen3", base_url="http://127.0.0.1:8000/v1")   # vLLM, llama.cpp, OpenAI, ...
    client.ping()                                                              # says what to start, before any work
    client.chat([Message("Describe the picture.", images=(png,))]).text

An attempt that fails for a passing reason (busy, slow, half a reply) is repeated a bounded number of times with growing
pauses, or after the pause that the server asks for. Temperature is 0 and the seed fixed unless told otherwise.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import tenacity

from ski_lvlm.servers.ollama_server import OllamaServer
from ski_lvlm.servers.openai_batches import OpenAiBatches
from ski_lvlm.servers.openai_server import OpenAiServer
from ski_lvlm.servers.protocol import (
    BadReply,
    Busy,
    ChatError,
    Message,
    ModelInfo,
    ModelMissing,
    Probe,
    Refused,
    Reply,
    Server,
    ServerNotRunning,
    Stopped,
    TimedOut,
    image_type,
)

__all__ = [
    "BadReply", "Busy", "ChatClient", "ChatError", "Message", "ModelInfo", "ModelMissing", "Probe", "Refused",
    "Reply", "ServerNotRunning", "Stopped", "TimedOut", "split_model",
]  # fmt: skip

Result = TypeVar("Result")
logger = logging.getLogger(__name__)
_PROBE = Probe()


def split_model(name: str) -> tuple[str, str]:
    """Split a model's name into protocol and model; a bare name, also one with Ollama's `:tag`, means Ollama.

    >>> split_model("llama3.1:8b"), split_model("openai:gpt-3.5-turbo")
    (('ollama', 'llama3.1:8b'), ('openai', 'gpt-3.5-turbo'))

    Raises:
        ChatError: the name is empty, or asks for a model in this process (`hf:`), which is no server.
    """
    protocol, _, model = name.partition(":")
    if protocol not in ("ollama", "openai", "hf"):
        protocol, model = "ollama", name
    if not model.strip() or protocol == "hf":
        raise ChatError(f"no LLM server is named by {name!r}; expected MODEL, ollama:MODEL or openai:MODEL")
    return protocol, model


class ChatClient:
    """Asks one model on one server, patiently but not for ever. Safe to share between threads.

    Args:
        model: `ollama:MODEL`, a bare name (Ollama), or `openai:MODEL`.
        base_url: the server's address. Default: OLLAMA_HOST or Ollama on this machine, for `openai:` OPENAI_BASE_URL or
            OpenAI's own.
        timeout: seconds that one attempt may wait for the server.
        attempts: how often one question is asked at most.
        max_wait: the longest pause between attempts, seconds; a server that asks for a longer one is given up.
        seed: sent with every request.

    Attributes:
        name: the model's with its protocol.
        server: the address of a server of OpenAI's protocol; None for Ollama, whose digests tell models apart anywhere.

    Raises:
        ChatError: the name, the address or a key is malformed, or a key is needed and OPENAI_API_KEY is not set.
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        timeout: float = 120.0,
        attempts: int = 4,
        max_wait: float = 60.0,
        seed: int = 0,
    ) -> None:
        protocol, bare = split_model(model)
        self.name = f"{protocol}:{bare}"
        self._attempts, self._max_wait, self._seed = attempts, max_wait, seed
        self._stopped = threading.Event()
        server_of = OllamaServer if protocol == "ollama" else OpenAiServer
        self._server: Server = server_of(bare, base_url=base_url, timeout=timeout)
        self.server = self._server.address if isinstance(self._server, OpenAiServer) else None

    def chat(
        self,
        messages: Sequence[Message],
        *,
        schema: dict[str, Any] | None = None,
        max_tokens: int = 512,
        temperature: float = 0.0,
        seed: int | None = None,
        before: Callable[[], object] = lambda: None,
    ) -> Reply:
        """Ask, and ask again while the reason for the failure may pass.

        Args:
            messages: the conversation so far.
            schema: JSON schema of the answer, enforced where the server can: parse the answer with care anyway.
            max_tokens: the longest answer; `Reply.cut` says that it was reached.
            temperature: 0 takes the likeliest token each time.
            seed: instead of the client's own.
            before: called before each attempt, to keep a pace.

        Raises:
            Stopped: `stop` was called before this attempt began.
            ChatError: the last attempt's failure, as the subclass that says what happened.
        """
        for message in messages:
            for image in message.images:
                image_type(image)
        told: dict[str, Any] = {"max_tokens": max_tokens, "temperature": temperature}

        def attempt() -> Reply:
            before()
            if self._stopped.is_set():
                raise Stopped(f"{self.name} was not asked: told to stop")
            return self._server.chat(messages, schema=schema, seed=self._seed if seed is None else seed, **told)

        return self.patiently(attempt)

    def patiently(self, call: Callable[..., Result], *args: Any, **named: Any) -> Result:  # noqa: ANN401
        """Call, and call again while the reason for the failure may pass.

        Raises:
            ChatError: the last attempt's failure.
        """
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(lambda error: isinstance(error, ChatError) and error.passing),
            stop=self._give_up,
            wait=self._pause,
            sleep=tenacity.sleep_using_event(self._stopped),
            before_sleep=self._tell,
            reraise=True,
        )
        return retrying(call, *args, **named)

    def _tell(self, state: tenacity.RetryCallState) -> None:
        """Why an attempt failed, and when the next one begins."""
        error, pause = state.outcome and state.outcome.exception(), state.next_action and state.next_action.sleep
        logger.warning("%s; asked again in %.1f s (%d of %d)", error, pause, state.attempt_number + 1, self._attempts)

    def stop(self) -> None:
        """Begin no further attempt of a `chat`, in any thread; pauses end at once, what is under way is answered."""
        self._stopped.set()

    @property
    def at_openai(self) -> bool:
        """Whether OpenAI's own service is asked, rather than a server of one's own."""
        return isinstance(self._server, OpenAiServer) and self._server.at_openai

    def batches(self) -> OpenAiBatches:
        """The server's Batch API; each of its calls is one attempt, to be made `patiently`.

        Raises:
            ChatError: the server speaks Ollama's protocol, which has none.
        """
        if not isinstance(self._server, OpenAiServer):
            raise ChatError(f"{self.name}: only OpenAI's protocol has a Batch API; use openai:MODEL")
        return OpenAiBatches(self._server)

    def ping(self, probe: Probe = _PROBE) -> ModelInfo:
        """Ask once whether server and model are there, in the shape of the questions to come.

        Raises:
            ChatError: they are not; the message says what to start.
        """
        return self._server.ping(probe)

    def _give_up(self, state: tenacity.RetryCallState) -> bool:
        return state.attempt_number >= self._attempts or (_asked_pause(state) or 0.0) > self._max_wait

    def _pause(self, state: tenacity.RetryCallState) -> float:
        asked = _asked_pause(state)
        growing = tenacity.wait_random_exponential(multiplier=1.0, max=self._max_wait)
        return growing(state) if asked is None else asked


def _asked_pause(state: tenacity.RetryCallState) -> float | None:
    error = state.outcome.exception() if state.outcome else None
    return error.retry_after if isinstance(error, Busy) else None
