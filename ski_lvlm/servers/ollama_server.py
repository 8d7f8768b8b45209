"""Ollama's own protocol behind two calls, `chat` and `ping`."""

import json
import os
import re
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from ski_lvlm.servers.address import OLLAMA_PORT, read_address
from ski_lvlm.servers.limits import SCHEMA, SYSTEM, ServerLimits, without_system
from ski_lvlm.servers.protocol import (
    BadReply,
    ChatError,
    Message,
    ModelInfo,
    ModelMissing,
    Probe,
    Refused,
    Reply,
    ServerNotRunning,
    TimedOut,
    is_page,
    page_name,
    status_error,
    text_field,
    whole_characters,
)
from ski_lvlm.servers.proxies import PROXY_VARIABLES, certificates, proxy_for
from ski_lvlm.servers.replies import error_of
from ski_lvlm.servers.secret_mask import Mask, read_key

OLLAMA_CONTEXT = 8192  # tokens; Ollama's own default varies with its version and cuts longer prompts without a word
_KEY = "OLLAMA_API_KEY"


class OllamaServer:
    """Ollama's own protocol, through its `ollama` package. A key comes from OLLAMA_API_KEY, most servers need none."""

    def __init__(self, model: str, *, base_url: str | None, timeout: float) -> None:
        ollama = _package()
        self.model, self._timeout = model, timeout
        source = "--base_url"
        if base_url is None:
            source, base_url = "OLLAMA_HOST", os.environ.get("OLLAMA_HOST", "").strip(" \t\r\n\"'") or "127.0.0.1"
        key = read_key(_KEY)
        if not key and os.environ.get(_KEY):  # the package would send it as it is
            raise Refused(f"{_KEY} holds nothing but white space. Unset it, or set it again.")
        at = read_address(base_url, protocol="ollama", source=source)
        proxy = proxy_for(at)
        self._mask = Mask(key, *at.secrets, *(proxy.secrets if proxy else ()))
        self._mask.cover_logs()
        self._where = f"Ollama at {at.url}" + (f" (asked through {proxy.variable}, {proxy.shown})" if proxy else "")
        self._limits = ServerLimits(self._where)
        self._client = ollama.Client(
            host=at.url,
            timeout=timeout,
            headers={"authorization": f"Bearer {key}"} if key else None,
            # The package drops headers, pages and other servers' errors, so replies are looked at before it sees them.
            event_hooks={"response": [self._look]},
            trust_env=False,
            proxy=proxy.url if proxy else None,
            verify=certificates(),
            auth=at.user,
            params=dict(at.query),
        )

    def chat(
        self,
        messages: Sequence[Message],
        *,
        schema: dict[str, Any] | None,
        max_tokens: int,
        temperature: float,
        seed: int,
    ) -> Reply:
        """One attempt at one answer; a server that takes no system message or schema is asked without, from then on."""
        options = {"temperature": temperature, "seed": seed, "num_predict": max_tokens, "num_ctx": OLLAMA_CONTEXT}
        offered = {SCHEMA} if schema is not None else set[str]()
        if any(message.role == "system" for message in messages):
            offered.add(SYSTEM)

        def send(without: frozenset[str]) -> Reply:
            turns = without_system(messages) if SYSTEM in without else messages
            return self._ask(turns, None if SCHEMA in without else schema, options)

        return self._limits.ask(send, offered)

    def _ask(self, messages: Sequence[Message], schema: dict[str, Any] | None, options: dict[str, Any]) -> Reply:
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

    def ping(self, probe: Probe) -> ModelInfo:
        """Check that the server runs and has the model, and whether its template has a place for system messages.

        No weights are loaded for it.
        """
        with self._errors():
            shown = self._client.show(self.model)
            listed = self._client.list().models
        if _drops_system(text_field(shown, "template"), text_field(shown, "modelfile")):
            self._limits.learn({SYSTEM})
        capabilities = shown.capabilities
        if capabilities and "vision" not in capabilities and any(message.images for message in probe.messages):
            raise Refused(f"{self._where}: {self.model} takes no pictures. Take a model that sees, such as llava.")
        digest = next((entry.digest for entry in listed if _tag(entry.model or "") == _tag(self.model)), None)
        return ModelInfo(f"ollama:{self.model}", digest, shown.details.quantization_level if shown.details else None)

    def _look(self, response: Any) -> None:  # noqa: ANN401
        """Raise what the package would not tell: when to come back, a page, an error with status 200."""
        response.read()
        text, status = response.text, response.status_code
        if is_page(text) and (status < 300 or status in (404, 405)):
            raise Refused(
                f"{self._where} answered with {self._mask(page_name(text))}, expected Ollama. Check the address: "
                f"Ollama's port is {OLLAMA_PORT}, its path is empty."
            )
        if status >= 400:
            raise self._status(status, self._mask(text), response.headers.get("retry-after"))
        if status == 200 and (error := self._told(text)) is not None:
            raise error

    def _told(self, text: str) -> ChatError | None:
        """The error that a reply with status 200 tells of."""
        try:
            body = json.loads(text)
        except (ValueError, RecursionError):
            return None
        return error_of({"error": body.get("error")}, server=self._where, key=_KEY) if isinstance(body, dict) else None

    @contextmanager
    def _errors(self) -> Iterator[None]:
        import httpx

        try:
            yield
        except ChatError as error:
            error.args, error.said = (self._mask(str(error)),), self._mask(error.said)
            raise
        except httpx.LocalProtocolError:
            raise Refused(f"{self._where} was not asked, because the request cannot be sent. Check {_KEY}.") from None
        except (ConnectionError, httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError) as error:
            cause = error.__context__ if isinstance(error, ConnectionError) else error
            raise ServerNotRunning(
                f"{self._where} is not running or cannot be reached ({self._mask(str(cause))[:200]}); start it with "
                f"`ollama serve` and fetch the model with `ollama pull {self.model}`"
            ) from None
        except httpx.TimeoutException:
            raise TimedOut(f"{self._where} did not answer within {self._timeout:g} s") from None
        except (httpx.HTTPError, ValueError, TypeError) as error:
            found = f"{type(error).__name__}: {self._mask(str(error))[:200]}"
            raise BadReply(f"{self._where} sent no valid reply ({found})") from None

    def _status(self, status: int, text: str, retry_after: str | None) -> ChatError:
        if status != 404:
            return status_error(status, text, server=self._where, retry_after=retry_after, key=_KEY)
        remedy = f"fetch it with `ollama pull {self.model}`"
        return ModelMissing(f"{self._where} has no model {self.model!r}; {remedy}")


