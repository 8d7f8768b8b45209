"""Patterns of words, such as `put|place .. hat|cap .. head`, and where they match in a text."""

from collections.abc import Hashable, Iterable, Sequence
from functools import cache
from typing import Generic, TypeVar

from data_curation.fact_texts.vocabulary import vocabulary
from eval.fact_checks.text import BREAKS, Token

Name = TypeVar("Name", bound=Hashable)
GAP = 4
"""Words that `..` stands for at most."""
_Piece = frozenset[str] | None  # bases and =forms, or None for a gap


@cache
def compiled(pattern: str) -> tuple[_Piece, ...]:
    """Return the pieces of a pattern: alternatives of bases (and forms after `=`), or None for a gap."""
    persons = frozenset(vocabulary().persons)
    pieces: list[_Piece] = []
    for word in pattern.split():
        if word == "..":
            pieces.append(None)
        else:
            names = word.split("|")
            pieces.append(frozenset(names) | (persons if "PERSON" in names else frozenset()))
    return tuple(pieces)


class Finder(Generic[Name]):
    """A search for the longest of many patterns at a place. Only those whose first word is there are tried."""

    def __init__(self, names: Iterable[tuple[Name, str]]) -> None:
        self._patterns: dict[str, list[tuple[Name, str]]] = {}
        for name, pattern in names:
            for word in compiled(pattern)[0] or ():
                self._patterns.setdefault(word, []).append((name, pattern))

    def find(self, tokens: Sequence[Token], start: int) -> tuple[int, Name] | None:
        """Return the place behind the longest match that begins at `start`, and its name. Of equals it is the first."""
        token, result = tokens[start], None
        for name, pattern in (*self._patterns.get(token.base, ()), *self._patterns.get(f"={token.form}", ())):
            end = longest_match(pattern, tokens, start)
            if end is not None and (result is None or end > result[0]):
                result = end, name
        return result


def longest_match(pattern: str, tokens: Sequence[Token], start: int) -> int | None:
    """Return the place behind the longest match of a pattern that begins at `start`, or None."""
    return _match(compiled(pattern), tokens, start)


def _match(pieces: tuple[_Piece, ...], tokens: Sequence[Token], place: int) -> int | None:
    if not pieces:
        return place
    piece, following = pieces[0], pieces[1:]
    if piece is not None:
        is_there = place < len(tokens) and (tokens[place].base in piece or f"={tokens[place].form}" in piece)
        return _match(following, tokens, place + 1) if is_there else None
    ends = []
    for length in range(GAP + 1):
        if (end := _match(following, tokens, place + length)) is not None:
            ends.append(end)
        if place + length >= len(tokens) or tokens[place + length].form in BREAKS:
            break
    return max(ends, default=None)
