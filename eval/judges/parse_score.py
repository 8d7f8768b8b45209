"""Reading the score out of whatever a judge wrote, or nothing at all.

A score that is not beyond doubt is None, never 0: an unread reply says nothing about the caption, and the judge is
asked again. Decimals are kept as they are (4.8 stays 4.8), also where whole numbers were asked for.
Deviation: the published evaluation cuts decimals to whole numbers.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from eval.judges.prose_score import FIVE, NUMBER, OF, SCALE, prose_scores

# Some templates open the thought themselves, so that a reply may hold the closing tag alone.
_TAG = "(?:think|thinking|reasoning)"
_THOUGHT = re.compile(rf"<({_TAG})>.*?(?:</\1>|\Z)|\A(?:(?!<{_TAG}>).)*</{_TAG}>", re.DOTALL)
_FENCE = re.compile(r"```(?:json)?")
_UNFINISHED = re.compile(r"[0-9][.,]?\s*\Z")
_LONGEST = 20_000  # characters; beyond that it is no grade
_VALUE = re.compile(rf"\s*+{NUMBER}{OF}\s*+")
_SCALE_KEY = re.compile("max|scale|out_?of|total")


def parse_score(reply: str, *, cut: bool = False) -> float | None:
    """The one score from 0 to 5 that a reply gives; None when there is none, two different ones, or one out of range.

    Of a JSON object only `score` (or `rating`) counts, whatever its other texts say; a scale that is not 0 to 5 makes
    it None. How prose is read says `eval.judges.prose_score`. `cut` says that the reply ran into its limit: a number at
    its very end may not be whole.

    >>> parse_score('{"score": 4}'), parse_score("Score: 4.5/5"), parse_score("```json\\n3\\n```")
    (4.0, 4.5, 3.0)
    >>> parse_score('{"score": 4, "explanation": "a score of 5 would need the sofa"}')
    4.0
    >>> parse_score("I cannot say."), parse_score("score: 45"), parse_score("score: 8/10"), parse_score("4? or 2?")
    (None, None, None, None)
    """
    if len(reply) > _LONGEST or (cut and _UNFINISHED.search(reply)):
        return None
    text = _FENCE.sub(" ", _THOUGHT.sub(" ", reply)).strip().removeprefix("\ufeff")
    entries = list(_entries(_json(text)))
    named = [value for key, value in entries if key in ("score", "rating")]
    if named:
        scales = [value for key, value in entries if _SCALE_KEY.search(key)]
        scores = {None} if any(not _is_five(scale) for scale in scales) else set(map(_number, named))
    else:
        scores = prose_scores(text)
    score = scores.pop() if len(scores) == 1 else None
    return score if score is not None and 0 <= score <= 5 else None


def _json(text: str) -> Any:  # noqa: ANN401
    """What a JSON text holds, objects as lists of (key, value), so that a key standing twice is seen; None if none."""
    try:
        return json.loads(text, object_pairs_hook=list, parse_int=float, parse_constant=str)
    except (ValueError, RecursionError):
        return None


def _entries(found: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401
    """Every key with its value, however deep; some judges put the JSON into a text of another."""
    stack = [found]
    while stack:
        value = stack.pop()
        if isinstance(value, tuple):
            yield value[0].strip().lower(), value[1]
            stack.append(value[1])
        elif isinstance(value, list):
            stack += value
        elif isinstance(value, str) and value.lstrip().startswith("{"):
            stack.append(_json(value))


def _number(value: Any) -> float | None:  # noqa: ANN401
    if isinstance(value, str):
        found = _VALUE.fullmatch(SCALE.sub(" ", value))
        return float(found[1]) if found and float(found[2] or FIVE) == FIVE else None
    return value if isinstance(value, float) else None


def _is_five(scale: Any) -> bool:  # noqa: ANN401
    """Whether what a JSON says of its scale is 0 to 5."""
    return scale == FIVE or (isinstance(scale, str) and SCALE.sub("5", scale).strip() in ("5", "5.0"))
