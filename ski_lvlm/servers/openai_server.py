"""OpenAI's protocol: `chat` and `ping`."""

import base64
import json
import os
import re
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

from ski_lvlm.servers.address import read_address
from ski_lvlm.servers.limits import MAX_TOKENS, SCHEMA, SYSTEM, ServerLimits, without_system
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
    image_type,
    is_page,
    page_name,
    status_error,
)
from ski_lvlm.servers.proxies import certificates, proxy_for
from ski_lvlm.servers.replies import openai_reply
from ski_lvlm.servers.secret_mask import Mask, header_secrets, read_key

OPENAI = "https://api.openai.com/v1"
_NEVER_SENT = ("LocalProtocolError", "UnsupportedProtocol", "InvalidURL", "TooManyRedirects")  # as httpx calls them


class OpenAiServer:
    """OpenAI's protocol, which vLLM, llama.cpp, Ollama (`/v1`) and many others speak, through the `openai` package.

    The key comes from OPENAI_API_KEY alone. OpenAI's own service needs it, other servers often need none.
    """

    def __init__(self, model: str, *, base_url: str | None, timeout: float) -> None:
        import openai

        self.model, self._timeout = model, timeout
        source = "--base_url"
        if base_url is None and (base_url := os.environ.get("OPENAI_BASE_URL", "").strip() or None):
            source = "OPENAI_BASE_URL"
        key = read_key("OPENAI_API_KEY")
        if not key and base_url is None:
            raise Refused(
                f"openai:{model} needs a key and OPENAI_API_KEY is not set; set it, or name your own server with "
                "--base_url http://HOST:PORT/v1"
            )
        address = read_address(OPENAI if base_url is None else base_url, protocol="openai", source=source)
        self.address, self.is_openai = address.url, address.host == "api.openai.com"
        proxy = proxy_for(address)
        self._mask = Mask(key, *address.secrets, *header_secrets(), *(proxy.secrets if proxy else ()))
        self._mask.cover_logs()
        http = openai.DefaultHttpxClient(
            trust_env=False, proxy=proxy.url if proxy else None, verify=certificates(), auth=address.user
        )
        self.client = openai.OpenAI(
            api_key=key or "none",
            organization=read_key("OPENAI_ORG_ID") or None,
            project=read_key("OPENAI_PROJECT_ID") or None,
            base_url=address.url,
            default_query=dict(address.query),
            default_headers={"api-key": key} if key and address.host.endswith(".azure.com") else None,
            timeout=timeout,
            max_retries=0,
            http_client=http,
        )
        self.label = f"the server at {self.address}"
        self._limits = ServerLimits(self.label)
        if proxy:
            self.label += f" (asked through {proxy.variable}, {proxy.masked_url})"

    def chat(self, request: ChatRequest) -> Reply:
        """Attempt one answer, without the parameters that the server has refused."""
        return self._limits.ask(self._sender(request), _parameters(request))

    def ping(self, probe: ChatRequest) -> ModelInfo:
        """Check server, key and model by one answer to `probe`, because lists of models tell too little.

        An empty answer is a sign of life as well.
        """
        self._limits.probe(self._sender(probe), _parameters(probe))
        return ModelInfo(f"openai:{self.model}")

    def body(self, request: ChatRequest) -> dict[str, Any]:
        """Return a request as the protocol spells it, without the parameters that the server has refused."""
        return self._body(request, self._limits.unsupported)

    def _sender(self, request: ChatRequest) -> Callable[[frozenset[str]], Reply]:
        return lambda without: self._ask(self._body(request, without))

    def _body(self, request: ChatRequest, without: Collection[str]) -> dict[str, Any]:
        turns = without_system(request.messages) if SYSTEM in without else request.messages
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [{"role": m.role, "content": _openai_content(m)} for m in turns],
            "max_completion_tokens" if MAX_TOKENS in without else MAX_TOKENS: request.max_tokens,
            "temperature": request.temperature,
            "seed": request.seed,
        }
        if request.schema is not None:
            constraint = {"name": "reply", "schema": request.schema, "strict": True}
            body[SCHEMA] = {"type": "json_schema", "json_schema": constraint}
        if request.candidates:
            body |= {"logprobs": True, "top_logprobs": TOP_TOKENS}
        return {name: value for name, value in body.items() if name not in without}

    def _ask(self, body: dict[str, Any]) -> Reply:
        started = time.monotonic()
        with self.errors():
            raw = self.client.chat.completions.with_raw_response.create(**body)
            text = raw.http_response.text
            if is_page(text):
                raise Refused(self._not_the_api(text))
            return openai_reply(json.loads(text, strict=False), server=self.label, seconds=time.monotonic() - started)

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turn every error inside into a `ChatError` without secrets."""
        import openai

        try:
            yield
        except ChatError as error:
            error.args, error.body = (self._mask(str(error)),), self._mask(error.body)
            raise
        except openai.APITimeoutError:
            raise TimedOut(f"{self.label} did not answer within {self._timeout:g} s") from None
        except openai.APIConnectionError as error:
            raise self._connection_error(error.__cause__) from None
        except openai.APIStatusError as error:
            raise self._status_error(error.response) from None
        except (openai.OpenAIError, ValueError, TypeError, AttributeError, IndexError, KeyError) as error:
            cause = f"{type(error).__name__}: {self._mask(str(error))[:200]}"
            raise BadReply(f"{self.label} sent no valid reply ({cause})") from None

    def _connection_error(self, cause: BaseException | None) -> ChatError:
        """Return the error for a connection that was not made or broke off."""
        kind = type(cause).__name__  # by name: the package changes the library below it
        if kind in _NEVER_SENT:  # without the cause's own words: h11's quote the header, which may be secret
            return Refused(
                f"{self.label} was not asked, because the request cannot be sent ({kind}). Look for line breaks in "
                "OPENAI_CUSTOM_HEADERS and for a wrong --base_url."
            )
        reason = f"{kind}: {self._mask(str(cause))[:200]}"
        if kind in ("ConnectError", "ProxyError"):
            return ServerNotRunning(
                f"{self.label} cannot be reached ({reason}); start it, or correct --base_url (it usually ends in /v1)"
            )
        return BadReply(f"{self.label} broke off before it had answered ({reason})")

    def _status_error(self, response: Any) -> ChatError:  # noqa: ANN401
        """Return the error for a reply with an HTTP status of failure."""
        text, header = self._mask(response.text), response.headers.get("retry-after")
        error = status_error(response.status_code, text, server=self.label, retry_after=header)
        if is_page(text) and response.status_code in (404, 405):
            error = ModelMissing(self._not_the_api(text))
        elif isinstance(error, ModelMissing):
            reason = " ".join(text.split())[:200]
            error = ModelMissing(
                f"{self.label} has no model {self.model!r}, or --base_url is wrong (it usually ends in /v1): {reason}"
            )
        error.body, error.status = text, response.status_code
        return error

    def _not_the_api(self, page: str) -> str:
        remedy = (
            "This is a login, a proxy or another program: check --base_url."
            if re.search(r"/v\d\w*$", self.address)
            else f"The API is usually below /v1: try --base_url {self.address}/v1."
        )
        return f"{self.label} answered with {self._mask(page_name(page))}, expected JSON. {remedy}"


def _parameters(request: ChatRequest) -> set[str]:
    """Return the parameters of a request that a server may refuse."""
    parameters = {MAX_TOKENS, "temperature", "seed"} | ({SCHEMA} if request.schema is not None else set())
    if any(message.role == "system" for message in request.messages):
        parameters.add(SYSTEM)
    return parameters


def _openai_content(message: Message) -> str | list[dict[str, Any]]:
    if not message.images:
        return message.text
    urls = [f"data:{image_type(i)};base64,{base64.b64encode(i).decode()}" for i in message.images]
    return [{"type": "text", "text": message.text}, *({"type": "image_url", "image_url": {"url": u}} for u in urls)]
