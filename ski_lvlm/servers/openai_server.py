"""OpenAI's protocol behind two calls, `chat` and `ping`."""

import base64
import json
import os
import re
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ski_lvlm.servers.address import read_address
from ski_lvlm.servers.limits import MAX_TOKENS, SCHEMA, SYSTEM, ServerLimits, without_system
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

    The key comes from OPENAI_API_KEY alone. OpenAI's own service needs it, servers of one's own often need none.
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
        self._at = read_address(OPENAI if base_url is None else base_url, protocol="openai", source=source)
        proxy = proxy_for(self._at)
        self._mask = Mask(key, *self._at.secrets, *header_secrets(), *(proxy.secrets if proxy else ()))
        self._mask.cover_logs()
        http = openai.DefaultHttpxClient(
            trust_env=False, proxy=proxy.url if proxy else None, verify=certificates(), auth=self._at.user
        )
        self.client = openai.OpenAI(
            api_key=key or "none",
            organization=read_key("OPENAI_ORG_ID") or None,
            project=read_key("OPENAI_PROJECT_ID") or None,
            base_url=self._at.url,
            default_query=dict(self._at.query),
            default_headers={"api-key": key} if key and self._at.host.endswith(".azure.com") else None,
            timeout=timeout,
            max_retries=0,
            http_client=http,
        )
        self.where = f"the server at {self.address}"
        self._limits = ServerLimits(self.where)
        if proxy:
            self.where += f" (asked through {proxy.variable}, {proxy.shown})"

    @property
    def address(self) -> str:
        """Where the server is, always spelled the same way, and without a password that somebody put into it."""
        return self._at.url

    @property
    def at_openai(self) -> bool:
        """Whether this is OpenAI's own service, whose prices are known."""
        return self._at.host == "api.openai.com"

    def chat(
        self,
        messages: Sequence[Message],
        *,
        schema: dict[str, Any] | None,
        max_tokens: int,
        temperature: float,
        seed: int,
    ) -> Reply:
        """One attempt at one answer; a server that refuses a parameter is asked without it, from then on."""
        told: dict[str, Any] = {"max_tokens": max_tokens, "temperature": temperature, "seed": seed}
        send, offered = self._question(messages, schema=schema, **told)
        return self._limits.ask(send, offered)

    def _question(
        self,
        messages: Sequence[Message],
        *,
        schema: dict[str, Any] | None,
        **told: Any,  # noqa: ANN401
    ) -> tuple[Callable[[frozenset[str]], Reply], set[str]]:
        """How a question is asked once without some parameters, and which of them it has."""
        offered = {MAX_TOKENS, "temperature", "seed"} | ({SCHEMA} if schema is not None else set())
        if any(message.role == "system" for message in messages):
            offered.add(SYSTEM)
        return lambda without: self._ask(self._body(messages, without, schema=schema, **told)), offered

    def body(self, messages: Sequence[Message], **told: Any) -> dict[str, Any]:  # noqa: ANN401
        """A request as the protocol spells it, from what `chat` takes, without what the server has refused."""
        return self._body(messages, self._limits.learnt, **told)

    def _body(
        self,
        messages: Sequence[Message],
        without: Collection[str],
        *,
        schema: dict[str, Any] | None,
        max_tokens: int,
        temperature: float,
        seed: int,
    ) -> dict[str, Any]:
        turns = without_system(messages) if SYSTEM in without else messages
        request: dict[str, Any] = {
            "model": self.model,
            "messages": [{"role": m.role, "content": _openai_content(m)} for m in turns],
            "max_completion_tokens" if MAX_TOKENS in without else MAX_TOKENS: max_tokens,
            "temperature": temperature,
            "seed": seed,
        }
        if schema is not None:
            constraint = {"name": "reply", "schema": schema, "strict": True}
            request[SCHEMA] = {"type": "json_schema", "json_schema": constraint}
        return {name: value for name, value in request.items() if name not in without}

    def ping(self, probe: Probe) -> ModelInfo:
        """Check server, key and model by one answer to a question of that shape: lists of models tell too little.

        An answer without a word is a sign of life as well.
        """
        told: dict[str, Any] = {"max_tokens": probe.max_tokens, "temperature": probe.temperature, "seed": 0}
        send, offered = self._question(probe.messages, schema=probe.schema, **told)
        self._limits.probe(send, offered)
        return ModelInfo(f"openai:{self.model}")

    def _ask(self, request: dict[str, Any]) -> Reply:
        started = time.monotonic()
        with self.errors():
            raw = self.client.chat.completions.with_raw_response.create(**request)
            text = raw.http_response.text
            if is_page(text):
                raise Refused(self._not_the_api(text))
            return openai_reply(json.loads(text, strict=False), server=self.where, seconds=time.monotonic() - started)

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turn whatever goes wrong inside into a `ChatError`, with no secret in it."""
        import openai

        try:
            yield
        except ChatError as error:
            error.args, error.said = (self._mask(str(error)),), self._mask(error.said)
            raise
        except openai.APITimeoutError:
            raise TimedOut(f"{self.where} did not answer within {self._timeout:g} s") from None
        except openai.APIConnectionError as error:
            raise self._unconnected(error.__cause__) from None
        except openai.APIStatusError as error:
            raise self._status(error.response) from None
        except (openai.OpenAIError, ValueError, TypeError, AttributeError, IndexError, KeyError) as error:
            found = f"{type(error).__name__}: {self._mask(str(error))[:200]}"
            raise BadReply(f"{self.where} sent no valid reply ({found})") from None

    def _unconnected(self, cause: BaseException | None) -> ChatError:
        """The error for a connection that was not made or broke off."""
        kind = type(cause).__name__  # by name: the package changes the library below it
        found = f"{kind}: {self._mask(str(cause))[:200]}"
        if kind in _NEVER_SENT:  # what h11 says of a header quotes it
            return Refused(
                f"{self.where} was not asked, because the request cannot be sent ({kind}). Look for line breaks in "
                "OPENAI_CUSTOM_HEADERS and for a wrong --base_url."
            )
        if kind in ("ConnectError", "ProxyError"):
            return ServerNotRunning(
                f"{self.where} cannot be reached ({found}); start it, or correct --base_url (it usually ends in /v1)"
            )
        return BadReply(f"{self.where} broke off before it had answered ({found})")  # somebody is there

    def _status(self, response: Any) -> ChatError:  # noqa: ANN401
        """The error for a reply with a status that is none of success."""
        text, header = self._mask(response.text), response.headers.get("retry-after")
        error = status_error(response.status_code, text, server=self.where, retry_after=header)
        if is_page(text) and response.status_code in (404, 405):
            error = ModelMissing(self._not_the_api(text))
        elif isinstance(error, ModelMissing):
            said = " ".join(text.split())[:200]
            error = ModelMissing(
                f"{self.where} has no model {self.model!r}, or --base_url is wrong (it usually ends in /v1): {said}"
            )
        error.said, error.status = text, response.status_code
        return error

    def _not_the_api(self, page: str) -> str:
        remedy = (
            "This is a login, a proxy or another program: check --base_url."
            if re.search(r"/v\d\w*$", self.address)
            else f"The API is usually below /v1: try --base_url {self.address}/v1."
        )
        return f"{self.where} answered with {self._mask(page_name(page))}, expected JSON. {remedy}"


def _openai_content(message: Message) -> str | list[dict[str, Any]]:
    if not message.images:
        return message.text
    urls = [f"data:{image_type(i)};base64,{base64.b64encode(i).decode()}" for i in message.images]
    return [{"type": "text", "text": message.text}, *({"type": "image_url", "image_url": {"url": u}} for u in urls)]
