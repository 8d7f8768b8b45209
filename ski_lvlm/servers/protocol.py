"""What is said to an LLM server and what comes back: messages, replies, and the ways in which it can fail.

Whatever goes wrong with a server becomes one of the `ChatError`s, so that callers know three things: what to tell the
user, whether another attempt makes sense (`passing`), and how long the server asked to wait.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Protocol


@dataclass(frozen=True)
class Message:
    """One turn of a conversation: who speaks, what, and PNG or JPEG images that go with it."""

    text: str
    role: str = "user"
    images: tuple[bytes, ...] = ()


@dataclass(frozen=True)
class Reply:
    """What the server answered; `cut` says that it ran into the token limit. Seconds are those of this one attempt.

    `model` and `fingerprint` are what the reply says of who gave it, None where it does not. `not_told` names what the
    server was not told because it takes no such parameter: without `temperature` its own holds.
    """

    text: str
    prompt_tokens: int
    completion_tokens: int
    seconds: float
    cut: bool = False
    model: str | None = None
    fingerprint: str | None = None
    not_told: tuple[str, ...] = ()


@dataclass(frozen=True)
class ModelInfo:
    """Which weights answer behind a model's name, as far as the server tells (None: it does not)."""

    name: str
    digest: str | None = None
    quantisation: str | None = None


@dataclass(frozen=True)
class Probe:
    """The shape of the questions to come: a `ping` asks in it, so that it fails where they would and only there."""

    messages: tuple[Message, ...] = (Message("Say yes."),)
    schema: dict[str, Any] | None = None
    max_tokens: int = 16
    temperature: float = 0.0


class ChatError(ValueError):
    """A server could not answer. `passing` ones may succeed when asked again.

    `said` is the server's own text and `status` that of its reply, where it replied.
    """

    passing = False
    said = ""
    status: int | None = None


class ServerNotRunning(ChatError):
    """Nobody listens at the address."""

    passing = True


class ModelMissing(ChatError):
    """The server runs, but does not have the model."""


class Refused(ChatError):
    """The server understood and declined: wrong key, no money left, malformed or too long a request."""


class Stopped(ChatError):
    """We were told to begin no further attempt before this one was begun."""


class TimedOut(ChatError):
    """No answer within the time limit."""

    passing = True


class BadReply(ChatError):
    """An answer that does not follow the server's own protocol: half a JSON, missing fields."""

    passing = True


class Busy(ChatError):
    """429 or 5xx: the server asks for patience; `retry_after` is in seconds, None when it does not say."""

    passing = True

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Server(Protocol):
    """What `ChatClient` needs from a protocol."""

    def chat(
        self,
        messages: Sequence[Message],
        *,
        schema: dict[str, Any] | None,
        max_tokens: int,
        temperature: float,
        seed: int,
    ) -> Reply:
        """One attempt at one answer."""

    def ping(self, probe: Probe) -> ModelInfo:
        """Check that the server runs, has the model and, where an answer is needed for that, answers `probe`."""


def whole_characters(text: str) -> str:
    """A text without halves of characters, which a server's JSON can hold and no file can.

    >>> whole_characters("wave \\ud83d!")
    'wave \ufffd!'
    """
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def retry_after_seconds(header: str | None) -> float | None:
    """Read a Retry-After header, in seconds or as an HTTP date; None when absent or nonsense.

    >>> retry_after_seconds("7"), retry_after_seconds("-3"), retry_after_seconds("soon")
    (7.0, 0.0, None)
    """
    if not header:
        return None
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(header) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None


def image_type(image: bytes) -> str:
    """The MIME type of PNG or JPEG bytes.

    Raises:
        ValueError: the bytes are neither.
    """
    if image.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if image.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    raise ValueError(f"an image for a chat message starts with {image[:8]!r}; expected the bytes of a PNG or JPEG file")


def is_page(text: str) -> bool:
    """Whether a text is a web page, which no API answers with.

    >>> is_page(" <!DOCTYPE html><title>Hi</title>"), is_page('{"error": "<html>"}')
    (True, False)
    """
    return re.match(r"\ufeff?\s*<(?:!doctype|html|head|\?xml)\b", text, re.IGNORECASE) is not None


def status_error(
    status: int, text: str, *, server: str, retry_after: str | None, key: str = "OPENAI_API_KEY"
) -> ChatError:
    """The error for an HTTP status and the text that came with it: whose fault it is and whether waiting helps.

    `key` is the variable that holds the key.
    """
    found = f"{server} answered {status}: {_brief(text)}"
    error: ChatError
    if status in (401, 403):  # the text may repeat the key
        error = Refused(f"{server} answered {status}: the key or the permission is wrong; check {key}")
    elif status == 404:
        error = ModelMissing(found)
    elif status == 429 and "insufficient_quota" in text:
        error = Refused(f"{found}; waiting does not help, the account has no quota left")
    elif status in (408, 409, 425, 429) or status >= 500:
        error = Busy(found, retry_after=retry_after_seconds(retry_after))
    else:
        error = Refused(found)
    error.said, error.status = text, status
    return error


def _brief(text: str) -> str:
    return page_name(text) if is_page(text) else " ".join(text.split())[:300]


def page_name(page: str) -> str:
    """What messages call a web page: by its title, if it has one.

    >>> page_name("<html><title>Sign in</title>")
    "the web page 'Sign in'"
    """
    title = re.search(r"<title[^>]*>([^<]{1,1000})", page, re.IGNORECASE)
    return f"the web page {' '.join(title[1].split())[:100]!r}" if title else "a web page"


def text_field(answer: object, name: str) -> str | None:
    """A field of a reply, if it is there and holds text."""
    found = getattr(answer, name, None)  # the packages do not check what servers leave out
    return found if isinstance(found, str) else None
