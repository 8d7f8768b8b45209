"""Requests to a language model about many clips, with a log of replies, rate limits and a budget."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from data_curation.asking.budget import Budget
from data_curation.asking.prices import Price, image_tokens, text_tokens
from data_curation.asking.reply_log import ClipRequest, ReplyLog
from data_curation.ledger import Failed, Rejected, now
from ski_lvlm.servers.client import (
    Busy,
    ChatClient,
    ChatError,
    ChatRequest,
    ModelInfo,
    ModelMissing,
    Refused,
    Reply,
    ServerNotRunning,
)
from ski_lvlm.servers.pace import Pace

Send = Callable[[ClipRequest], Reply]


class Pingable(Protocol):
    """A client that can check its server."""

    def ping(self) -> ModelInfo:
        """Check server, key and model."""


def prompt_tokens(request: ChatRequest, model: str) -> int:
    """Estimate the tokens of a request to a model, rather too high than too low."""
    images = sum(len(message.images) for message in request.messages)
    return sum(text_tokens(message.text) for message in request.messages) + image_tokens(model) * images


@dataclass(frozen=True)
class Asker:
    """One model in one step of a run.

    `send` comes from `sender`, or defers the request to a batch (`batches.py`). `price` is None where it is unknown, as
    on one's own server.
    """

    model: str
    step: str
    log: ReplyLog
    budget: Budget
    price: Price | None
    send: Send
    ping: Callable[[], ModelInfo]

    def ask(self, clip: str, chat: ChatRequest) -> Reply:
        """Return the model's reply, from the log or from the server. It is saved first.

        Raises:
            Rejected: the server refuses this clip.
            Failed: it could not answer now.
            BudgetSpent: the budget does not cover the request.
            ChatError: the run must stop: no server, no such model, or it refuses everything.
        """
        request = ClipRequest(clip, chat)
        key = request.digest(self.model)
        logged = self.log.find(key)
        if logged is not None:
            return logged
        with self.budget.reserve(self.maximum_cost(chat)), one_clip(self):
            reply = self.send(request)
            self.keep(clip, key, reply, max_tokens=chat.max_tokens)
        return reply

    def maximum_cost(self, request: ChatRequest) -> float:
        """Return the maximum cost of a request in dollars."""
        return self.price.dollars(prompt_tokens(request, self.model), request.max_tokens) if self.price else 0.0

    def keep(self, clip: str, request: str, reply: Reply, *, max_tokens: int) -> None:
        """Log a reply and book its price."""
        dollars = self.price and self.price.dollars(reply.prompt_tokens, reply.completion_tokens)
        self.budget.pay(dollars or 0.0)
        self.log.append(
            {
                "name": clip,
                "step": self.step,
                "model": self.model,
                "request": request,
                "text": reply.text,
                "cut": reply.cut,
                "max_tokens": max_tokens,
                "prompt_tokens": reply.prompt_tokens,
                "completion_tokens": reply.completion_tokens,
                "dollars": None if dollars is None else round(dollars, 8),
                "seconds": round(reply.seconds, 3),
                "at": now(),
            }
        )


def sender(client: ChatClient, pace: Pace) -> Send:
    """Return a function that sends requests to a server, with every attempt within the rate limits.

    If the server asks one request to wait longer than the client does, all wait.
    """

    def send(request: ClipRequest) -> Reply:
        tokens = prompt_tokens(request.chat, client.name) + request.chat.max_tokens
        try:
            return client.chat(request.chat, before=lambda: pace.wait(tokens))
        except Busy as error:
            pace.hold(error.retry_after or 0.0)
            raise

    return send


@contextmanager
def one_clip(server: Pingable) -> Iterator[None]:
    """Classify the errors of a request: stop the run, reject the clip, or try it again in the next run.

    No server or no model stops the run, as other clips would fail too. A refusal rejects the clip, unless the server
    refuses everything (a wrong key, no quota), which stops the run. Temporary errors are left to the next run.

    Raises:
        ChatError: the run must stop.
        Rejected: the server refuses this clip.
        Failed: all attempts failed (busy, slow, half a reply).
    """
    try:
        yield
    except (ServerNotRunning, ModelMissing):
        raise
    except Refused as error:
        server.ping()
        raise Rejected(f"the server refused: {error}") from error
    except ChatError as error:
        raise Failed(f"{type(error).__name__}: {error}") from error
