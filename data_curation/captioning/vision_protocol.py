"""Requests to a process with a vision-language model, a prompt about PNG pictures, and its answers.

Two environments import this file, so it uses only the standard library.
"""

import base64
import json
from typing import NamedTuple

from ski_lvlm.parallel.line_protocol import line


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
