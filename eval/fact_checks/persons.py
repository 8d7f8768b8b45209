"""The number of persons that a caption tells, and whether somebody passes by."""

from data_curation.fact_texts.vocabulary import vocabulary
from eval.fact_checks.patterns import longest_match
from eval.fact_checks.text import BREAKS, Token, is_denied

_PASSING = ("walk|pass|go|come past|by", "pass|walk .. past|by", "=background", "passer by", "=passerby", "=bystander")
_GROUPS = {"couple": 2, "pair": 2, "group": 3, "crowd": 3, "several": 3}
_NOBODY = frozenset(("nobody", "noone"))
_TWO = ("each|one other|another", "=both PERSON", "each PERSON", "another|other PERSON", "=the other one")
_NOUNS = frozenset(("person", "people", "man", "woman", "somebody", "someone", "boy", "girl", "adult", "human"))
_ADJECTIVES = 2  # words between a number and its noun


def told_number(tokens: tuple[Token, ...]) -> int | None:
    """Return the number of acting persons that a text tells, or None where it speaks of nobody.

    It is the largest one of all sentences without passers-by. "Each other", "the other person" and "both people" are
    two. A man and a woman are two.
    """
    passing = _passing_sentences(tokens)
    acting = tuple(token for token in tokens if token.sentence not in passing)
    numbers = [number for place in range(len(acting)) if (number := _number_at(acting, place)) is not None]
    numbers += [len(nouns) for nouns in _conjoined(acting)]
    return max(numbers, default=None)


def has_passers(tokens: tuple[Token, ...]) -> bool:
    """Return whether a text says that somebody walks through the scene."""
    return bool(_passing_sentences(tokens))


def _passing_sentences(tokens: tuple[Token, ...]) -> set[int]:
    with_persons = {token.sentence for token in tokens if token.base in _NOUNS | {"other", "one", "passer"}}
    sentences = set()
    for place, token in enumerate(tokens):
        ends = [end for pattern in _PASSING if (end := longest_match(pattern, tokens, place)) is not None]
        if ends and token.sentence in with_persons and not is_denied(tokens, place, max(ends)):
            sentences.add(token.sentence)
    return sentences


def _number_at(tokens: tuple[Token, ...], place: int) -> int | None:
    form, base = tokens[place].form, tokens[place].base
    if form in _NOBODY or (form == "no" and any(t.base in _NOUNS | {"one"} for t in tokens[place + 1 : place + 2])):
        return 0
    if form in _GROUPS:
        is_of_persons = longest_match(f"{form} of .. {'|'.join(sorted(_NOUNS))}", tokens, place) is not None
        return _GROUPS[form] if is_of_persons or form == "several" and _noun_after(tokens, place) else None
    if any(longest_match(pattern, tokens, place) is not None for pattern in _TWO):
        return 2
    if form in vocabulary().numbers and _noun_after(tokens, place):
        return vocabulary().numbers[form]
    if form in ("he", "she"):
        return 1
    if base in _NOUNS and form not in ("people", "persons", "men", "women") and not is_denied(tokens, place, place + 1):
        return 1
    return None


def _noun_after(tokens: tuple[Token, ...], place: int) -> bool:
    for token in tokens[place + 1 : place + 2 + _ADJECTIVES]:
        if token.base in _NOUNS:
            return True
        if not token.form.isalpha() or token.form in BREAKS:
            return False
    return False


def _conjoined(tokens: tuple[Token, ...]) -> list[set[str]]:
    """Return, for each sentence, the different nouns of persons that have an article of their own."""
    nouns: dict[int, set[str]] = {}
    for place, token in enumerate(tokens):
        articles = {t.form for t in tokens[max(0, place - 2) : place]} & {"a", "an"}
        if articles and token.base in _NOUNS and not is_denied(tokens, place, place + 1):
            nouns.setdefault(token.sentence, set()).add(token.base)
    return list(nouns.values())
