"""Requests to an LLM server, its replies and its errors.

Whatever goes wrong with a server becomes one of the `ChatError`s. Callers then know what to tell the user, whether
another attempt makes sense (`is_transient`), and how long the server asks to wait.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Protocol


@dataclass(frozen=True)
class Message:
    """One turn of a conversation: the role, its text, and PNG or JPEG images."""

    text: str
    role: str = "user"
    images: tuple[bytes, ...] = ()


@dataclass(frozen=True)
class ChatRequest:
    """One request for an answer: the conversation up to it, and the settings of the answer.

    Attributes:
        messages: the conversation, which ends with a question.
        schema: JSON schema of the answer. Not every server can enforce it, so parse the answer with care.
        max_tokens: the longest answer. `Reply.cut` says that it was reached.
        temperature: 0 takes the likeliest token each time.
        seed: of the server's random numbers.
        candidates: texts whose probabilities as the first token are wanted (`Reply.first_token`). None by default.
    """

    messages: Sequence[Message]
    schema: dict[str, Any] | None = None
    max_tokens: int = 512
    temperature: float = 0.0
    seed: int = 0
    candidates: tuple[str, ...] = ()


TOP_TOKENS = 20  # the most that OpenAI and Ollama tell of each token
PROBE = ChatRequest((Message("Say yes."),), max_tokens=16)


@dataclass(frozen=True)
class Reply:
    """Answer of a server. `cut` says that it ran into the token limit. `seconds` are those of the last attempt.

    `model` and `fingerprint` are the server's own words for what answered, None where it gives none. `omitted` names
    parameters that were not sent because the server does not take them. Without `temperature` the server's own holds.
    `first_token` holds texts of possible first tokens with their probabilities, None where none were wanted or told.
    A server tells the likeliest `TOP_TOKENS`, whatever the candidates.
    """

    text: str
    prompt_tokens: int
    completion_tokens: int
    seconds: float
    cut: bool = False
    model: str | None = None
    fingerprint: str | None = None
    omitted: tuple[str, ...] = ()
    first_token: tuple[tuple[str, float], ...] | None = None

    def probability(self, text: str) -> float:
        """Return the probability that the first token is this text, with or without white space around it.

        >>> Reply("4", 0, 0, 0.0, first_token=(("4", 0.5), (" 4", 0.25), ("5", 0.125))).probability("4")
        0.75
        """
        return sum((value for token, value in self.first_token or () if token.strip() == text), 0.0)


@dataclass(frozen=True)
class ModelInfo:
    """Weights behind a model's name, as far as the server tells (None: it does not)."""

    name: str
    digest: str | None = None
    quantisation: str | None = None


class ChatError(ValueError):
    """Failure of a server to answer. A transient one may succeed at the next attempt.

    `body` is the text of the server's reply and `status` its HTTP status, where it replied.
    """

    is_transient = False
    body = ""
    status: int | None = None


class ServerNotRunning(ChatError):
    """No server listens at the address."""

    is_transient = True


class ModelMissing(ChatError):
    """The server runs, but does not have the model."""


class Refused(ChatError):
    """The server understood and declined: wrong key, no money left, malformed or too long a request."""


class Stopped(ChatError):
    """The client was stopped before this attempt began."""


class TimedOut(ChatError):
    """No answer within the time limit."""

    is_transient = True


class BadReply(ChatError):
    """An answer that does not follow the server's own protocol: half a JSON, missing fields."""

    is_transient = True


class Busy(ChatError):
    """The server is overloaded: 429 or 5xx. `retry_after` is in seconds, None when it does not say."""

    is_transient = True

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Server(Protocol):
    """A server's protocol, as `ChatClient` needs it."""

    def chat(self, request: ChatRequest) -> Reply:
        """Attempt one answer once."""

    def ping(self, probe: ChatRequest) -> ModelInfo:
        """Check that the server runs, has the model and, where only an answer can show it, answers `probe`."""


def whole_characters(text: str) -> str:
    """Replace halves of characters in a text, which a server's JSON can hold and no file can.

    >>> whole_characters("wave \\ud83d!")
    'wave \ufffd!'
    """
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def retry_after_seconds(header: str | None) -> float | None:
    """Read a Retry-After header, in seconds or as an HTTP date. Return None when absent or nonsense.

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
    """Return the MIME type of PNG or JPEG bytes."""
    if image.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if image.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    raise ValueError(f"an image for a chat message starts with {image[:8]!r}; expected the bytes of a PNG or JPEG file")


def is_page(text: str) -> bool:
    """Return whether a text is a web page, which no API answers with.

    >>> is_page(" <!DOCTYPE html><title>Hi</title>"), is_page('{"error": "<html>"}')
    (True, False)
    """
    return re.match(r"\ufeff?\s*<(?:!doctype|html|head|\?xml)\b", text, re.IGNORECASE) is not None


def status_error(
    status: int, text: str, *, server: str, retry_after: str | None, key: str = "OPENAI_API_KEY"
) -> ChatError:
    """Return the error for an HTTP status and the text that came with it.

    `key` is the variable that holds the key.
    """
    message = f"{server} answered {status}: {page_name(text) if is_page(text) else ' '.join(text.split())[:300]}"
    error: ChatError
    if status in (401, 403):  # the text may repeat the key
        error = Refused(f"{server} answered {status}: the key or the permission is wrong; check {key}")
    elif status == 404:
        error = ModelMissing(message)
    elif status == 429 and "insufficient_quota" in text:
        error = Refused(f"{message}; waiting does not help, the account has no quota left")
    elif status in (408, 409, 425, 429) or status >= 500:
        error = Busy(message, retry_after=retry_after_seconds(retry_after))
    else:
        error = Refused(message)
    error.body, error.status = text, status
    return error


def page_name(page: str) -> str:
    """Return the name of a web page for messages: its title, if it has one.

    >>> page_name("<html><title>Sign in</title>")
    "the web page 'Sign in'"
    """
    title = re.search(r"<title[^>]*>([^<]{1,1000})", page, re.IGNORECASE)
    return f"the web page {' '.join(title[1].split())[:100]!r}" if title else "a web page"


def text_field(answer: object, name: str) -> str | None:
    """Return a field of a reply, None where it is missing or holds no text."""
    value = getattr(answer, name, None)  # the packages do not check what servers leave out
    return value if isinstance(value, str) else None
