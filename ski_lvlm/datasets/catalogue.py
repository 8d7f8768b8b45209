"""The catalogue: a data set by the name of a built-in one or by its folder, and the classes and parts of its clips.

A folder holds `dataset.json` (see `description`) and `clips.csv` or `clips.parquet` (see `clip_table`). Built-in are
`ntu60`, `ntu120`, `synthetic` and `synthetic48`, whose clips are known by their names.
"""

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Int

from ski_lvlm.datasets.action_classes import ActionClass, short_id
from ski_lvlm.datasets.clip_table import NAMES, ClipTable
from ski_lvlm.datasets.description import FILE, Description, Protocol, read_description
from ski_lvlm.storage.files import atomic_path
from ski_lvlm.storage.json_files import read_json
from ski_lvlm.storage.text_files import read_lines

Part = Literal["seen_train", "seen_test", "unseen_test", "unseen_all"]
DEFAULT_SPLIT = "ntu60/48-12"
_BUILT_IN = Path(__file__).parent / "descriptions"
BUILT_IN = tuple(sorted(folder.parent.name for folder in _BUILT_IN.glob(f"*/{FILE}")))


@dataclass(frozen=True)
class Split:
    """The seen classes, on which a zero-shot model is trained, and the unseen ones, both in the data set's order."""

    name: str
    dataset: str
    seen: tuple[str, ...]
    unseen: tuple[str, ...]


