"""Questions and answers about performances, each with words from which it may be answered."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ski_lvlm.storage.digests import digest_number

_WORDS = 16
_ALONE = 0.1  # share of questions without words
_IN_ORDER = 0.5
# Words that say nothing about a clip.
_FUNCTION_WORDS = (
    *("a", "an", "and", "are", "as", "at", "be", "by", "each", "for", "here", "in", "is", "it", "of", "on"),
    *("the", "their", "there", "this", "to", "who", "whose", "with"),
)


@dataclass(frozen=True)
class TextPair:
    """A question, its answer, and words about the same performance, of which there may be none."""

    clip: str
    context: str
    question: str
    answer: str

    @property
    def prompt(self) -> str:
        """The question with the words below it, where the tokens of a video stand later."""
        return f"{self.question}\n{self.context}" if self.context else self.question

    def alone(self) -> "TextPair":
        """Return the pair without its words."""
        return replace(self, context="")


def text_pairs(records: Iterable[Mapping[str, Any]], *, seed: int) -> list[TextPair]:
    """Return the pairs of all styles, each with words of a caption in any style, or with none."""
    performances: dict[str, list[Mapping[str, Any]]] = {}
    for record in records:
        performances.setdefault(record["clip"], []).append(record)
    return [
        TextPair(clip, _words(texts, f"{seed} {clip} {pair['question']}"), pair["question"], pair["answer"])
        for clip, texts in performances.items()
        for record in texts
        for pair in record["pairs"]
    ]


def _words(texts: Sequence[Mapping[str, Any]], key: str) -> str:
    """Return some words of a caption, each once, half of the time in their order and else in any."""
    generator = np.random.default_rng(digest_number(key))
    if generator.random() < _ALONE:
        return ""
    caption = str(texts[int(generator.integers(len(texts)))]["caption"])
    words = [word for word in dict.fromkeys(re.findall(r"[a-z]+", caption.lower())) if word not in _FUNCTION_WORDS]
    places = generator.permutation(len(words))[:_WORDS]
    return " ".join(words[place] for place in (sorted(places) if generator.random() < _IN_ORDER else places))


def split_pairs(pairs: Sequence[TextPair], *, held_out: int, source: str) -> tuple[list[TextPair], list[TextPair]]:
    """Return the pairs of all but the last performances, and those of the last ones.

    Raises:
        ValueError: there are no more performances than are held out.
    """
    clips = list(dict.fromkeys(pair.clip for pair in pairs))
    if len(clips) <= held_out:
        raise ValueError(f"{source} tells {len(clips)} performances, expected more than --held_out {held_out}")
    last = set(clips[-held_out:])
    return [pair for pair in pairs if pair.clip not in last], [pair for pair in pairs if pair.clip in last]
