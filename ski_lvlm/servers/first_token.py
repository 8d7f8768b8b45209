"""Probabilities of the first token of an answer, as servers tell them."""

import math
from collections.abc import Mapping
from typing import Any


def first_token(tokens: object) -> tuple[tuple[str, float], ...] | None:
    """Return texts of possible first tokens with their probabilities, None where the server told none.

    `tokens` are those of the answer, each {token, logprob, top_logprobs}. The token that was written counts once, also
    where it is not among the likeliest. What is no text or no log-probability is left out.

    >>> first_token([{"token": "4", "logprob": 0.0, "top_logprobs": [{"token": "4", "logprob": 0.0}]}])
    (('4', 1.0),)
    >>> first_token(None)
    """
    first = tokens[0] if isinstance(tokens, list | tuple) and tokens else None
    if not isinstance(first, Mapping):
        return None
    top = first.get("top_logprobs")
    entries = [entry for entry in map(_entry, top if isinstance(top, list | tuple) else ()) if entry]
    answer = _entry(first)
    if answer and answer[0] not in [text for text, _ in entries]:
        entries.append(answer)
    return tuple(entries) or None


def _entry(entry: Any) -> tuple[str, float] | None:  # noqa: ANN401
    if not isinstance(entry, Mapping):
        return None
    text, logprob = entry.get("token"), entry.get("logprob")
    if not isinstance(text, str) or not isinstance(logprob, int | float) or math.isnan(logprob):
        return None
    return text, math.exp(min(0.0, logprob))
