"""Ollama's own protocol behind two calls, `chat` and `ping`."""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ski_lvlm.chat_protocol import (
    BadReply,
    ChatError,
    Message,
    ModelInfo,
    ModelMissing,
    Reply,
    ServerNotRunning,
    TimedOut,
    status_error,
    text_field,
    whole_characters,
)

OLLAMA_CONTEXT = 8192  # tokens; Ollama's own default varies with its version and cuts longer prompts without a word


class OllamaServer:
    """Ollama's own protocol, through its `ollama` package."""

    def __init__(self, model: str, *, base_url: str | None, timeout: float) -> None:
        import ollama

        self.model, self._timeout = model, timeout
        self._where = f"Ollama at {base_url or os.environ.get('OLLAMA_HOST') or 'http://127.0.0.1:11434'}"
        # The package drops a reply's headers from its errors, so Retry-After is read before it sees the reply.
        hooks = {"response": [self._raise_when_busy]}
        self._client = ollama.Client(host=base_url, timeout=timeout, event_hooks=hooks)

    def chat(
        self,
        messages: Sequence[Message],
        *,
        schema: dict[str, Any] | None,
        max_tokens: int,
        temperature: float,
        seed: int,
    ) -> Reply:
        """One attempt at one answer."""
        options = {"temperature": temperature, "seed": seed, "num_predict": max_tokens, "num_ctx": OLLAMA_CONTEXT}
        turns = [{"role": m.role, "content": m.text, "images": list(m.images) or None} for m in messages]
        started = time.monotonic()
        with self._errors():
            answer = self._client.chat(self.model, turns, format=schema, options=options)
        return Reply(
            text=whole_characters(answer.message.content or ""),
            prompt_tokens=answer.prompt_eval_count or 0,
            completion_tokens=answer.eval_count or 0,
            seconds=time.monotonic() - started,
            cut=answer.done_reason == "length",
            model=text_field(answer, "model"),
        )

    def ping(self) -> ModelInfo:
        """Check that the server runs and has the model; no weights are loaded for it."""
        with self._errors():
            shown = self._client.show(self.model)
            listed = self._client.list().models
        wanted = {self.model, f"{self.model}:latest"}
        digest = next((entry.digest for entry in listed if entry.model in wanted), None)
        return ModelInfo(f"ollama:{self.model}", digest, shown.details.quantization_level if shown.details else None)

    def _raise_when_busy(self, response: Any) -> None:  # noqa: ANN401
        if response.status_code == 429 or response.status_code >= 500:
            response.read()
            header = response.headers.get("retry-after")
            raise status_error(response.status_code, response.text, server=self._where, retry_after=header)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        import httpx
        import ollama

        try:
            yield
        except ChatError:
            raise
        except (ConnectionError, httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise ServerNotRunning(
                f"{self._where} is not running; start it with `ollama serve` and fetch the model with "
                f"`ollama pull {self.model}`"
            ) from error
        except httpx.TimeoutException as error:
            raise TimedOut(f"{self._where} did not answer within {self._timeout:g} s") from error
        except ollama.ResponseError as error:
            if error.status_code == 404:
                remedy = f"fetch it with `ollama pull {self.model}`"
                raise ModelMissing(f"{self._where} has no model {self.model!r}; {remedy}") from error
            raise status_error(error.status_code, error.error, server=self._where, retry_after=None) from error
        except (httpx.HTTPError, ValueError, TypeError) as error:
            raise BadReply(f"{self._where} sent no valid reply ({type(error).__name__}: {str(error)[:200]})") from error
