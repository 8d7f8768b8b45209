"""Parsing of the score in a judge's reply.

A doubtful score is None, never 0: an unreadable reply says nothing about the caption, and the judge is asked again.
Decimals are kept (4.8 stays 4.8), also where whole numbers were asked for.
Deviation: the published evaluation cuts decimals to whole numbers.
"""

import ast
import json
import re
from collections.abc import Iterator
from typing import Any

from eval.judges.prose_score import FIVE, NUMBER, OF, SCALE, prose_scores
from eval.judges.score_marks import plain_marks
from ski_lvlm.llm.thoughts import without_thoughts

_FENCE = re.compile(r"```(?:json|python|text)?")
_UNFINISHED = re.compile(r"[0-9][.,]?\s*\Z")
_LONGEST = 20_000  # characters of a reply that is read
_VALUE = re.compile(rf"\s*+{NUMBER}{OF}\s*+")
_SCALE_KEY = re.compile("max|scale|out_?of|total")
_SCORE_KEYS = {f"{prefix}{key}" for prefix in ("", "final_", "overall_") for key in ("score", "rating")}


def parse_score(reply: str, *, cut: bool = False) -> float | None:
    """Return the score from 0 to 5 in a reply, or None unless there is exactly one in range.

    Thoughts are ignored. In JSON or a printed Python dictionary only `score` (or `rating`) counts, whatever the other
    texts say, and a scale other than 0 to 5 makes it None. After a thought, an object at the end counts alone. For
    prose see `eval.judges.prose_score`, for marks `eval.judges.score_marks`. If the reply was `cut` at its maximum
    length, a number at its very end may be incomplete.

    >>> parse_score('{"score": 4}'), parse_score("Score: 4.5/5"), parse_score("```json\\n3\\n```")
    (4.0, 4.5, 3.0)
    >>> parse_score('{"score": 4, "explanation": "a score of 5 would need the sofa"}')
    4.0
    >>> parse_score("I cannot say."), parse_score("score: 45"), parse_score("score: 8/10"), parse_score("4? or 2?")
    (None, None, None, None)
    """
    if len(reply) > _LONGEST or (cut and _UNFINISHED.search(reply)):
        return None
    answer = without_thoughts(reply)
    text = plain_marks(_FENCE.sub(" ", answer).strip().removeprefix("\ufeff"))
    entries = list(_entries(_object(text)))
    if not entries and answer != reply:
        entries = list(_entries(_last_objects(text)))
    values = [value for key, value in entries if key.replace(" ", "_") in _SCORE_KEYS]
    if values:
        scales = [value for key, value in entries if _SCALE_KEY.search(key)]
        scores = {None} if any(not _is_five(scale) for scale in scales) else set(map(_number, values))
    else:
        scores = prose_scores(text)
    score = scores.pop() if len(scores) == 1 else None
    return score if score is not None and 0 <= score <= 5 else None


def _object(text: str) -> Any:  # noqa: ANN401
    """Parse JSON or a Python literal, with objects as lists of (key, value). Return None for anything else."""
    content = _json(text)
    return _python(text) if content is None and text[:1] in ("{", "[") else content


def _last_objects(text: str) -> list[Any] | None:
    """Return the JSON objects in a text that ends with one, or None if it does not."""
    decoder, objects, position = json.JSONDecoder(object_pairs_hook=list, parse_int=float, parse_constant=str), [], 0
    while (start := text.find("{", position)) >= 0:
        try:
            entries, position = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            return None  # half an object
        objects.append(entries)
    return objects if not text[position:].strip() else None


def _python(text: str) -> Any:  # noqa: ANN401
    try:
        return _literal(ast.parse(text, mode="eval").body)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _literal(node: ast.AST) -> Any:  # noqa: ANN401
    """Return the value of a literal as `_json` does.

    Raises:
        ValueError: it is no literal.
    """
    # Not `ast.literal_eval`, which would hide a key that occurs twice.
    if isinstance(node, ast.Dict):
        keys = [None if key is None else _literal(key) for key in node.keys]
        return [(key, _literal(value)) for key, value in zip(keys, node.values) if isinstance(key, str)]
    if isinstance(node, ast.List | ast.Tuple):
        return [_literal(element) for element in node.elts]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = _literal(node.operand)
        return -value if isinstance(value, float) else None
    if isinstance(node, ast.Constant):
        value = node.value
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
    raise ValueError("no literal")


def _json(text: str) -> Any:  # noqa: ANN401
    """Parse JSON with objects as lists of (key, value), which keep duplicate keys. Return None on errors."""
    try:
        return json.loads(text, object_pairs_hook=list, parse_int=float, parse_constant=str)
    except (ValueError, RecursionError):
        return None


def _entries(content: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401
    """Yield every key with its value at any depth, also in JSON inside a text of other JSON."""
    stack = [content]
    while stack:
        value = stack.pop()
        if isinstance(value, tuple):
            yield value[0].strip().lower(), value[1]
            stack.append(value[1])
        elif isinstance(value, list):
            stack += value
        elif isinstance(value, str) and value.lstrip().startswith("{"):
            stack.append(_object(value.strip()))


def _number(value: Any) -> float | None:  # noqa: ANN401
    if isinstance(value, str):
        match = _VALUE.fullmatch(SCALE.sub(" ", value))
        return float(match[1]) if match and float(match[2] or FIVE) == FIVE else None
    return value if isinstance(value, float) else None


def _is_five(scale: Any) -> bool:  # noqa: ANN401
    """Return whether the scale in a JSON reply is 0 to 5."""
    return scale == FIVE or (isinstance(scale, str) and SCALE.sub("5", scale).strip() in ("5", "5.0"))
