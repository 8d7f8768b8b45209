"""The things that a caption names, their colours, and whether it says that somebody handles them."""

from functools import cache
from typing import NamedTuple

from data_curation.fact_texts.vocabulary import vocabulary
from eval.fact_checks.actions import Mention
from eval.fact_checks.patterns import Finder
from eval.fact_checks.text import STOPS, Token, is_denied, verb_forms

_HANDLING = frozenset(
    form for verb in ("use", "handle", "hold", "carry", "grab", "grip", "grasp") for form in verb_forms(verb)
) | {"held"}
_NO_ADJECTIVES = frozenset(
    ("a", "an", "the", "and", "of", "with", "in", "on", "at", "to", "his", "her", "their", "its", "is", "are", "has")
)
_REACH = 3  # words back from a noun in which its colour may stand


class ThingMention(NamedTuple):
    """A thing that a text names, with its colour if told, and whether it is handled or denied."""

    kind: str
    colour: str
    is_handled: bool
    is_denied: bool


def thing_mentions(tokens: tuple[Token, ...], actions: list[Mention]) -> list[ThingMention]:
    """Return the things that a text names, in order.

    A thing counts as handled in a sentence that names an action or a verb of handling, and as lying about in others.
    """
    result: list[ThingMention] = []
    place = 0
    doing = {tokens[mention.start].sentence for mention in actions}
    doing |= {token.sentence for token in tokens if token.form in _HANDLING}
    while place < len(tokens):
        match = _finder().find(tokens, place)
        if match is None:
            place += 1
            continue
        end, kind = match
        colour = colour_of(tokens, place, end)
        is_handled = tokens[place].sentence in doing
        result.append(ThingMention(kind, colour, is_handled, is_denied(tokens, place, end)))
        place = end
    return result


@cache
def _finder() -> Finder[str]:
    words = vocabulary()
    names = [(kind, name) for kind, names in words.things.items() for name in names]
    return Finder([*names, *((name, name) for name in words.absent_things)])


def colour_of(tokens: tuple[Token, ...], start: int, end: int) -> str:
    """Return the colour that stands before a noun, or after it and "is" or "are", or nothing."""
    for place in range(start - 1, max(-1, start - 1 - _REACH), -1):
        if tokens[place].form in _NO_ADJECTIVES | STOPS:
            break
        if colour := _colour_at(tokens, place):
            return colour
    following = [token.form for token in tokens[end : end + 2]]
    if following[:1] and following[0] in ("is", "are", "was", "were") and "not" not in following:
        for place in range(end + 2, end, -1):
            if place < len(tokens) and (colour := _colour_at(tokens, place)):
                return colour
    return ""


def _colour_at(tokens: tuple[Token, ...], place: int) -> str:
    """Return the colour whose last word is at a place. Two words such as "light blue" are one colour."""
    pair = " ".join(token.form for token in tokens[max(0, place - 1) : place + 1])
    return next((text for text in (pair, tokens[place].form) if text in _colours()), "")


@cache
def _colours() -> frozenset[str]:
    words = vocabulary()
    return frozenset(name for names in words.colours.values() for name in names) | set(words.other_colours)


def is_colour(text: str, fact: str) -> bool:
    """Return whether a colour of a text is that of a fact.

    >>> is_colour("blue", "navy blue"), is_colour("light blue", "blue"), is_colour("gray", "grey")
    (True, False, True)
    """
    return text in vocabulary().colours.get(fact, (fact,))
