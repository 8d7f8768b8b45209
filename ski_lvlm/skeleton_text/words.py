"""Verb and noun of class names."""

import re
from collections.abc import Mapping, Sequence
from itertools import dropwhile, takewhile
from typing import NamedTuple

from ski_lvlm.datasets.action_classes import ActionClass
from ski_lvlm.datasets.catalogue import DataSet

NO_NOUN = "#"  # what SynSE's text encoder reads where a class has no noun
_PRONOUNS = ("something", "someone")
_PARTICLES = ("up", "down", "on", "off", "in", "out", "over", "away", "back")


class Words(NamedTuple):
    """Verb and noun of one class. The noun is empty where there is none."""

    verb: str
    noun: str


def words_of_name(name: str) -> Words:
    """Split a name of which nothing is known.

    Assumption: the verb is the first word that is tagged as one, in its basic form, with a particle behind it. The noun
    is the last of the first nouns behind the verb, or else before it. Brackets and all but the first of alternatives
    (`cup/mug`) are left out. SynSE itself has a table that was made by hand.

    >>> words_of_name("picking up the tea cup/mug (from a table)"), words_of_name("jumping")
    (Words(verb='pick up', noun='cup'), Words(verb='jump', noun=''))

    Raises:
        ValueError: the name is empty.
    """
    words = _tagged(re.sub(r"\(.*?\)|/\S+", " ", name)) or _tagged(name)
    if not words:
        raise ValueError(f"found the class name {name!r}, expected at least one word")
    place = next((number for number, word in enumerate(words) if word.is_verb), 0)
    verb, end = _basic_form(words[place].text), place + 1
    if end < len(words) and words[end].text in _PARTICLES:
        verb, end = f"{verb} {words[end].text}", end + 1
    return Words(verb, _noun(words[end:]) or _noun(words[:place]))


class _Tagged(NamedTuple):
    text: str  # in small letters
    tag: str  # of the Penn Treebank

    @property
    def is_verb(self) -> bool:
        # Names have gerunds where sentences have participles, which the tagger takes for nouns now and then.
        # They have no past, which it takes "left" for.
        return self.tag in ("VB", "VBG", "VBP", "VBZ") or (self.text.endswith("ing") and self.tag != "JJ")

    @property
    def is_noun(self) -> bool:
        return self.tag.startswith("NN") or self.text in _PRONOUNS


def _tagged(name: str) -> list[_Tagged]:
    from textblob.taggers import PatternTagger

    tags = PatternTagger().tag(name)
    return [_Tagged(word.lower(), tag) for word, tag in tags if any(map(str.isalnum, word))]


def _basic_form(verb: str) -> str:
    from lemminflect import getLemma

    return next(iter(getLemma(verb, upos="VERB", lemmatize_oov=False)), verb)


def _noun(words: Sequence[_Tagged]) -> str:
    """Return the last word of the first run of nouns."""
    run = takewhile(lambda word: word.is_noun, dropwhile(lambda word: not word.is_noun, words))
    return next((word.text for word in reversed(list(run))), "")


def words_of(action: ActionClass) -> Words:
    """Return what a data set says of a class, or else the words of its name."""
    return Words(action.verb, action.noun) if action.verb else words_of_name(action.name)


def words_by_name(data: DataSet) -> dict[str, Words]:
    """Return the words of all classes under each of their names and spellings, in small letters."""
    table: dict[str, Words] = {}
    for action in data.description.classes:
        for name in (action.name, *action.spellings.values()):
            table.setdefault(name.casefold(), words_of(action))
    return table


def look_up(name: str, table: Mapping[str, Words]) -> Words:
    """Return the words of a name, out of a table in small letters if it is there."""
    return table.get(name.casefold()) or words_of_name(name)
