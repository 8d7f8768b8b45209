"""Removal of the half sentence at the end of a text that was cut."""

import re

_END = re.compile(r"(?<=[^\W\d_]{2})[.!?][\"')\]”’]*(?=\s|$)")  # after a word: neither "e.g." nor the "2." of a list
_ABBREVIATION = re.compile(r"\b(?:mr|mrs|ms|dr|st|vs|no|approx)\.$", re.IGNORECASE)
_LONGEST = 10  # characters around an abbreviation


def whole_sentences(text: str) -> str:
    """Return a text up to the end of its last whole sentence. Doubtful ends count as incomplete.

    >>> whole_sentences("A man sits. He lifts a cup, e.g. a mug. Then he"), whole_sentences("1. A man")
    ('A man sits. He lifts a cup, e.g. a mug.', '')
    """
    for end in reversed([match.end() for match in _END.finditer(text)]):
        if not _ABBREVIATION.search(text, max(0, end - _LONGEST), end):
            return text[:end]
    return ""
