"""The texts by which a method knows a class: its words, its name, or sentences about it."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from ski_lvlm.datasets.catalogue import DataSet
from ski_lvlm.skeleton_text.words import NO_NOUN, Words, words_by_name, words_of_name

Strings = tuple[str, ...]


class ClassStrings(NamedTuple):
    """Texts of classes by their names in small letters. Other names get theirs by a rule of their kind."""

    kind: str
    table: Mapping[str, Strings]

    def of(self, name: str) -> Strings:
        """Return the texts of a class."""
        return self.table.get(name.casefold()) or _RULES[self.kind](name)


def class_strings(data: DataSet, kind: str) -> ClassStrings:
    """Return the texts of all classes of a data set under each of their names and spellings."""
    if kind == "words":
        return ClassStrings(kind, {name: _noun_and_verb(words) for name, words in words_by_name(data).items()})
    return ClassStrings(kind, {})


def _noun_and_verb(words: Words) -> Strings:
    return words.noun or NO_NOUN, words.verb


_RULES: dict[str, Callable[[str], Strings]] = {
    "words": lambda name: _noun_and_verb(words_of_name(name)),
    "name": lambda name: (name,),
}