def _package() -> ModuleType:
    """The `ollama` package. At its import it makes a client of the environment, whatever stands there."""
    if "ollama" not in sys.modules:
        names = (*PROXY_VARIABLES, "OLLAMA_HOST", _KEY)
        aside = {name: os.environ.pop(name) for name in names if name in os.environ}
        try:
            import ollama
        finally:
            os.environ.update(aside)
    import ollama

    return ollama


def _tag(name: str) -> str:
    """A model's name as Ollama understands it: letters of either size, `latest` where no tag is named.

    >>> _tag("Llama3.1"), _tag("registry.ollama.ai/library/llama3.1:8B-Q4_K_M")
    ('llama3.1:latest', 'llama3.1:8b-q4_k_m')
    """
    bare = re.sub(r"^(?:https?://)?(?:registry\.ollama\.ai/)?(?:library/)?", "", name.casefold())
    return bare if ":" in bare.rpartition("/")[2] else f"{bare}:latest"


def _drops_system(template: str | None, modelfile: str | None) -> bool:
    """Whether a template leaves system messages out without a word, as that of a bare imported GGUF file.

    >>> _drops_system("{{ .Prompt }}", ""), _drops_system("{{ .System }} {{ .Prompt }}", ""), _drops_system(None, None)
    (True, False, False)
    """
    if not template or "RENDERER" in (modelfile or ""):  # newer models are rendered by a program instead
        return False
    return not re.search(r"\.(?:System|Messages)\b", template)
