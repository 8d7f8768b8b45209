"""The wording of captions, questions and answers."""

import re
from collections import Counter
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")


class Wording(NamedTuple):
    """The words of some texts. `unique` counts the texts that occur once, lengths are in words."""

    texts: int
    unique: int
    words: int
    distinct_words: int
    median_length: float
    max_length: int


def wording(texts: Sequence[str]) -> Wording:
    """Count the words of some texts in lower case, without digits.

    >>> wording(["A man's cup.", "A man's cup.", "A cup"])
    Wording(texts=3, unique=1, words=8, distinct_words=3, median_length=3, max_length=3)
    """
    counts = Counter(texts)
    words = {text: _WORD.findall(text.lower()) for text in counts}
    lengths = [len(words[text]) for text in texts]
    return Wording(
        texts=len(texts),
        unique=sum(count == 1 for count in counts.values()),
        words=sum(lengths),
        distinct_words=len({word for text_words in words.values() for word in text_words}),
        median_length=median(lengths) if lengths else 0,
        max_length=max(lengths, default=0),
    )
