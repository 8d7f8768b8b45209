"""Asking a language model about many clips: from the log where it has answered, within limits and budget where not."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from data_curation.asking.prices import Price, image_tokens, text_tokens
from data_curation.asking.purse import Purse
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
    """A client that can tell whether its server works at all."""

    def ping(self) -> ModelInfo:
        """Check server, key and model."""


def prompt_tokens(request: ChatRequest, model: str) -> int:
    """About how many tokens a request to a model has, rather too many than too few."""
    images = sum(len(message.images) for message in request.messages)
    return sum(text_tokens(message.text) for message in request.messages) + image_tokens(model) * images


@dataclass(frozen=True)
class Asker:
    """One model in one step of a run. `send` is a `sender`'s, or puts the request off (`batches.py`).

    `price` is None where it is not known, as on a server of one's own.
    """

    model: str
    step: str
    log: ReplyLog
    purse: Purse
    price: Price | None
    send: Send
    ping: Callable[[], ModelInfo]

    def ask(self, clip: str, chat: ChatRequest) -> Reply:
        """The model's reply, which is on the disk before it is given out.

        Raises:
            Rejected: the server refuses this clip.
            Failed: it could not answer now.
            BudgetSpent: there is no money left for the request.
            ChatError: the run must stop: no server, no such model, or it refuses everything.
        """
        request = ClipRequest(clip, chat)
        key = request.digest(self.model)
        found = self.log.find(key)
        if found is not None:
            return found
        with self.purse.reserve(self.most(chat)), one_clip(self):
            reply = self.send(request)
            self.keep(clip, key, reply, max_tokens=chat.max_tokens)
        return reply

    def most(self, request: ChatRequest) -> float:
        """What a request may cost, in dollars."""
        return self.price.dollars(prompt_tokens(request, self.model), request.max_tokens) if self.price else 0.0

    def keep(self, clip: str, request: str, reply: Reply, *, max_tokens: int) -> None:
        """Log a reply and book its price."""
        dollars = self.price and self.price.dollars(reply.prompt_tokens, reply.completion_tokens)
        self.purse.pay(dollars or 0.0)
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
    """Send requests to a server as they come, no attempt faster than the pace allows.

    Where the server asks one request to wait longer than the client does, all wait.
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
    """Sort the errors of a request made inside: stop the run, leave this clip out, or try it again next time.

    No server or no model stops the run: no other clip would fare better. A refusal rejects the clip, unless the server
    refuses everything (a wrong key, no quota), which stops the run as well. What may pass is left to the next run.

    Raises:
        ChatError: the run must stop.
        Rejected: the server refuses this clip.
        Failed: the client's patience ran out (busy, slow, half a reply).
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
