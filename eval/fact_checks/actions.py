"""The actions that a caption names, and the order in which it says that they happen."""

from functools import cache
from typing import NamedTuple

from data_curation.fact_texts.vocabulary import vocabulary
from eval.fact_checks.patterns import Finder
from eval.fact_checks.text import Token, is_denied

_EARLY, _LATE = ("first", "initially", "beginning"), ("finally", "last", "lastly", "end")


class Mention(NamedTuple):
    """An action that a text names, from one place to before another, and whether it denies it."""

    action: int
    start: int
    end: int
    is_denied: bool


def mentions(tokens: tuple[Token, ...]) -> list[Mention]:
    """Return the actions that a text names, in order. Where two begin at one place, the longer one counts.

    A name inside of another one does not count: in "cheers and drinks" nobody cheers.
    """
    result: list[Mention] = []
    place = 0
    while place < len(tokens):
        match = _finder().find(tokens, place)
        if match is None:
            place += 1
            continue
        end, action = match
        result.append(Mention(action, place, end, is_denied(tokens, place, end)))
        place = end
    return result


@cache
def _finder() -> Finder[int]:
    patterns = vocabulary().patterns
    return Finder((action, pattern) for action, group in patterns.items() for pattern in group)


def order_of(first: Mention, second: Mention, tokens: tuple[Token, ...]) -> tuple[int, int]:
    """Return two actions in the order of time. `first` is named before `second` in the text.

    Words that reverse the order are "after" between the two, "before" ahead of the first one, and marks such as
    "finally" or "at first" in sentences that put the second one early.
    """
    between = [token.form for token in tokens[first.end : second.start]]
    sentence = tokens[first.start].sentence
    ahead = [token.form for token in tokens[: first.start] if token.sentence == sentence]
    is_after = "after" in between and between[between.index("after") + 1 :][:1] not in (["that"], ["this"], ["which"])
    is_before_ahead = "before" in ahead and "before" not in between
    is_reversed = is_after or is_before_ahead or _has_marks_reversed(first, second, tokens)
    return (second.action, first.action) if is_reversed else (first.action, second.action)


def _has_marks_reversed(first: Mention, second: Mention, tokens: tuple[Token, ...]) -> bool:
    sentences = tokens[first.start].sentence, tokens[second.start].sentence
    if sentences[0] == sentences[1]:
        return False
    forms = [{token.form for token in tokens if token.sentence == number} for number in sentences]
    is_first_early, is_second_early = (bool(form & set(_EARLY)) for form in forms)
    is_first_late, is_second_late = (bool(form & set(_LATE)) for form in forms)
    return (is_second_early and not is_first_early) or (is_first_late and not is_second_late)
