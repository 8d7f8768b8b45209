"""Prices of language models, for estimates, budgets and accounts."""

from typing import NamedTuple

TOKENS_PER_CHARACTER = 0.3  # English text has about 4 characters a token. A little more, to be on the safe side
TOKENS_PER_IMAGE = 255  # OpenAI's count for one tile of 512x512. A crop is smaller
_TOKENS_PER_IMAGE_OF = {"gpt-4o-mini": 8500}  # which counts a picture's tokens many times over
BATCH_DISCOUNT = 0.5  # of OpenAI's Batch API


class Price(NamedTuple):
    """Dollars for a million tokens in and out."""

    prompt: float
    completion: float

    def dollars(self, prompt_tokens: float, completion_tokens: float) -> float:
        """Return the price of so many tokens.

        >>> Price(0.5, 1.5).dollars(2_000_000, 1_000_000)
        2.5
        """
        return (prompt_tokens * self.prompt + completion_tokens * self.completion) / 1e6


# OpenAI's list prices as of 2024 and 2025. --price overrides them.
_LISTED = {
    "gpt-3.5-turbo": Price(0.5, 1.5),
    "gpt-4o-mini": Price(0.15, 0.6),
    "gpt-4o": Price(2.5, 10.0),
    "gpt-4.1-nano": Price(0.1, 0.4),
    "gpt-4.1-mini": Price(0.4, 1.6),
    "gpt-4.1": Price(2.0, 8.0),
}


def listed_price(model: str, *, own_server: bool) -> Price | None:
    """Return the price of `openai:MODEL` at OpenAI, or None where it is unknown, as on one's own server.

    >>> listed_price("openai:gpt-3.5-turbo", own_server=False)
    Price(prompt=0.5, completion=1.5)
    """
    return None if own_server else _LISTED.get(model.removeprefix("openai:"))


def parse_price(text: str) -> Price:
    """Read `IN,OUT`, dollars for a million tokens.

    >>> parse_price("0.5,1.5")
    Price(prompt=0.5, completion=1.5)

    Raises:
        ValueError: not two numbers of at least 0.
    """
    try:
        prompt, completion = (float(part) for part in text.split(","))
    except ValueError:
        prompt = completion = -1.0
    if not (0 <= prompt < float("inf") and 0 <= completion < float("inf")):
        raise ValueError(f"--price is {text!r}; expected IN,OUT in dollars for a million tokens, such as 0.5,1.5")
    return Price(prompt, completion)


def image_tokens(model: str) -> int:
    """Estimate the tokens of one crop.

    >>> image_tokens("openai:gpt-4o")
    255
    """
    return _TOKENS_PER_IMAGE_OF.get(model.removeprefix("openai:"), TOKENS_PER_IMAGE)


def text_tokens(text: str) -> int:
    """Estimate the tokens of a text, rather too high than too low.

    >>> text_tokens("A person is drinking water.")
    9
    """
    return round(len(text) * TOKENS_PER_CHARACTER + 1)
