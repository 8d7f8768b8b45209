"""Questions and answers about performances, each with words from which it may be answered."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ski_lvlm.storage.digests import digest_number

_WORDS, _OWN_WORDS = 16, 10  # before an answer, and how many of them may be the answer's
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
    """Return the pairs of all styles, each with words about the performance, or with none."""
    performances: dict[str, list[Mapping[str, Any]]] = {}
    for record in records:
        performances.setdefault(record["clip"], []).append(record)
    return [
        TextPair(clip, _words(pair, texts, f"{seed} {clip} {pair['question']}"), pair["question"], pair["answer"])
        for clip, texts in performances.items()
        for record in texts
        for pair in record["pairs"]
    ]


def _words(pair: Mapping[str, str], texts: Sequence[Mapping[str, Any]], key: str) -> str:
    """Return words of the answer between words of the captions. The answer's are in order half of the time."""
    generator = np.random.default_rng(digest_number(key))
    if generator.random() < _ALONE:
        return ""
    answer = _content_words(pair["answer"])
    captions = _content_words(" ".join(str(text["caption"]) for text in texts))
    caption_words = [word for word in captions if word not in answer]
    answer_words = [answer[place] for place in sorted(generator.permutation(len(answer))[:_OWN_WORDS])]
    caption_words = [
        caption_words[place] for place in generator.permutation(len(caption_words))[: _WORDS - len(answer_words)]
    ]
    is_own = generator.permutation([True] * len(answer_words) + [False] * len(caption_words))
    if generator.random() >= _IN_ORDER:
        answer_words = [answer_words[place] for place in generator.permutation(len(answer_words))]
    sources = {True: iter(answer_words), False: iter(caption_words)}
    return " ".join(next(sources[bool(choice)]) for choice in is_own)


def _content_words(text: str) -> list[str]:
    """Return the words of a text that say something about a clip, each once."""
    words = dict.fromkeys(re.findall(r"[a-z]+", text.lower()))
    return [word for word in words if word not in _FUNCTION_WORDS]


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
