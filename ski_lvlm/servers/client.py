"""One client for every LLM server, used for captioning, question writing and judging.

    client = ChatClient("llama3.1")                                            # Ollama, also "ollama:llama3.1"
    client = ChatClient("openai:qwen3", base_url="http://127.0.0.1:8000/v1")   # vLLM, llama.cpp, OpenAI, ...
    client.ping()                                                              # says what to start, before any work
    client.chat(ChatRequest([Message("Describe the picture.", images=(png,))])).text

A transient failure (busy, slow, half a reply) is retried a bounded number of times, with growing pauses or after the
pause that the server asks for.
"""

import logging
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import tenacity

from ski_lvlm.servers.ollama_server import OllamaServer
from ski_lvlm.servers.openai_batches import OpenAiBatches
from ski_lvlm.servers.openai_server import OpenAiServer
from ski_lvlm.servers.protocol import (
    PROBE,
    BadReply,
    Busy,
    ChatError,
    ChatRequest,
    Message,
    ModelInfo,
    ModelMissing,
    Refused,
    Reply,
    Server,
    ServerNotRunning,
    Stopped,
    TimedOut,
    image_type,
)

__all__ = [
    "BadReply", "Busy", "ChatClient", "ChatError", "ChatRequest", "Message", "ModelInfo", "ModelMissing", "Refused",
    "Reply", "ServerNotRunning", "Stopped", "TimedOut", "split_model",
]  # fmt: skip

Result = TypeVar("Result")
logger = logging.getLogger(__name__)


def split_model(name: str) -> tuple[str, str]:
    """Split a model's name into protocol and model. A bare name, also one with Ollama's `:tag`, means Ollama.

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
    """Client for one model on one server, with bounded retries. Safe to share between threads.

    Args:
        model: `ollama:MODEL`, a bare name (Ollama), or `openai:MODEL`.
        base_url: the server's address. Default: OLLAMA_HOST or Ollama on this machine, for `openai:` OPENAI_BASE_URL or
            OpenAI's own.
        timeout: seconds that one attempt may wait for the server.
        attempts: the maximum number of attempts at one request.
        max_wait: the longest pause between attempts, in seconds. A server that asks for a longer one is not retried.

    Attributes:
        name: the model's with its protocol.
        server: the address of a server of OpenAI's protocol. None for Ollama, whose digests identify models anywhere.

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
    ) -> None:
        protocol, bare = split_model(model)
        self.name = f"{protocol}:{bare}"
        self._attempts, self._max_wait = attempts, max_wait
        self._stopped = threading.Event()
        server_of = OllamaServer if protocol == "ollama" else OpenAiServer
        self._server: Server = server_of(bare, base_url=base_url, timeout=timeout)
        self.server = self._server.address if isinstance(self._server, OpenAiServer) else None

    def chat(self, request: ChatRequest, *, before: Callable[[], object] = lambda: None) -> Reply:
        """Ask, with retries. `before` is called before each attempt, to keep a pace.

        Raises:
            Stopped: `stop` was called before this attempt began.
            ChatError: the failure of the last attempt.
        """
        for message in request.messages:
            for image in message.images:
                image_type(image)

        def attempt() -> Reply:
            before()
            if self._stopped.is_set():
                raise Stopped(f"{self.name} was not asked: told to stop")
            return self._server.chat(request)

        return self.retry(attempt)

    def retry(self, call: Callable[..., Result], *args: Any, **settings: Any) -> Result:  # noqa: ANN401
        """Call, and call again after transient failures.

        Raises:
            ChatError: the failure of the last attempt.
        """
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(lambda error: isinstance(error, ChatError) and error.is_transient),
            stop=self._is_hopeless,
            wait=self._pause,
            sleep=tenacity.sleep_using_event(self._stopped),
            before_sleep=self._log_failure,
            reraise=True,
        )
        return retrying(call, *args, **settings)

    def _log_failure(self, state: tenacity.RetryCallState) -> None:
        error, pause = state.outcome and state.outcome.exception(), state.next_action and state.next_action.sleep
        logger.warning("%s; asked again in %.1f s (%d of %d)", error, pause, state.attempt_number + 1, self._attempts)

    def stop(self) -> None:
        """Begin no further attempt of a `chat`, in any thread. Pauses end at once, attempts under way finish."""
        self._stopped.set()

    @property
    def is_openai(self) -> bool:
        """Return whether the server is OpenAI's own service."""
        return isinstance(self._server, OpenAiServer) and self._server.is_openai

    def batches(self) -> OpenAiBatches:
        """Return the server's Batch API. Each of its calls is one attempt: make it with `retry`.

        Raises:
            ChatError: the server speaks Ollama's protocol, which has none.
        """
        if not isinstance(self._server, OpenAiServer):
            raise ChatError(f"{self.name}: only OpenAI's protocol has a Batch API; use openai:MODEL")
        return OpenAiBatches(self._server)

    def ping(self, probe: ChatRequest = PROBE) -> ModelInfo:
        """Check once that server and model answer.

        A `probe` of the shape of the requests to come fails where they would.

        Raises:
            ChatError: they do not. The message says what to start.
        """
        return self._server.ping(probe)

    def _is_hopeless(self, state: tenacity.RetryCallState) -> bool:
        return state.attempt_number >= self._attempts or (_requested_pause(state) or 0.0) > self._max_wait

    def _pause(self, state: tenacity.RetryCallState) -> float:
        requested = _requested_pause(state)
        growing = tenacity.wait_random_exponential(multiplier=1.0, max=self._max_wait)
        return growing(state) if requested is None else requested


def _requested_pause(state: tenacity.RetryCallState) -> float | None:
    error = state.outcome.exception() if state.outcome else None
    return error.retry_after if isinstance(error, Busy) else None
