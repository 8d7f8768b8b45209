"""Options in one text, as in the first release of LLAVIDAL's Charades-AR: `1. ['Sitting', 'Eating'] 2. ['Walking']`."""

import ast
import re

_OPTION = re.compile(r"\s*(\d{1,2})\.\s*(?=\[)")


def options_in(text: str) -> dict[str, str] | None:
    """Return the options by number, or None where the text does not hold numbered lists of texts, from 1 upwards.

    >>> options_in("1. ['Sitting', 'Eating'] 2. [\\"Washing one's hair\\"]")
    {'1': 'Sitting, Eating', '2': "Washing one's hair"}
    >>> options_in("sit, walk")
    """
    options: dict[str, str] = {}
    position = 0
    while option := _OPTION.match(text, position):
        if (end := _end_of_list(text, option.end())) is None:
            return None
        actions = _texts(text[option.end() : end])
        if not actions or option[1] != str(len(options) + 1):
            return None
        options[option[1]] = ", ".join(actions)
        position = end
    return options if options and not text[position:].strip() else None


def _end_of_list(text: str, start: int) -> int | None:
    """Return the position behind the list that begins at `start`. Brackets in its texts do not end it."""
    match = re.compile(r"""\[(?:[^\]'"]|'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")*\]""").match(text, start)
    return match.end() if match else None


def _texts(literal: str) -> list[str]:
    try:
        node = ast.parse(literal, mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return []
    parts = node.elts if isinstance(node, ast.List) else []
    texts = [part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)]
    return texts if len(texts) == len(parts) else []
