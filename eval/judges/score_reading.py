"""Two ways to read a grade from a language model: the digit that it writes, or the mean of all that it might write."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, Protocol

from eval.judges.parse_score import parse_score
from ski_lvlm.servers.protocol import ChatError, ChatRequest, Message, Refused, Reply

ScoreKind = Literal["sampled", "expected"]
SAMPLED: Final = "sampled"
EXPECTED: Final = "expected"
DIGITS: Final = ("0", "1", "2", "3", "4", "5")
LEAST_MASS = 0.5  # of the digits' probability, below which the model is not about to write a grade
FEWEST_TOKENS = 6  # a server that tells fewer cannot tell all digits
_MOST_MASS = 1.01  # more is no probability


class ScoreReading(Protocol):
    """A way to ask for a grade, and to read it from the reply.

    Attributes:
        asks: the number of requests for one grade, of which later ones follow unreadable replies.
        settings: what of it may move the grades.
    """

    asks: int
    settings: dict[str, Any]

    def request(self, turns: Sequence[Message], schema: dict[str, Any] | None, *, seed: int = 0) -> ChatRequest:
        """Return the request for a grade."""

    def check(self, ask: Callable[[ChatRequest], Reply], probe: ChatRequest) -> None:
        """Refuse a model that cannot be read so. A ValueError says what to do."""

    def score(self, reply: Reply) -> float | None:
        """Return the score from 0 to 5 in a reply, None if it cannot be read."""

    def unparsed(self, replies: Sequence[Reply]) -> str:
        """Return the reason why none of the replies has a score."""

    def facts(self, reply: Reply) -> Mapping[str, Any]:
        """Return what is saved beside the score."""


class SampledScore:
    """The grade that the model writes, in whatever words.

    A reply without a readable score is followed by up to two more requests in the same conversation.
    """

    asks = 3

    def __init__(self, temperature: float = 0.0, max_tokens: int = 200) -> None:
        self.settings: dict[str, Any] = {"temperature": temperature, "max_tokens": max_tokens}

    def request(self, turns: Sequence[Message], schema: dict[str, Any] | None, *, seed: int = 0) -> ChatRequest:
        """Return the request for a reply bound to the schema, where the server can."""
        return ChatRequest(turns, schema, self.settings["max_tokens"], self.settings["temperature"], seed)

    def check(self, ask: Callable[[ChatRequest], Reply], probe: ChatRequest) -> None:
        """Do nothing, since every model writes."""

    def score(self, reply: Reply) -> float | None:
        """Return the one score that the reply asserts."""
        return parse_score(reply.text, cut=reply.cut)

    def unparsed(self, replies: Sequence[Reply]) -> str:
        """Return whether the replies were cut, empty or without a score."""
        if any(reply.cut for reply in replies):
            limit = self.settings["max_tokens"]
            return f"unparsed: cut at --max_tokens {limit} before a score; raise it, most of all for a thinking model"
        if not any(reply.text.strip() for reply in replies):
            return (
                f"unparsed: {self.asks} replies without a word, as of a model whose thoughts are no part of its reply"
            )
        return f"unparsed: no score from 0 to 5 in {self.asks} replies"

    def facts(self, reply: Reply) -> Mapping[str, Any]:
        """Return nothing, since the replies are saved."""
        return {}


class ExpectedScore:
    """The mean of the digits 0 to 5, weighted by their probabilities as the first token of the reply.

    The probabilities are those of each digit with and without white space, divided by their sum, the mass. A mass below
    `LEAST_MASS` gives no score: the model was about to write something else. The same question has one expectation, so
    it is asked once, and no seed moves it.
    Deviation: the paper takes the score that the judge writes.
    """

    asks = 1

    def __init__(self) -> None:
        self.settings: dict[str, Any] = {"score_kind": EXPECTED, "temperature": 0.0, "max_tokens": 1}

    def request(self, turns: Sequence[Message], schema: dict[str, Any] | None, *, seed: int = 0) -> ChatRequest:
        """Return the request for one token and the probabilities of the digits. No schema may bend these."""
        return ChatRequest(turns, None, max_tokens=1, temperature=0.0, seed=seed, candidates=DIGITS)

    def check(self, ask: Callable[[ChatRequest], Reply], probe: ChatRequest) -> None:
        """Ask once, and refuse a server that tells no probabilities, or too few.

        Raises:
            ChatError: the message names another judge that tells them.
        """
        remedy = "take llama.cpp's server, vLLM, Ollama from 0.12.11 on or hf:MODEL, or grade with --score sampled"
        expected = f"--score expected needs the {FEWEST_TOKENS} or more likeliest first tokens with their probabilities"
        try:
            reply = ask(probe)
        except Refused as error:
            raise ChatError(f"{expected}; found a refusal: {error}; {remedy}") from error
        if not reply.first_token:
            raise ChatError(f"{expected}; the judge tells none; {remedy}")
        if len(reply.first_token) < FEWEST_TOKENS:
            raise ChatError(f"{expected}; the judge tells {len(reply.first_token)}; {remedy}")

    def score(self, reply: Reply) -> float | None:
        """Return the expectation, None where the digits have too small a mass."""
        probabilities = _probabilities(reply)
        mass = sum(probabilities)
        if not LEAST_MASS <= mass <= _MOST_MASS:
            return None
        return sum(digit * probability for digit, probability in enumerate(probabilities)) / mass

    def unparsed(self, replies: Sequence[Reply]) -> str:
        """Return the mass that was found."""
        if not replies[-1].first_token:
            return "unparsed: no probabilities in the reply"
        mass = sum(_probabilities(replies[-1]))
        return f"unparsed: the digits 0 to 5 have a mass of {mass:.2g} as first token, expected {LEAST_MASS:g} or more"

    def facts(self, reply: Reply) -> Mapping[str, Any]:
        """Return the digits' probabilities and their mass."""
        probabilities = _probabilities(reply)
        return {"digits": [round(value, 6) for value in probabilities], "mass": round(sum(probabilities), 6)}


def _probabilities(reply: Reply) -> list[float]:
    return [reply.probability(digit) for digit in DIGITS]
