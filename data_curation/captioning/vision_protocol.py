"""The protocol between curation and a process with a vision-language model: one JSON object a line.

The process first reports that it is ready, or why not. Then each request, a prompt about PNG pictures, gets one reply
with the same id: the answer, or a reason. Two environments import this file, so it uses only the standard library.
"""

import base64
import json
from typing import Any, NamedTuple


class VlmRequest(NamedTuple):
    """A prompt about pictures in PNG format."""

    id: int
    prompt: str
    pictures: tuple[bytes, ...]
    max_tokens: int


class VlmAnswer(NamedTuple):
    """A model's answer with its tokens. `cut` means that it reached the maximum length."""

    text: str
    prompt_tokens: int
    completion_tokens: int
    cut: bool


class NoAnswer(ValueError):
    """A process that runs but cannot answer. The message says why."""


def request_line(request: VlmRequest) -> str:
    """Return a request as one line."""
    pictures = [base64.b64encode(picture).decode() for picture in request.pictures]
    return line(**request._asdict() | {"pictures": pictures})


def read_request(text: str) -> VlmRequest:
    """Read the request in a line.

    >>> read_request(request_line(VlmRequest(3, "What is seen?", (b"PNG",), 16)))
    VlmRequest(id=3, prompt='What is seen?', pictures=(b'PNG',), max_tokens=16)
    """
    fields = json.loads(text)
    return VlmRequest(**fields | {"pictures": tuple(map(base64.b64decode, fields["pictures"]))})


def error_line(error: Exception, **fields: object) -> str:
    """Return a line with the reason for no answer, without the message's line breaks."""
    return line(error=" ".join(str(error).split()) or type(error).__name__, **fields)


def line(**fields: object) -> str:
    """Return one line of JSON."""
    return json.dumps(fields) + "\n"


def read_reply(text: str, **expected: object) -> dict[str, Any]:
    """Read the fields of a reply, and check those expected, such as its id.

    Raises:
        NoAnswer: the reply holds a reason instead.
    """
    fields: dict[str, Any] = json.loads(text)
    if "error" in fields:
        raise NoAnswer(fields["error"])
    assert expected.items() <= fields.items(), f"expected {expected}, found {text[:200]!r}"
    return fields
