"""The texts by which a method knows a class: its words, its name, or sentences about it.

Kinds: `words` are noun and verb, `name` and `definition` are one text, `all` are name, definition and motion. `parts`
are the name alone, and the sentence of each body part behind the name.
"""

from collections.abc import Mapping
from typing import NamedTuple

from ski_lvlm.datasets.catalogue import DataSet
from ski_lvlm.datasets.class_texts import PARTS, ClassTexts, class_texts, texts_of
from ski_lvlm.skeleton_text.words import NO_NOUN, Words, look_up, words_by_name

Strings = tuple[str, ...]


class ClassStrings(NamedTuple):
    """Texts of one kind by class names in small letters. Names that are not there get theirs by a rule."""

    kind: str
    table: Mapping[str, Strings]

    def of(self, name: str) -> Strings:
        """Return the texts of a class.

        Raises:
            ValueError: the name is empty.
        """
        if not name.strip():
            raise ValueError(f"found the class name {name!r}, expected at least one word")
        return self.table.get(name.casefold()) or _strings(name, self.kind, words={}, texts={})


def class_strings(data: DataSet, kind: str) -> ClassStrings:
    """Return the texts of all classes of a data set under each of their names and spellings.

    Sentences are there for the names of other data sets too.
    """
    if kind == "words":
        words = words_by_name(data)
        return ClassStrings(kind, {name: _strings(name, kind, words=words, texts={}) for name in words})
    texts = class_texts(data)
    classes = data.description.classes
    spellings = [text.casefold() for action in classes for text in (action.name, *action.spellings.values())]
    names = dict.fromkeys([*spellings, *texts])
    return ClassStrings(kind, {name: _strings(name, kind, words={}, texts=texts) for name in names})


def _strings(name: str, kind: str, *, words: Mapping[str, Words], texts: Mapping[str, ClassTexts]) -> Strings:
    if kind == "words":
        verb, noun = look_up(name, words)
        return noun or NO_NOUN, verb
    sentences = texts_of(name, texts)
    return {
        "name": (name,),
        "definition": (sentences.definition,),
        "all": (name, sentences.definition, sentences.motion),
        "parts": (name, *(f"{name},{sentences.parts[part]}" for part in PARTS)),
    }[kind]
