"""What is said between curation and a process that holds a vision-language model: one JSON object a line.

The process tells once that it is ready, or why it cannot be. Then each request, a prompt about PNG pictures, gets one
reply with the same id: the answer, or why there is none. Two environments import this file: standard library only.
"""

import base64
import json
from typing import Any, NamedTuple


class Request(NamedTuple):
    """A prompt about pictures, each the bytes of a PNG file."""

    id: int
    prompt: str
    pictures: tuple[bytes, ...]
    max_tokens: int


class Said(NamedTuple):
    """A model's answer, and the tokens that went in and came out; `cut` says that it ran into the token limit."""

    text: str
    prompt_tokens: int
    completion_tokens: int
    cut: bool


class Unanswered(ValueError):
    """The process lives, but cannot answer; the message says why."""


def request_line(request: Request) -> str:
    """A request as one line."""
    pictures = [base64.b64encode(picture).decode() for picture in request.pictures]
    return line(**request._asdict() | {"pictures": pictures})


def read_request(text: str) -> Request:
    """The request in a line.

    >>> read_request(request_line(Request(3, "What is seen?", (b"PNG",), 16)))
    Request(id=3, prompt='What is seen?', pictures=(b'PNG',), max_tokens=16)
    """
    fields = json.loads(text)
    return Request(**fields | {"pictures": tuple(map(base64.b64decode, fields["pictures"]))})


def error_line(error: Exception, **about: object) -> str:
    """Why there is no answer; the message's line breaks become spaces."""
    return line(error=" ".join(str(error).split()) or type(error).__name__, **about)


def line(**fields: object) -> str:
    """One line of JSON."""
    return json.dumps(fields) + "\n"


def read_reply(text: str, **expected: object) -> dict[str, Any]:
    """The fields of a reply that must hold those expected, its id for one.

    Raises:
        Unanswered: the reply says why there is no answer.
    """
    fields: dict[str, Any] = json.loads(text)
    if "error" in fields:
        raise Unanswered(fields["error"])
    assert expected.items() <= fields.items(), f"expected {expected}, found {text[:200]!r}"
    return fields
