"""Parsing of objects as language models write them: JSON, Python, or similar."""

import ast
import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

_DECODER = json.JSONDecoder(strict=False)  # takes line breaks inside a text
_INNERMOST = re.compile(r"\{[^{}]*\}?")
_LAST_COMMA = re.compile(r",(\s*[}\]])")
_CURLY = str.maketrans("“”„‟‘’", '""""\'\'')
# A key, a colon and a text, whose end is a quote before the next key or the end of the object.
_FIELD = re.compile(
    r"""(?:^|[{,\s])["']?(?P<key>[A-Za-z_]\w{0,30})["']?\s{0,9}[:=]\s{0,9}(?P<quote>["'])(?P<text>.*?)(?<!\\)(?P=quote)"""
    r"""(?=\s{0,99}(?:[,;]?\s{0,99}(?:["']?[A-Za-z_]\w{0,30}["']?\s{0,9}[:=]\s{0,9}["']|\})))""",
    re.DOTALL,
)
_LONGEST = 5_000  # characters of an object without inner ones


class ParsedObject(NamedTuple):
    """An object and its position in the text."""

    fields: dict[Any, Any]
    start: int
    end: int


def objects(text: str) -> Iterator[ParsedObject]:
    """Yield every object in a text, outer ones before inner ones.

    >>> [item.fields for item in objects("Sure: [{'Q': 'What?', 'A': 'It's a cat.',}]")]
    [{'Q': 'What?', 'A': "It's a cat."}]
    """
    position = text.find("{")
    while position >= 0:
        try:
            value, end = _DECODER.raw_decode(text, position)
        except (ValueError, RecursionError):
            value, end = _loose(text, position)
        if isinstance(value, dict):
            yield ParsedObject(value, position, end)
        position = text.find("{", position + 1)


def _loose(text: str, start: int) -> tuple[dict[str, Any] | None, int]:
    """Parse an object without inner ones that is no JSON. Return None if nothing can be read."""
    match = _INNERMOST.match(text, start)
    if match is None or not match[0].endswith("}") or len(match[0]) > _LONGEST:
        return None, start + 1
    source = match[0]
    for variant in (_LAST_COMMA.sub(r"\1", source), source.translate(_CURLY)):
        for parse in (_json, _python):
            if (value := parse(variant)) is not None:
                return value, match.end()
    fields = {field["key"]: _unescaped(field["text"]) for field in _FIELD.finditer(source.translate(_CURLY))}
    return fields or None, match.end()


def _json(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _python(text: str) -> dict[str, Any] | None:
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return None
    return value if isinstance(value, dict) else None


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", lambda match: {"n": "\n", "t": "\t"}.get(match[1], match[1]), text, flags=re.DOTALL)
