"""Parsing of the option that a generated answer names, by its letter or by its text.

A doubtful answer names none. It counts as no answer, and never as a wrong one or as the first letter in it.
Deviation: LLAVIDAL's published evaluation asks Llama 3.1 which option an answer is most like, and takes the first
capital letter from A to E of the reply.
"""

import re
import unicodedata
from collections.abc import Sequence

from eval.choosing.items import LETTERS, same_text
from eval.judges.score_marks import plain_marks
from ski_lvlm.llm.thoughts import without_thoughts

_LONGEST = 20_000  # characters of an answer that is read
_DENIAL = re.compile(
    r"\b(?:not|never|neither|nor|no|except|wrong|incorrect|false|without|cannot)\b|n't\b", re.IGNORECASE
)
_SENTENCE = re.compile(r"(?<=[!?;\n])\s*|(?<=[a-z)]{2}\.)\s+")
_WORD = r"(?:option|choice|answer|letter)"
_ALONE = re.compile(rf"\W*(?:{_WORD}\W*)?\b([A-Z])\b\W*", re.IGNORECASE)
_FIRST = re.compile(r"[\s*\"'`]*(?:\(([A-Z])\)|\[([A-Z])\]|([A-Z])(?:[.):](?=\s)|\*\*|\s*[-–—]\s|\n))")
_END = r"(?=\s*(?:$|[.,;:!)\]*\"'\n]|because\b|since\b|as\b))"
_STATED = re.compile(
    rf"(?i:\b{_WORD}\b(?:\W{{0,3}}(?:is|would be|should be|must be|to choose is)\b|\W{{0,3}}[:=])?"
    rf"\W{{0,3}}(?:(?:the\s)?{_WORD}\b\W{{0,3}})?)\b([A-Z])\b{_END}"
)
_BRACKETED = re.compile(r"[(\[]([A-Z])[)\]]")


def letter_of(reply: str, options: Sequence[str]) -> int | None:
    """Return the number of the option that an answer names, or None unless it names exactly one.

    `options` are the texts in the order of their letters. Thoughts are ignored.

    >>> options = ["sit down", "walk", "read a book"]
    >>> [letter_of(r, options) for r in ("B", "(c) read a book", "The answer is **B**.", "Sit down", "He is walking.")]
    [1, 2, 1, 0, None]
    >>> [letter_of(r, options) for r in ("A person walks a dog", "A or B", "not (A)", "D", "(A) walk", "")]
    [None, None, None, None, None, None]
    """
    if len(reply) > _LONGEST:
        return None
    text = plain_marks(without_thoughts(unicodedata.normalize("NFKC", reply)))
    affirmed = [sentence for sentence in _SENTENCE.split(text) if not _DENIAL.search(sentence)]
    letters = _letters(text, affirmed)
    if letters - set(LETTERS[: len(options)]):
        return None
    by_letter, by_text = set(map(LETTERS.index, letters)), _texts(text, affirmed, options)
    names = {same_text(options[number]) for number in by_letter | by_text}
    if len(names) != 1 or len(by_letter) > 1:
        return None
    return min(by_letter or by_text)


def _letters(text: str, affirmed: Sequence[str]) -> set[str]:
    """Return the letters of the clearest form in an answer: alone, stated or first, or in brackets."""
    if alone := _ALONE.fullmatch(text):
        return {alone[1].upper()}
    stated = {letter for sentence in affirmed for letter in _STATED.findall(sentence)}
    if stated:
        return stated
    firsts = [_FIRST.match(sentence) for sentence in affirmed[:1] if text.startswith(sentence)]
    lone = {letter for first in firsts if first for letter in first.groups() if letter}
    return lone | {letter for sentence in affirmed for letter in _BRACKETED.findall(sentence)}


def _texts(text: str, affirmed: Sequence[str], options: Sequence[str]) -> set[int]:
    """Return the options whose text is the answer, or which it holds in two words or more.

    An option within a longer one does not count beside it.
    """
    first = _FIRST.match(text)
    plain = [_plain(option) for option in options]
    whole = _plain(text[first.end() :] if first else text)
    if whole and whole in plain:
        return {number for number, option in enumerate(plain) if option == whole}
    sentences = [f" {_plain(sentence)} " for sentence in affirmed]
    spans = {
        (number, place, start.start(), start.start() + len(option))
        for number, option in enumerate(plain)
        for place, sentence in enumerate(sentences)
        if " " in option
        for start in re.finditer(re.escape(f" {option} "), sentence)
    }
    return {span[0] for span in spans if not any(_is_inside(span, other) for other in spans)}


def _is_inside(span: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> bool:
    _, place, start, end = span
    return place == other[1] and other[2] <= start and end <= other[3] and end - start < other[3] - other[2]


def _plain(text: str) -> str:
    return " ".join(re.split(r"[\W_]+", text.lower())).strip()
