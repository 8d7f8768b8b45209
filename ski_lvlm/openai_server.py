"""OpenAI's protocol behind two calls, `chat` and `ping`."""

import base64
import logging
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from ski_lvlm.chat_protocol import (
    BadReply,
    Message,
    ModelInfo,
    ModelMissing,
    Refused,
    Reply,
    ServerNotRunning,
    TimedOut,
    image_type,
    status_error,
    text_field,
    whole_characters,
)

_log = logging.getLogger(__name__)
_NOT_TAKEN = r"(?i:support|unrecogni[sz]ed|unknown|unexpected|permitted|allowed|forbidden)"
# Some models take `max_completion_tokens` alone, no temperature but their own, or no seed; some servers no JSON schema.
_REFUSALS = {
    "response_format": re.compile("response_format|schema|grammar"),
    "max_tokens": re.compile(rf"(?s){_NOT_TAKEN}.*max_completion_tokens"),
    **{
        name: re.compile(rf"""(?s)['"`]{name}['"`].*{_NOT_TAKEN}|{_NOT_TAKEN}.*(?:['"`]{name}['"`]|: {name}\b)""")
        for name in ("temperature", "seed")
    },
}


class OpenAiServer:
    """OpenAI's protocol, which vLLM, llama.cpp, Ollama (`/v1`) and many others speak, through the `openai` package.

    The key comes from OPENAI_API_KEY alone; without `base_url` it must be set, servers of one's own often need none.
    """

    def __init__(self, model: str, *, base_url: str | None, timeout: float) -> None:
        import openai

        self.model, self._timeout = model, timeout
        self._key = os.environ.get("OPENAI_API_KEY", "")
        if not self._key and base_url is None:
            raise Refused(
                f"openai:{model} needs a key and OPENAI_API_KEY is not set; set it, or name your own server with "
                "--base_url http://HOST:PORT/v1"
            )
        self.client = openai.OpenAI(api_key=self._key or "none", base_url=base_url, timeout=timeout, max_retries=0)
        self.where = f"the server at {self.address}"
        self._not_told: set[str] = set()  # parameters that it has refused

    @property
    def address(self) -> str:
        """Where the server is, always spelled the same way, and without a password that somebody put into it."""
        bare = self.client.base_url.copy_with(userinfo=b"", query=None, fragment=None)
        return str(bare).rstrip("/")

    @property
    def at_openai(self) -> bool:
        """Whether this is OpenAI's own service, whose prices are known."""
        return str(self.client.base_url.host) == "api.openai.com"

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
        told: dict[str, Any] = {"schema": schema, "max_tokens": max_tokens, "temperature": temperature, "seed": seed}
        while True:
            request = self.body(messages, **told)
            try:
                reply = self._ask(request)
            except Refused as error:
                name = refused_parameter(request, str(error))
                if name is None:
                    raise
                self._give_up_on(name)
            else:
                asked = {"response_format"} if schema is not None else set[str]()
                return replace(reply, not_told=tuple(sorted((asked | {"temperature", "seed"}) - set(request))))

    def body(
        self,
        messages: Sequence[Message],
        *,
        schema: dict[str, Any] | None,
        max_tokens: int,
        temperature: float,
        seed: int,
    ) -> dict[str, Any]:
        """A request as the protocol spells it, without what the server has refused."""
        request: dict[str, Any] = {
            "model": self.model,
            "messages": [{"role": m.role, "content": _openai_content(m)} for m in messages],
            "max_completion_tokens" if "max_tokens" in self._not_told else "max_tokens": max_tokens,
            "temperature": temperature,
            "seed": seed,
        }
        if schema is not None:
            constraint = {"name": "reply", "schema": schema, "strict": True}
            request["response_format"] = {"type": "json_schema", "json_schema": constraint}
        return {name: value for name, value in request.items() if name not in self._not_told}

    def ping(self) -> ModelInfo:
        """Check server, key and model by one very short answer (lists of models are not to be relied on)."""
        self.chat([Message("Say yes.")], schema=None, max_tokens=16, temperature=0.0, seed=0)
        return ModelInfo(f"openai:{self.model}")

    def _give_up_on(self, name: str) -> None:
        if name not in self._not_told:
            told = "; its own holds, so that replies may differ from one time to the next" * (name == "temperature")
            _log.warning("%s takes no %s and is asked without from now on%s", self.where, name, told)
        self._not_told.add(name)

    def _ask(self, request: dict[str, Any]) -> Reply:
        started = time.monotonic()
        with self.errors():
            answer = self.client.chat.completions.create(**request)
            return openai_reply(answer, seconds=time.monotonic() - started)

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turn whatever goes wrong inside into a `ChatError`."""
        import openai

        try:
            yield
        except openai.APITimeoutError as error:
            raise TimedOut(f"{self.where} did not answer within {self._timeout:g} s") from error
        except openai.APIConnectionError as error:
            kind = type(error.__cause__).__name__  # by name: the package changes the library below it
            if kind != "ConnectError":  # somebody is there
                found = f"{kind}: {self._without_key(str(error.__cause__))[:200]}"
                raise BadReply(f"{self.where} broke off before it had answered ({found})") from error
            raise ServerNotRunning(
                f"{self.where} cannot be reached; start it, or correct --base_url (it usually ends in /v1)"
            ) from error
        except openai.NotFoundError as error:
            raise ModelMissing(
                f"{self.where} has no model {self.model!r}, or --base_url is wrong (it usually ends in /v1)"
            ) from error
        except openai.APIStatusError as error:
            text, header = self._without_key(error.response.text), error.response.headers.get("retry-after")
            raise status_error(error.status_code, text, server=self.where, retry_after=header) from None
        except (openai.OpenAIError, ValueError, TypeError, AttributeError, IndexError) as error:
            found = f"{type(error).__name__}: {self._without_key(str(error))[:200]}"
            raise BadReply(f"{self.where} sent no valid reply ({found})") from None

    def _without_key(self, text: str) -> str:
        return text.replace(self._key, "***") if self._key else text


def refused_parameter(request: Mapping[str, object], said: str) -> str | None:
    """Which parameter of a request the server's refusal says that it does not take; None if it is about something else.

    >>> refused_parameter({"seed": 0}, "answered 400: Unrecognized request argument supplied: seed")
    'seed'
    >>> refused_parameter({"max_tokens": 9000}, "answered 400: max_tokens is too large") is None
    True
    """
    for name, pattern in _REFUSALS.items():
        if name in request and pattern.search(said):
            return name
    return None


def openai_reply(answer: Any, *, seconds: float) -> Reply:  # noqa: ANN401
    """A reply from the package's `ChatCompletion`."""
    choice, usage = answer.choices[0], answer.usage
    return Reply(
        text=whole_characters(choice.message.content or ""),
        prompt_tokens=usage.prompt_tokens if usage else 0,
        completion_tokens=usage.completion_tokens if usage else 0,
        seconds=seconds,
        cut=choice.finish_reason == "length",
        model=text_field(answer, "model"),
        fingerprint=text_field(answer, "system_fingerprint"),
    )


def _openai_content(message: Message) -> str | list[dict[str, Any]]:
    if not message.images:
        return message.text
    urls = [f"data:{image_type(i)};base64,{base64.b64encode(i).decode()}" for i in message.images]
    return [{"type": "text", "text": message.text}, *({"type": "image_url", "image_url": {"url": u}} for u in urls)]
