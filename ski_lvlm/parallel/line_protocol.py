"""The protocol between a command and a process with a model: one JSON object a line, and bytes behind some lines.

The process first reports that it is ready, or why not. Then each request gets one reply with the same id: the answer,
or a reason. Two environments import this file, so it uses only the standard library.
"""

import json
import os
import queue
import threading
from collections.abc import Callable
from typing import Any, BinaryIO, TextIO, TypeVar

Request = TypeVar("Request")


class NoAnswer(ValueError):
    """A process that runs but cannot answer. The message says why, and `request` is the id of the request."""

    def __init__(self, reason: str, *, request: object = None) -> None:
        super().__init__(reason)
        self.request = request


def line(**fields: object) -> str:
    """Return one line of JSON."""
    return json.dumps(fields) + "\n"


def error_line(error: Exception, **fields: object) -> str:
    """Return a line with the reason for no answer, without the message's line breaks."""
    return line(error=" ".join(str(error).split()) or type(error).__name__, **fields)


def read_reply(text: str, **expected: object) -> dict[str, Any]:
    """Read the fields of a reply, and check those expected, such as its id.

    Raises:
        NoAnswer: the reply holds a reason instead.
    """
    fields: dict[str, Any] = json.loads(text)
    if "error" in fields:
        raise NoAnswer(fields["error"], request=fields.get("id"))
    assert expected.items() <= fields.items(), f"expected {expected}, found {text[:200]!r}"
    return fields


def message(payload: bytes, **fields: object) -> bytes:
    """Return a line that states the number of bytes behind it, and these bytes."""
    return line(**fields, bytes=len(payload)).encode() + payload


def read_message(stream: BinaryIO) -> tuple[dict[str, Any], bytes] | None:
    """Read a `message`, or None at the end of the stream, also amid a message.

    >>> from io import BytesIO
    >>> read_message(BytesIO(message(b"abc", id=1)))
    ({'id': 1, 'bytes': 3}, b'abc')
    """
    text = stream.readline()
    if not text.endswith(b"\n"):
        return None
    fields: dict[str, Any] = json.loads(text)
    payload = stream.read(fields["bytes"])
    return (fields, payload) if len(payload) == fields["bytes"] else None


def private_pipes() -> tuple[BinaryIO, TextIO]:
    """Move requests and replies to descriptors that no library uses, and make 0 and 1 harmless."""
    requests = os.fdopen(os.dup(0), "rb")
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)  # a library that asks the user reads nothing
    os.dup2(2, 1)
    return requests, replies


def request_queue(read: Callable[[], Request | None]) -> "queue.SimpleQueue[Request]":
    """Read requests in a thread, which ends the process at the end of the input, where `read` returns None."""
    requests: queue.SimpleQueue[Request] = queue.SimpleQueue()

    def read_all() -> None:
        while (request := read()) is not None:
            requests.put(request)
        os._exit(0)

    threading.Thread(target=read_all, daemon=True).start()
    return requests
