"""Sentences about action classes: what an action is, how the body moves, and what each of six body parts does.

SMIE reads the definition, MSF definition and motion, STAR the sentences of the parts. The classes of NTU RGB+D and
UTD-MHAD have them in `descriptions/class_texts.csv`. The sentences are our own, since not all of these systems license
theirs. A data set may bring a `class_texts.csv` with the same columns.
"""

import csv
import io
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

from ski_lvlm.datasets.catalogue import DataSet
from ski_lvlm.skeletons.parts import PARTS
from ski_lvlm.storage.files import atomic_path
from ski_lvlm.storage.text_files import read_text

FILE = "class_texts.csv"
COLUMNS = ("name", "definition", "motion", *PARTS)
_SHARED = Path(__file__).parent / "descriptions" / FILE


class ClassTexts(NamedTuple):
    """One sentence each about an action, its motion and the six `PARTS`."""

    definition: str
    motion: str
    parts: dict[str, str]


class Row(NamedTuple):
    """One line of a table: its number, the name or id of a class, and the texts."""

    line: int
    name: str
    texts: ClassTexts


def class_texts(data: DataSet) -> dict[str, ClassTexts]:
    """Return texts under class names and spellings in small letters.

    The texts of a data set's own folder come before the shared ones, and those of the first of joined data sets before
    the others. Shared texts of classes that the data set lacks are in the table too, for tests with other names.

    Raises:
        ValueError: a data set's own file is not as expected. The message names the line.
    """
    table = dict(_shared())
    sources = data.sources[::-1]
    for source in sources:
        names = {name: name.casefold() for name in source.class_names}
        table |= _spelled(source, {name: _shared()[key] for name, key in names.items() if key in _shared()})
    for source in sources:
        table |= _spelled(source, _own(source))
    return table


def texts_of(name: str, table: Mapping[str, ClassTexts]) -> ClassTexts:
    """Return the texts of a class name out of a table in small letters.

    Assumption: where nobody described a class, its name stands for each sentence.

    >>> texts_of("Wash up", {}).parts["hand"]
    'Wash up'
    """
    return table.get(name.casefold()) or ClassTexts(name, name, dict.fromkeys(PARTS, name))


@cache
def _shared() -> dict[str, ClassTexts]:
    return {row.name.casefold(): row.texts for row in read_rows(_SHARED)}


def _spelled(data: DataSet, texts: Mapping[str, ClassTexts]) -> dict[str, ClassTexts]:
    """Return the texts of classes under all spellings. A name outranks the equal spelling of another class."""
    spellings = {text.casefold(): texts[name] for name in texts for text in data.action(name).spellings.values()}
    return spellings | {name.casefold(): entry for name, entry in texts.items()}


def _own(data: DataSet) -> dict[str, ClassTexts]:
    """Return the texts in a data set's folder by the names of its classes."""
    texts: dict[str, ClassTexts] = {}
    file = data.folder / FILE if data.folder else None
    if file is None or not file.exists():
        return texts
    for line, text, entry in read_rows(file):
        try:
            name = data.action(text).name
        except ValueError as error:
            raise ValueError(f"{file}: line {line}: {error}; correct the name, or delete the line") from error
        if name in texts:
            raise ValueError(f"{file}: line {line} describes {name!r} again; expected one line a class: delete one")
        texts[name] = entry
    return texts


def is_about(sentence: str, part: str) -> bool:
    """Return whether a sentence begins with its part's name, as all of STAR's do.

    >>> is_about("Feet stand still.", "foot"), is_about("The feet stand still.", "foot")
    (True, False)
    """
    return sentence.startswith((f"{part.title()} ", "Feet " if part == "foot" else f"{part.title()}s "))


def write_class_texts(file: Path, texts: Mapping[str, ClassTexts]) -> None:
    """Write a table of texts by class names."""
    with atomic_path(file) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        for name, entry in texts.items():
            writer.writerow([name, entry.definition, entry.motion, *(entry.parts[part] for part in PARTS)])


def read_rows(file: Path) -> Iterator[Row]:
    """Yield the rows of a table. A row's number is that of the line on which it ends.

    Raises:
        ValueError: no CSV, a missing column, too many or too few cells, or an empty one.
    """
    rows = csv.DictReader(io.StringIO(read_text(file), newline=""), strict=True)
    try:
        if missing := [column for column in COLUMNS if column not in (rows.fieldnames or ())]:
            raise ValueError(
                f"{file}: found the columns {', '.join(rows.fieldnames or ()) or 'none'}; expected also "
                f"{', '.join(missing)}: add them to the first line"
            )
        for row in rows:
            yield _row(row, file, rows.line_num)
    except csv.Error as error:
        raise ValueError(
            f"{file}: line {rows.reader.line_num} is no CSV ({error}); expected closed quotes: mend it"
        ) from error


def _row(row: Mapping[str | None, str | list[str] | None], file: Path, line: int) -> Row:
    if None in row or None in row.values():
        raise ValueError(
            f"{file}: line {line} has too {'many' if None in row else 'few'} cells; expected one for each column: put "
            "a sentence with commas in double quotes"
        )
    texts = {column: " ".join(str(row[column]).split()) for column in COLUMNS}
    if empty := [column for column in COLUMNS if not texts[column]]:
        raise ValueError(
            f"{file}: line {line} has nothing in {', '.join(empty)}; expected a text in every column: write it, or "
            "delete the line"
        )
    parts = {part: texts[part] for part in PARTS}
    return Row(line, texts["name"], ClassTexts(texts["definition"], texts["motion"], parts))
