"""Action classes of a data set: names, other spellings, sentences, and who acts."""

import csv
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from ski_lvlm.storage.text_files import decoded, read_bytes

Actors = Literal["", "one", "toward", "both"]
_FIELDS = ("id", "name", "persons", "actors", "phrase", "sentences", "verb", "noun")
_NUM_PERSONS = {"one": 1, "toward": 2, "both": 2}


@dataclass(frozen=True)
class ActionClass:
    """One class. Models know it by its `name`.

    `id` is what clip tables and splits may say instead. `actors` are one person, one who acts `toward` another, or
    `both`. `phrase` is a gerund phrase such as "drinking water". `sentences` describe the class in whole sentences.
    `verb` and `noun` are its words for SynSE, both empty where they are not known. A verb alone means: no noun.
    """

    name: str
    id: str
    spellings: Mapping[str, str] = field(default_factory=dict)
    sentences: tuple[str, ...] = ()
    persons: int | None = None
    actors: Actors = ""
    phrase: str = ""
    verb: str = ""
    noun: str = ""

    @property
    def all_names(self) -> tuple[str, ...]:
        """All words that mean the class: its name, its id and its spellings, each once."""
        return tuple(dict.fromkeys((self.name, self.id, *self.spellings.values())))


def short_id(text: str) -> str:
    """Return an id without leading zeros in its numbers.

    >>> short_id("A061"), short_id("007"), short_id("wave")
    ('A61', '7', 'wave')
    """
    return re.sub(r"(^|[^0-9])0+([0-9])", r"\1\2", text)


def read_classes(content: object, *, file: Path) -> tuple[ActionClass, ...]:
    """Return the classes of a description: a list of names or objects, or the name of a CSV file beside `file`.

    Raises:
        ValueError: no classes, a class without a name, or two with the same name or id.
    """
    if isinstance(content, str):
        file = file.with_name(content)
        content = list(_csv_rows(file))
    if not isinstance(content, list) or not content:
        raise ValueError(f"{file}: 'classes' is {content!r:.60}; expected a list of class names, or a .csv file's name")
    classes = tuple(_class(entry, number, file) for number, entry in enumerate(content, start=1))
    for kind, names in (("name", [c.name for c in classes]), ("id", [c.id for c in classes])):
        if repeated := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
            raise ValueError(f"{file}: {len(repeated)} classes have the {kind} of another, such as {repeated[0]!r}")
    return classes


def _csv_rows(file: Path) -> Iterable[dict[str, Any]]:
    if not file.is_file():
        raise ValueError(f"{file}: no such file; dataset.json names it as the table of classes")
    rows = csv.DictReader(decoded(read_bytes(file), file).splitlines())
    if "name" not in (rows.fieldnames or ()):
        raise ValueError(f"{file}: found the columns {rows.fieldnames}; expected at least 'name'")
    for row in rows:
        texts = {column: (text or "").strip() for column, text in row.items() if column}
        entry: dict[str, Any] = {name: text for name, text in texts.items() if name in _FIELDS and text}
        if "sentences" in entry:
            entry["sentences"] = [sentence.strip() for sentence in entry["sentences"].split(" | ")]
        yield entry | {"spellings": {name: text for name, text in texts.items() if name not in _FIELDS and text}}


def _class(entry: object, number: int, file: Path) -> ActionClass:
    place = f"{file}: class {number}"
    if isinstance(entry, str):
        entry = {"name": entry}
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str) or not entry["name"].strip():
        raise ValueError(f"{place} is {entry!r:.60}; expected a name, or an object with a 'name'")
    if unknown := sorted(set(entry) - {*_FIELDS, "spellings"}):
        raise ValueError(f"{place} has {', '.join(unknown)}; expected {', '.join((*_FIELDS, 'spellings'))}")
    sentences = entry.get("sentences", [])
    actors = entry.get("actors", "")
    if actors not in get_args(Actors):
        raise ValueError(f"{place}: 'actors' is {actors!r}; expected one, toward or both")
    verb, noun = (entry.get(part, "") for part in ("verb", "noun"))
    if not (isinstance(verb, str) and isinstance(noun, str)) or (noun and not verb):
        raise ValueError(
            f"{place}: found the verb {verb!r} and the noun {noun!r}; expected texts, no noun without verb"
        )
    return ActionClass(
        name=entry["name"].strip(),
        id=short_id(str(entry.get("id", number))),
        spellings=entry.get("spellings", {}),
        sentences=(sentences,) if isinstance(sentences, str) else tuple(sentences),
        persons=_persons(entry.get("persons", _NUM_PERSONS.get(actors)), place),
        actors=actors,
        phrase=entry.get("phrase", ""),
        verb=verb,
        noun=noun,
    )


def _persons(value: object, place: str) -> int | None:
    if value is None:
        return None
    if str(value) not in ("1", "2"):
        raise ValueError(f"{place}: 'persons' is {value!r}; expected 1 or 2, or nothing where it is not known")
    return int(str(value))