class DataSet:
    """A description and, except where names say everything, a table of clips.

    Attributes:
        folder: with the files that the table names. None for a built-in data set.
        sources: the data sets that it consists of, itself alone unless several were joined.
    """

    def __init__(self, description: Description, *, table: ClipTable | None = None, folder: Path | None = None) -> None:
        self.description, self.table, self.folder = description, table, folder
        self.sources: tuple[DataSet, ...] = (self,)
        self._numbers = {action.name: number for number, action in enumerate(description.classes)}
        # A table's classes have no leading zeros in their numbers (see `short_id`).
        self._by_text = {action.id: number for number, action in enumerate(description.classes)}
        self._by_text |= {short_id(name): number for name, number in self._numbers.items()}

    @property
    def name(self) -> str:
        """Name of the data set."""
        return self.description.name

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of all classes, in order."""
        return tuple(self._numbers)

    def action(self, name: str) -> ActionClass:
        """Return the class of this name or id.

        Raises:
            ValueError: there is none.
        """
        number = self._numbers.get(name)
        return self.description.class_named(name) if number is None else self.description.classes[number]

    def spellings(self, style: str, *, classes: Sequence[str]) -> list[str]:
        """Return the names of classes in one spelling. `canonical` is the data set's own.

        Raises:
            ValueError: no class has such a spelling, or one of `classes` has none.
        """
        if style == "canonical":
            return list(classes)
        styles = dict.fromkeys(style for action in self.description.classes for style in action.spellings)
        if style not in styles:
            expected = ", ".join(("canonical", *styles))
            raise ValueError(f"unknown spelling {style!r} of {self.name}'s class names; expected one of {expected}")
        names = {name: self.action(name).spellings.get(style, "") for name in classes}
        if unknown := [name for name, spelling in names.items() if not spelling]:
            raise ValueError(f"no {style!r} spelling is known of {', '.join(unknown)}; use 'canonical' names for these")
        return list(names.values())

    def entries(self, names: Sequence[str]) -> ClipTable:
        """Return the table of clips, in order.

        Raises:
            ValueError: a clip is not of the data set.
        """
        if self.table is None:
            pattern, example = self.description.clip_pattern, self.description.clip_example
            return ClipTable.from_names(names, pattern=pattern, example=example)
        rows = self.table.rows(names)
        if (rows < 0).any():
            absent = [name for name, row in zip(names, rows.tolist(), strict=True) if row < 0]
            raise ValueError(
                f"{self.table.file}: no line for {len(absent)} clips, such as {absent[0]!r}; add them, or leave the "
                "clips out"
            )
        return self.table.take(rows)

    def members(self, names: Iterable[str]) -> list[str]:
        """Return those of `names` that are in the table. Without a table, these are all."""
        names = list(names)
        if self.table is None:
            return names
        return [name for name, row in zip(names, self.table.rows(names).tolist(), strict=True) if row >= 0]

    def classes_of(self, names: Sequence[str]) -> list[str | None]:
        """Return the class of each clip, or None where it is not one of the data set's.

        Raises:
            ValueError: a clip is not of the data set.
        """
        classes = (*self.class_names, None)
        return [classes[number] for number in self.class_numbers(self.entries(names)).tolist()]

    def class_of(self, name: str) -> str:
        """Return the class of one clip.

        Raises:
            ValueError: the clip or its class is not of the data set.
        """
        (class_name,) = self.classes_of([name])
        if class_name is None:
            raise ValueError(f"the clip {name!r} shows none of the {len(self._numbers)} classes of {self.name}")
        return class_name

    def labels(self, names: Sequence[str], *, classes: Sequence[str]) -> list[int]:
        """Return each clip's class as an index into `classes`."""
        index = {name: number for number, name in enumerate(classes)}
        return [index[str(name)] for name in self.classes_of(names)]

    def clips(self, names: Iterable[str], *, split: Split, protocol: Protocol | None, part: Part) -> list[str]:
        """Return those of `names` that belong to one part of a split, in the given order.

        Without a protocol, no clip is for training, and all of them are for testing.

        Assumption: the paper does not say whether unseen classes are tested on the protocol's test clips
        (`unseen_test`, as in other papers) or on all of their clips (`unseen_all`). Both are offered.

        Raises:
            ValueError: the protocol does not fit the columns of the clips.
        """
        names = self.members(names)
        if not names:
            return []
        entries = self.entries(names)
        classes = split.seen if part.startswith("seen") else split.unseen
        is_chosen = np.isin(self.class_numbers(entries), [self._numbers[name] for name in classes])
        if part != "unseen_all":
            is_chosen &= self._is_in(entries, protocol, is_training=part == "seen_train")
        return [name for name, is_member in zip(names, is_chosen.tolist(), strict=True) if is_member]

    def is_train(self, names: Sequence[str], protocol: Protocol) -> list[bool]:
        """Return for every clip whether the protocol trains on it."""
        flags: list[bool] = self._is_in(self.entries(names), protocol, is_training=True).tolist()
        return flags

    def _is_in(self, entries: ClipTable, protocol: Protocol | None, *, is_training: bool) -> np.ndarray:
        if protocol is None:
            return np.full(len(entries), not is_training)
        place = f"{self.description.file}: protocols.{protocol.name}"
        if is_training:
            is_member = entries.holds(protocol.train, place=f"{place}.train")
        elif protocol.test:
            is_member = entries.holds(protocol.test, place=f"{place}.test")
        else:
            is_member = ~entries.holds(protocol.train, place=f"{place}.train")
        if protocol.classes:
            is_member &= np.isin(self.class_numbers(entries), [self._numbers[name] for name in protocol.classes])
        return is_member

    def class_numbers(self, entries: ClipTable) -> Int[np.ndarray, " clips"]:
        """Return the number of each clip's class, or -1."""
        encoded = entries.column("class").combine_chunks().dictionary_encode()
        by_text = self._by_text
        numbers = np.array([by_text.get(text, -1) for text in encoded.dictionary.to_pylist()], dtype=np.int64)
        return numbers[np.asarray(encoded.indices)] if len(numbers) else np.zeros(0, np.int64)

    def protocol(self, name: str = "") -> Protocol | None:
        """Return the protocol of this name, by default the first one, or None where there is none.

        Raises:
            ValueError: the data set has no such protocol.
        """
        protocols = self.description.protocols
        if name and name not in protocols:
            raise ValueError(
                f"unknown protocol {name!r} of {self.name}; "
                + (f"expected one of {', '.join(protocols)}" if protocols else f"{self.description.file} has none")
            )
        return protocols[name] if name else next(iter(protocols.values()), None)

    def has_division(self, name: str, protocol: Protocol) -> bool:
        """Return whether the protocol called `name` divides clips as `protocol` does."""
        other = self.description.protocols.get(name)
        return other is not None and (other.train, other.test) == (protocol.train, protocol.test)

    def split(self, text: str = "") -> Split:
        """Return a split by its name, from a file of unseen classes, or from a list of them with commas.

        `all` and an empty text mean that every class is seen.

        Raises:
            ValueError: it is none of these.
        """
        splits = self.description.splits
        key = text.removeprefix(f"{self.name}/")
        if text == self.name and "default" in splits:
            key = "default"
        if key in splits:
            name = self.name if key == "default" else f"{self.name}/{key}"
            return self._split(name, splits[key]["unseen"], splits[key].get("seen"))
        if text in ("", "all", self.name):
            return self._split(text or "all", ())
        if Path(text).is_file():
            return self._split(text, self._named(_classes_in(Path(text)), text))
        if "," in text or text in self._numbers:
            return self._split(text, self._named(text.split(","), "--split"))
        names = ", ".join(self.name if key == "default" else f"{self.name}/{key}" for key in splits)
        raise ValueError(
            f"unknown split {text!r} of {self.name}; expected {f'one of {names}, ' if names else ''}all, a file of "
            "unseen classes, or a list of them with commas"
        )

    def _named(self, texts: Iterable[str], place: str) -> tuple[str, ...]:
        try:
            return tuple(self.action(text.strip()).name for text in texts)
        except ValueError as error:
            raise ValueError(f"{place}: {error}") from error

    def _split(self, name: str, unseen: Sequence[str], listed: Sequence[str] | None = None) -> Split:
        seen_classes = [c for c in self.class_names if c not in unseen] if listed is None else list(listed)
        if common := sorted(set(seen_classes) & set(unseen)):
            raise ValueError(f"{self.description.file}: the split {name} has {common[0]!r} both as seen and as unseen")
        if len(unseen) == 1:
            raise ValueError(
                f"the split {name} has one unseen class, {unseen[0]!r}, among which there is nothing to recognise; "
                "expected none, or two and more"
            )
        order = self._numbers.__getitem__
        return Split(name, self.name, tuple(sorted(seen_classes, key=order)), tuple(sorted(unseen, key=order)))


