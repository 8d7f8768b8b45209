"""A caption as a sequence of words with their bases, and what it denies.

Plain lexical reading: a word counts by its form, whatever its grammar. The words are those of the vocabulary.
"""

import re
import unicodedata
from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

from data_curation.fact_texts.vocabulary import vocabulary

LONGEST = 5_000
"""Characters of a caption that are read."""
STOPS = frozenset(".!?;:,()")
BREAKS = STOPS | {"and", "then", "while", "before", "after", "but", "whereas", "afterwards", "finally", "next"}
"""Words and marks that end the reach of a denial, and of a gap in a pattern."""
_NEGATORS = frozenset(("no", "not", "never", "without", "nobody", "nothing", "neither", "nor", "cannot", "none"))
_NO_DENIAL_BEFORE = frozenset(("only", "just", "merely", "stop"))
_PHRASES = (("instead", "of"), ("rather", "than"))
_ABSENT_AFTER = frozenset((be, word) for be in ("is", "are") for word in ("not", "missing", "absent"))
_REACH = 8  # words that a denial reaches at most
_TOKEN = re.compile(r"[a-z0-9]+(?:'[a-z]+)?|[.!?;:,()]")
_PLAIN = str.maketrans({"’": "'", "‘": "'", "-": " ", "–": ",", "—": ",", "\n": ".", "_": " ", "/": " "})
_SHIRT = re.compile(r"\btee?[ -]?shirt|\bt[ -]shirt")
_SHORT = re.compile(r"[^aeiou]*[aeiou][^aeiouwxy]")


class Token(NamedTuple):
    """A word or mark as written, its base, and the number of its sentence."""

    form: str
    base: str
    sentence: int


def tokens_of(text: str) -> tuple[Token, ...]:
    """Return the words and marks of a text. What is beyond `LONGEST` characters is not read.

    >>> [token.base for token in tokens_of("She’s picking-up 2 boxes!")]
    ["she's", 'pick', 'up', '2', 'box', '!']
    """
    plain = unicodedata.normalize("NFKC", text[:LONGEST]).lower().translate(_PLAIN)
    bases, tokens, sentence = _bases(), [], 0
    for form in _TOKEN.findall(_SHIRT.sub("tshirt", plain)):
        tokens.append(Token(form, bases.get(form, form), sentence))
        sentence += form in ".!?;"
    return tuple(tokens)


def is_denied(tokens: tuple[Token, ...], start: int, end: int) -> bool:
    """Return whether the words from `start` to before `end` are denied, by a word before or directly after them."""
    if tuple(token.form for token in tokens[end : end + 2]) in _ABSENT_AFTER:
        # "The cup is not red" denies the colour, "the cup is not there" the cup.
        return tokens[end + 1].form != "not" or _ends_there(tokens[end + 2 : end + 4])
    for place in range(start - 1, max(-1, start - 1 - _REACH), -1):
        form = tokens[place].form
        following = tokens[place + 1].form
        if (form in _NEGATORS or form.endswith("n't")) and following not in _NO_DENIAL_BEFORE:
            return True
        if (form, following) in _PHRASES:
            return True
        if form in BREAKS:
            return False
    return False


def _ends_there(following: tuple[Token, ...]) -> bool:
    return not following or following[0].form in {"there", "visible", "present", "seen", "shown", *STOPS}


def noun_forms(word: str) -> set[str]:
    """Return a noun and its plural.

    >>> sorted(noun_forms("box")), sorted(noun_forms("body"))
    (['box', 'boxes'], ['bodies', 'body'])
    """
    if re.search(r"(?:s|x|z|ch|sh)$", word):
        return {word, f"{word}es"}
    return {word, f"{word[:-1]}ies"} if re.search(r"[^aeiou]y$", word) else {word, f"{word}s"}


def verb_forms(word: str) -> set[str]:
    """Return the regular forms of a verb.

    >>> sorted(verb_forms("clap")), sorted(verb_forms("wave"))
    (['clap', 'clapped', 'clapping', 'claps'], ['wave', 'waved', 'waves', 'waving'])
    """
    stem = word + word[-1] if _SHORT.fullmatch(word) else word.removesuffix("e")
    past = f"{word[:-1]}ied" if re.search(r"[^aeiou]y$", word) else f"{stem}ed"
    return noun_forms(word) | {past, f"{stem}ing"}


@cache
def _bases() -> dict[str, str]:
    """Return the base of each form of a word of the vocabulary."""
    words = vocabulary()
    groups = (*words.things.values(), *words.clothes.values(), *words.surfaces.values(), words.persons)
    nouns = _words(name for names in (*groups, words.absent_things) for name in names)
    patterns = (pattern for group in words.patterns.values() for pattern in group)
    verbs = _words(p for p in re.split(r"[ |]|\.\.|=\w+|PERSON", " ".join(patterns)) if p)
    bases = {form: word for word in sorted(nouns) for form in noun_forms(word)}
    bases |= {form: word for word in sorted(verbs) for form in verb_forms(word)}
    return bases | {form: word for word, forms in words.irregular.items() for form in (word, *forms)}


def _words(names: Iterable[str]) -> set[str]:
    return {word for name in names for word in name.split()}
