"""The vocabulary of captions, questions and answers."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
_FUNCTION_WORDS = frozenset(
    _WORD.findall(
        """
    a about after all also an and another any are around as at away back be because been before being between both but
    by can could did do does doing down during each either for from further had has have having he her hers herself him
    himself his how i if in into is it it's its itself just may me might more most much my no nor not of off on once one
    only onto or other our out over own same several shall she should since so some somebody someone something such than
    that the their theirs them themselves then there these they this those through to together too toward towards two
    under until up upon very was we were what when where which while who whose why will with within without would yet
    you your
    """
    )
)


class Wording(NamedTuple):
    """The words of some texts; `unique` texts are said once only, `lengths` are in words."""

    texts: int
    unique: int
    lengths: Int[np.ndarray, " n"]
    counts: Counter[str]

    @property
    def words(self) -> int:
        """Running words."""
        return int(self.lengths.sum())

    @property
    def type_token(self) -> float:
        """Distinct words per running word; it falls as a corpus grows."""
        return len(self.counts) / max(1, self.words)

    @property
    def guiraud(self) -> float:
        """Distinct words per square root of running words, which depends less on the size of a corpus."""
        return len(self.counts) / max(1, self.words) ** 0.5


def wording(texts: Sequence[str]) -> Wording:
    """Count the words of some texts, without regard to case; digits are no words.

    >>> wording(["A man's cup.", "A man's cup."]).counts["man's"]
    2
    """
    times = Counter(texts)
    counts: Counter[str] = Counter()
    length = {}
    for text, repeats in times.items():
        words = _WORD.findall(text.lower())
        length[text] = len(words)
        counts.update(words * repeats)
    unique = sum(repeats == 1 for repeats in times.values())
    return Wording(len(texts), unique, np.array([length[text] for text in texts], dtype=int), counts)


def content_words(counts: Counter[str], *, most: int) -> list[tuple[str, int]]:
    """The most frequent words that carry meaning, and how often they are said; ties in alphabetical order.

    >>> content_words(Counter({"the": 9, "hand": 2, "cup": 2, "leg": 1}), most=2)
    [('cup', 2), ('hand', 2)]
    """
    meaningful = ((word, count) for word, count in counts.items() if word not in _FUNCTION_WORDS)
    return sorted(meaningful, key=lambda item: (-item[1], item[0]))[:most]
