"""Parsing of replies and errors, in the many forms in which servers of one protocol send them."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ski_lvlm.servers.first_token import first_token
from ski_lvlm.servers.protocol import BadReply, ChatError, Refused, Reply, status_error, whole_characters

_MONEY = re.compile("insufficient|quota|credit|billing|balance|payment", re.IGNORECASE)
_KEY = re.compile("api.?key|unauthori[sz]ed|authenticat|permission|forbidden", re.IGNORECASE)
_PASSING = re.compile(
    "rate.?limit|overload|too.?many|time.?d?.?out|temporar|unavailable|busy|capacity|server.?error|internal|upstream"
    "|loading",
    re.IGNORECASE,
)
_THOUGHTS = ("thinking", "reasoning", "reasoning_content")  # types of parts that are no answer


def openai_reply(body: Any, *, server: str, seconds: float) -> Reply:  # noqa: ANN401
    """Return the reply that a JSON body holds. `server` is the server's name in messages.

    Content that is null or a list of parts is read as text. Separate thoughts are dropped.

    Raises:
        ChatError: the body holds an error, whatever its status was (`Refused` or `Busy` by its code), the model
            declined to answer, or there is no answer in it (`BadReply`).
    """
    choice = _first_choice(body)
    if (error := error_of(body, server=server)) is not None:
        raise error
    message = choice.get("message")
    if not isinstance(message, Mapping) or choice.get("finish_reason") == "error":
        raise BadReply(f"{server} sent no valid reply: found {str(body)[:200]!r}, expected choices with a message")
    text, usage = _text(message.get("content")), body.get("usage")
    declined = message.get("refusal") or (choice.get("finish_reason") == "content_filter" and "its content filter")
    if declined and not text:
        raise Refused(f"{server} declined to answer: {str(declined)[:300]}")
    return Reply(
        text=whole_characters(text),
        prompt_tokens=_count(usage, "prompt_tokens"),
        completion_tokens=_count(usage, "completion_tokens"),
        seconds=seconds,
        cut=choice.get("finish_reason") in ("length", "max_tokens"),
        model=_text_or_none(body.get("model")),
        fingerprint=_text_or_none(body.get("system_fingerprint")),
        first_token=first_token(_tokens(choice)),
    )


def _tokens(choice: Mapping[str, Any]) -> object:
    """Return what a choice tells of its tokens, one by one."""
    logprobs = choice.get("logprobs")
    return logprobs.get("content") if isinstance(logprobs, Mapping) else None


def error_of(body: object, *, server: str, key: str = "OPENAI_API_KEY") -> ChatError | None:
    """Return the error that a JSON body holds, whatever its status was, None where it holds none.

    >>> print(error_of({"error": {"message": "No credits", "code": 402}}, server="it"))
    it answered 402: No credits
    """
    error = _error(body, _first_choice(body))
    if error is None:
        return None
    words = " ".join(_words(error))
    return status_error(_status(error, body, words), words, server=server, retry_after=None, key=key)


def _first_choice(body: object) -> Mapping[str, Any]:
    choices = body.get("choices") if isinstance(body, Mapping) else None
    first = choices[0] if isinstance(choices, list) and choices else None
    return first if isinstance(first, Mapping) else {}


def _error(body: object, choice: Mapping[str, Any]) -> object | None:
    """Return the part of a body that describes an error, None where there is none."""
    if isinstance(body, list):  # Google's service
        body = body[0] if body else None
    if not isinstance(body, Mapping):
        return None
    for holder in (body, choice):
        if holder.get("error"):
            return holder["error"]
    if choice:
        return None
    texts = [body[name] for name in ("errors", "detail", "message", "msg") if body.get(name)]
    return {**body, "message": texts[0]} if texts else None


def _words(error: object) -> Iterator[str]:
    """Yield the texts of an error, the message first."""
    if not isinstance(error, Mapping):
        yield str(error)
        return
    yield str(error.get("message") or error.get("msg") or dict(error))
    yield from (str(error[name]) for name in ("type", "code", "status") if isinstance(error.get(name), str))


def _status(error: object, body: object, words: str) -> int:
    """Return the HTTP status of an error: its own code where it is one, else one by its words."""
    for holder in (error, body):
        for name in ("code", "status", "status_code", "http_status"):
            value = holder.get(name) if isinstance(holder, Mapping) else None
            if re.fullmatch(r"[45]\d\d", str(value)):
                return int(str(value))
    if _MONEY.search(words):
        return 402
    if _PASSING.search(words):
        return 503
    return 401 if _KEY.search(words) else 400


def _text(content: object) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "".join(part if isinstance(part, str) else _part(part) for part in parts)


def _part(part: object) -> str:
    text = part.get("text") if isinstance(part, Mapping) and part.get("type") not in _THOUGHTS else None
    return text if isinstance(text, str) else ""


def _count(usage: object, name: str) -> int:
    value = usage.get(name) if isinstance(usage, Mapping) else None
    return value if isinstance(value, int) else 0


def _text_or_none(value: object) -> str | None:
    return value if isinstance(value, str) else None