def _classes_in(file: Path) -> list[str]:
    """Return the unseen classes that a file lists: one a line, or JSON, a list or an object with `unseen`."""
    if file.suffix.lower() != ".json":
        return [line.strip() for line in read_lines(file) if line.strip()]
    content = read_json(file)
    classes = content.get("unseen") if isinstance(content, dict) else content
    if not isinstance(classes, list) or not classes:
        raise ValueError(f'{file}: expected a list of unseen classes, or {{"unseen": [...]}}')
    return [str(text) for text in classes]


def is_data_set(folder: Path | str) -> bool:
    """Return whether a folder holds the description of a data set."""
    return (Path(folder) / FILE).is_file()


def open_data_set(data: str | Path) -> DataSet:
    """Open a built-in data set by its name, or anybody's by its folder.

    Raises:
        ValueError: neither, or the folder's description or table is not as expected.
    """
    if str(data) in BUILT_IN:
        return _built_in(str(data))
    folder = Path(data)
    if not folder.is_dir():
        raise ValueError(
            f"--data {data}: neither a data set that is built in ({', '.join(BUILT_IN)}) nor a folder with {FILE}"
        )
    description = read_description(folder)
    table = ClipTable.open(folder)
    if table is None and not description.clip_pattern:
        raise ValueError(
            f"{folder}: no table of clips ({' or '.join(NAMES)}), and {FILE} has no clip_pattern; write one with the "
            "columns clip and class, and video or skeleton"
        )
    data_set = DataSet(description, table=table, folder=folder)
    if table is not None:
        _check_classes(data_set, table)
    return data_set


def copy_description(name: str, folder: Path) -> None:
    """Copy the description of a built-in data set into a folder, which then is a data set by itself."""
    for file in (_BUILT_IN / name).iterdir():
        with atomic_path(folder / file.name) as temporary:
            shutil.copyfile(file, temporary)


@cache
def _built_in(name: str) -> DataSet:
    return DataSet(read_description(_BUILT_IN / name))


def _check_classes(data: DataSet, table: ClipTable) -> None:
    """Make sure that every class of the table is described."""
    rows = np.flatnonzero(data.class_numbers(table) < 0)
    if len(rows):
        raise ValueError(
            f"{table.file}: line {rows[0] + 2} has the class {table.value(int(rows[0]), 'class')!r}, which "
            f"{data.description.file} does not list; correct the line, or add the class"
        )
