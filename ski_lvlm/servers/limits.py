"""Parameters that a server does not take, learnt from its refusals: system messages, schemas, limits and others.

A refused request is sent again without the parameter that the refusal names. Once the server has answered, the
parameter is omitted from then on. A refusal about something else omits nothing.
"""

import json
import logging
import re
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from ski_lvlm.servers.protocol import Busy, Message, Refused, Reply

SYSTEM, SCHEMA, MAX_TOKENS = "system", "response_format", "max_tokens"
_NOT_TAKEN = r"(?i:support|unrecogni[sz]ed|unknown|unexpected|permitted|allowed|forbidden|enabled)"
# The model broke the schema this once, so the server does take schemas.
_UNKEPT = (
    r"failed_generation|json_validate_failed|failed to (?:generate|validate) json"
    r"|(?:output|generat\w+|response|completion) (?:does|did|could|is|was) ?n[o']t (?:match|conform|valid|satisf)"
)
# Templates of Gemma 2 and Mistral, o1, Google's and Anthropic's services, and servers that check roles themselves.
_SYSTEM = re.compile(
    rf"system (?:role|message|prompt|instruction)s?.{{0,80}}{_NOT_TAKEN}|developer instructions? .{{0,40}}{_NOT_TAKEN}"
    r"|\broles?\b.{0,120}\bsystem\b|\bsystem\b.{0,120}\broles?\b|\broles? must alternate|\bonly user\b.{0,30}assistant"
    r"|messages?[\[.]+\d+\]?\.role|jinja|chat.?template|template.?error",
    re.IGNORECASE | re.DOTALL,
)
# In the order in which they are tried: a refusal may repeat the whole request, so the vaguest words come last.
_REFUSALS = {
    SYSTEM: _SYSTEM,
    MAX_TOKENS: re.compile(rf"(?s){_NOT_TAKEN}.*max_completion_tokens"),
    **{
        name: re.compile(rf"""(?s)['"`]{name}['"`].*{_NOT_TAKEN}|{_NOT_TAKEN}.*(?:['"`]{name}['"`]|: {name}\b)""")
        for name in ("temperature", "seed")
    },
    SCHEMA: re.compile(
        rf"response_format|schema|grammar|ChatRequest\.format|invalid format|{_UNKEPT}", re.IGNORECASE | re.DOTALL
    ),
}
_REMARKS = {
    SYSTEM: "takes no system message and is asked with the rules before the question",
    SCHEMA: "takes no response_format and is asked without",
    MAX_TOKENS: "takes no max_tokens and is asked with max_completion_tokens",
    "temperature": "takes no temperature and is asked without, so that replies may differ from one time to the next",
    "seed": "takes no seed and is asked without",
}
# The limit left no room for an answer.
_NO_ROOM = re.compile(r"max_tokens or model output limit was reached|max\w* completion tokens reached", re.IGNORECASE)
_ABOUT_THE_QUESTION = (400, 422, 500, 501)  # statuses of servers that cannot read a question
logger = logging.getLogger(__name__)


class ServerLimits:
    """Parameters that one server does not take. Safe to share between threads."""

    def __init__(self, server: str) -> None:
        self._server, self._lock = server, threading.Lock()
        self._unsupported: set[str] = set()

    @property
    def unsupported(self) -> frozenset[str]:
        """Return the parameters that the server is asked without."""
        return frozenset(self._unsupported)

    def learn(self, names: Collection[str]) -> None:
        """Note parameters that the server does not take, and log each once."""
        with self._lock:
            fresh = sorted(set(names) - self._unsupported)
            self._unsupported.update(fresh)
        for name in fresh:
            logger.warning("%s %s from now on", self._server, _REMARKS[name])

    def ask(self, send: Callable[[frozenset[str]], Reply], offered: Collection[str]) -> Reply:
        """Ask until the server takes the request.

        Args:
            send: asks once, without the parameters that it gets.
            offered: the parameters of the request.

        Raises:
            ChatError: the request failed for another reason.
        """
        without, learning = set(self._unsupported & set(offered)), set[str]()
        while True:
            try:
                reply = send(frozenset(without))
            except (Refused, Busy) as error:
                if (partial := reply_in_refusal(error.body)) is not None:
                    reply = partial
                else:
                    name = refused_parameter(set(offered) - without, error.body)
                    if name is None:
                        raise
                    without.add(name)
                    if not (name == SCHEMA and re.search(_UNKEPT, error.body, re.IGNORECASE)):
                        learning.add(name)
                    continue
            self.learn(learning)
            return replace(reply, omitted=tuple(sorted(without - {MAX_TOKENS})))

    def probe(self, send: Callable[[frozenset[str]], Reply], offered: Collection[str]) -> Reply:
        """Ask a harmless question as `ask` does, and find by trial the parameter behind a refusal that names none.

        Raises:
            ChatError: the first refusal, or that the server cannot be asked at all.
        """
        try:
            return self.ask(send, offered)
        except (Refused, Busy) as error:
            if error.status not in _ABOUT_THE_QUESTION:
                raise
            first = error
        for trial in ({SCHEMA}, {SYSTEM}, {SCHEMA, SYSTEM}):
            if trial <= set(offered) - self._unsupported and (reply := self._try(send, offered, trial)) is not None:
                self.learn(trial)
                return reply
        raise first

    def _try(
        self, send: Callable[[frozenset[str]], Reply], offered: Collection[str], trial: Collection[str]
    ) -> Reply | None:
        """Return the reply to a request without the parameters of a trial, None where that is refused as well."""
        try:
            return self.ask(lambda without: send(without.union(trial)), set(offered).difference(trial))
        except (Refused, Busy):
            return None


def refused_parameter(offered: Collection[str], refusal: str) -> str | None:
    """Return the parameter that a refusal is about, None if it is about something else.

    >>> refused_parameter({"seed"}, "Unrecognized request argument supplied: seed")
    'seed'
    >>> refused_parameter({"max_tokens"}, "max_tokens is too large") is None
    True
    """
    return next((name for name, pattern in _REFUSALS.items() if name in offered and pattern.search(refusal)), None)


def reply_in_refusal(refusal: str) -> Reply | None:
    """Return the reply that a refusal holds: a text against the schema, or an empty one at the limit.

    >>> reply_in_refusal('{"error": {"code": "json_validate_failed", "failed_generation": "Score: 4"}}').text
    'Score: 4'
    """
    has_no_room = _NO_ROOM.search(refusal) is not None
    if text := _failed_generation(refusal):
        return Reply(text, 0, 0, 0.0, cut=has_no_room)
    return Reply("", 0, 0, 0.0, cut=True) if has_no_room else None


def _failed_generation(refusal: str) -> str:
    try:
        body = json.loads(refusal)
    except (ValueError, RecursionError):
        return ""
    error = body.get("error") if isinstance(body, dict) else None
    text = error.get("failed_generation") if isinstance(error, Mapping) else None
    return text if isinstance(text, str) else ""


def without_system(messages: Sequence[Message]) -> list[Message]:
    """Move system messages in front of the first question, for templates that know no such role.

    >>> [(m.role, m.text) for m in without_system([Message("Be brief.", role="system"), Message("What is this?")])]
    [('user', 'Be brief.\\n\\nWhat is this?')]
    """
    rules = "\n\n".join(message.text for message in messages if message.role == "system")
    turns = [message for message in messages if message.role != "system"]
    if not rules:
        return turns
    if not turns or turns[0].role != "user":
        return [Message(rules), *turns]
    return [replace(turns[0], text=f"{rules}\n\n{turns[0].text}"), *turns[1:]]
