"""Ollama's own protocol: `chat` and `ping`."""

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
from ski_lvlm.servers.first_token import first_token
from ski_lvlm.servers.limits import SCHEMA, SYSTEM, ServerLimits, without_system
from ski_lvlm.servers.protocol import (
    TOP_TOKENS,
    BadReply,
    ChatError,
    ChatRequest,
    Message,
    ModelInfo,
    ModelMissing,
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

OLLAMA_CONTEXT = 8192  # tokens; Ollama's own default varies with its version and cuts longer prompts silently
_KEY = "OLLAMA_API_KEY"


class OllamaServer:
    """Ollama's own protocol, through its `ollama` package. The key, if any, comes from OLLAMA_API_KEY."""

    def __init__(self, model: str, *, base_url: str | None, timeout: float) -> None:
        ollama = _package()
        self.model, self._timeout = model, timeout
        source = "--base_url"
        if base_url is None:
            source, base_url = "OLLAMA_HOST", os.environ.get("OLLAMA_HOST", "").strip(" \t\r\n\"'") or "127.0.0.1"
        key = read_key(_KEY)
        if not key and os.environ.get(_KEY):  # the package would send it as it is
            raise Refused(f"{_KEY} holds nothing but white space. Unset it, or set it again.")
        address = read_address(base_url, protocol="ollama", source=source)
        proxy = proxy_for(address)
        self._mask = Mask(key, *address.secrets, *(proxy.secrets if proxy else ()))
        self._mask.cover_logs()
        self._label = f"Ollama at {address.url}"
        if proxy:
            self._label += f" (asked through {proxy.variable}, {proxy.masked_url})"
        self._limits = ServerLimits(self._label)
        self._client = ollama.Client(
            host=address.url,
            timeout=timeout,
            headers={"authorization": f"Bearer {key}"} if key else None,
            # The package drops headers, pages and other servers' errors, so replies are checked before it gets them.
            event_hooks={"response": [self._check_response]},
            trust_env=False,
            proxy=proxy.url if proxy else None,
            verify=certificates(),
            auth=address.user,
            params=dict(address.query),
        )

    def chat(self, request: ChatRequest) -> Reply:
        """Attempt one answer, without a system message or schema once the server has refused one."""
        options = {
            "temperature": request.temperature,
            "seed": request.seed,
            "num_predict": request.max_tokens,
            "num_ctx": OLLAMA_CONTEXT,
        }
        offered = {SCHEMA} if request.schema is not None else set[str]()
        if any(message.role == "system" for message in request.messages):
            offered.add(SYSTEM)

        def send(without: frozenset[str]) -> Reply:
            turns = without_system(request.messages) if SYSTEM in without else request.messages
            schema = None if SCHEMA in without else request.schema
            # Ollama tells probabilities since 0.12.11, and older versions ignore the wish.
            wish = {"logprobs": True, "top_logprobs": TOP_TOKENS} if request.candidates else {}
            return self._ask(turns, format=schema, options=options, **wish)

        return self._limits.ask(send, offered)

    def _ask(self, messages: Sequence[Message], **settings: Any) -> Reply:  # noqa: ANN401
        turns = [{"role": m.role, "content": m.text, "images": list(m.images) or None} for m in messages]
        started = time.monotonic()
        with self._errors():
            answer = self._client.chat(self.model, turns, **settings)
        return Reply(
            text=whole_characters(answer.message.content or ""),
            prompt_tokens=answer.prompt_eval_count or 0,
            completion_tokens=answer.eval_count or 0,
            seconds=time.monotonic() - started,
            cut=answer.done_reason == "length",
            model=text_field(answer, "model"),
            first_token=first_token(answer.model_dump().get("logprobs")),
        )

    def ping(self, probe: ChatRequest) -> ModelInfo:
        """Check that the server runs and has the model, and whether its template has a place for system messages.

        No weights are loaded for it.
        """
        with self._errors():
            info = self._client.show(self.model)
            models = self._client.list().models
        if _drops_system(text_field(info, "template"), text_field(info, "modelfile")):
            self._limits.learn({SYSTEM})
        capabilities = info.capabilities
        if capabilities and "vision" not in capabilities and any(message.images for message in probe.messages):
            raise Refused(f"{self._label}: {self.model} takes no pictures. Take a model that sees, such as llava.")
        digest = next((entry.digest for entry in models if _tag(entry.model or "") == _tag(self.model)), None)
        return ModelInfo(f"ollama:{self.model}", digest, info.details.quantization_level if info.details else None)

    def _check_response(self, response: Any) -> None:  # noqa: ANN401
        """Raise what the package would drop: Retry-After, a web page, an error with status 200."""
        response.read()
        text, status = response.text, response.status_code
        if is_page(text) and (status < 300 or status in (404, 405)):
            raise Refused(
                f"{self._label} answered with {self._mask(page_name(text))}, expected Ollama. Check the address: "
                f"Ollama's port is {OLLAMA_PORT}, its path is empty."
            )
        if status >= 400:
            raise self._status_error(status, self._mask(text), response.headers.get("retry-after"))
        if status == 200 and (error := self._error_in(text)) is not None:
            raise error

    def _error_in(self, text: str) -> ChatError | None:
        """Return the error that a reply with status 200 holds."""
        try:
            body = json.loads(text)
        except (ValueError, RecursionError):
            return None
        return error_of({"error": body.get("error")}, server=self._label, key=_KEY) if isinstance(body, dict) else None

    @contextmanager
    def _errors(self) -> Iterator[None]:
        import httpx

        try:
            yield
        except ChatError as error:
            error.args, error.body = (self._mask(str(error)),), self._mask(error.body)
            raise
        except httpx.LocalProtocolError:
            raise Refused(f"{self._label} was not asked, because the request cannot be sent. Check {_KEY}.") from None
        except (ConnectionError, httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError) as error:
            cause = error.__context__ if isinstance(error, ConnectionError) else error
            raise ServerNotRunning(
                f"{self._label} is not running or cannot be reached ({self._mask(str(cause))[:200]}); start it with "
                f"`ollama serve` and fetch the model with `ollama pull {self.model}`"
            ) from None
        except httpx.TimeoutException:
            raise TimedOut(f"{self._label} did not answer within {self._timeout:g} s") from None
        except (httpx.HTTPError, ValueError, TypeError) as error:
            reason = f"{type(error).__name__}: {self._mask(str(error))[:200]}"
            raise BadReply(f"{self._label} sent no valid reply ({reason})") from None

    def _status_error(self, status: int, text: str, retry_after: str | None) -> ChatError:
        if status != 404:
            return status_error(status, text, server=self._label, retry_after=retry_after, key=_KEY)
        remedy = f"fetch it with `ollama pull {self.model}`"
        return ModelMissing(f"{self._label} has no model {self.model!r}; {remedy}")


def _package() -> ModuleType:
    """Import the `ollama` package without the user's settings."""
    # At its import the package makes a client from the environment, and fails where a variable is malformed.
    if "ollama" not in sys.modules:
        names = (*PROXY_VARIABLES, "OLLAMA_HOST", _KEY)
        settings = {name: os.environ.pop(name) for name in names if name in os.environ}
        try:
            import ollama
        finally:
            os.environ.update(settings)
    import ollama

    return ollama


def _tag(name: str) -> str:
    """Return a model's name as Ollama compares it: in lower case, with the tag `latest` where it has none.

    >>> _tag("Llama3.1"), _tag("registry.ollama.ai/library/llama3.1:8B-Q4_K_M")
    ('llama3.1:latest', 'llama3.1:8b-q4_k_m')
    """
    bare = re.sub(r"^(?:https?://)?(?:registry\.ollama\.ai/)?(?:library/)?", "", name.casefold())
    return bare if ":" in bare.rpartition("/")[2] else f"{bare}:latest"


def _drops_system(template: str | None, modelfile: str | None) -> bool:
    """Return whether a template drops system messages silently, as that of a bare imported GGUF file.

    >>> _drops_system("{{ .Prompt }}", ""), _drops_system("{{ .System }} {{ .Prompt }}", ""), _drops_system(None, None)
    (True, False, False)
    """
    if not template or "RENDERER" in (modelfile or ""):  # newer models are rendered by a program instead
        return False
    return not re.search(r"\.(?:System|Messages)\b", template)
