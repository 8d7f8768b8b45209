"""Verb and noun of class names."""

from collections.abc import Mapping
from typing import NamedTuple

from ski_lvlm.datasets.action_classes import ActionClass
from ski_lvlm.datasets.catalogue import DataSet

NO_NOUN = "#"  # what SynSE's text encoder reads where a class has no noun
_ARTICLES = ("a", "an", "the")
_PARTICLES = ("up", "down", "on", "off", "in", "out", "over", "away", "back")


class Words(NamedTuple):
    """Verb and noun of one class. The noun is empty where there is none."""

    verb: str
    noun: str


def words_of_name(name: str) -> Words:
    """Split a name of which nothing is known.

    Assumption: the first word is the verb, with a particle behind it. The rest without articles is the noun. SynSE
    itself has a table that was made by hand.

    >>> words_of_name("pick up the bag"), words_of_name("jumping")
    (Words(verb='pick up', noun='bag'), Words(verb='jumping', noun=''))

    Raises:
        ValueError: the name is empty.
    """
    words = name.split()
    if not words:
        raise ValueError(f"found the class name {name!r}, expected at least one word")
    size = 2 if len(words) > 1 and words[1].lower() in _PARTICLES else 1
    remainder = [word for word in words[size:] if word.lower() not in _ARTICLES]
    return Words(" ".join(words[:size]), " ".join(remainder))


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
