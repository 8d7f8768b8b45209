"""The clips of a data set as a table, one clip a row, which processes share as a mapped file.

It comes from a CSV or Parquet file, or from names that a pattern takes apart, as NTU's S001C001P001R001A001.
"""

import contextlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet
from jaxtyping import Bool, Int

from ski_lvlm.datasets.conditions import Rule
from ski_lvlm.storage.clip_names import clip_name
from ski_lvlm.storage.digests import cache_folder, digest
from ski_lvlm.storage.files import atomic_path

NAMES = ("clips.csv", "clips.parquet")
_TEXTS = ("clip", "class", "video", "skeleton")
_NUMBERS = ("start", "end", "start_frame", "end_frame")
_MAPPED_FROM = 1 << 20  # bytes; smaller tables are read again in no time
_VERSION = 1
_ZEROS = r"(^|[^0-9])0+([0-9])"


def _without_folders(name: str) -> str:
    return clip_name(name).rpartition("/")[2]


# What a clip's name may be, tried one after the other: as it is, that of a file, that of a file in some folder.
SHORTENED: tuple[Callable[[str], str], ...] = (str, clip_name, _without_folders)


class ClipTable:
    """Rows of clips. `file` is its origin, for messages."""

    def __init__(self, table: pa.Table, *, file: str) -> None:
        self.file, self._table = file, table

    @classmethod
    def open(cls, folder: Path) -> "ClipTable | None":
        """Open the table in a folder, or return None where there is none.

        Raises:
            ValueError: two tables, no clips, no names, an empty or repeated name, or a clip that ends before it starts.
        """
        files = [folder / name for name in NAMES if (folder / name).is_file()]
        if len(files) > 1:
            raise ValueError(f"{folder}: holds {NAMES[0]} and {NAMES[1]}; keep one of them")
        return cls(_opened(files[0]), file=str(files[0])) if files else None

    @classmethod
    def from_names(cls, names: Sequence[str], *, pattern: str, example: str) -> "ClipTable":
        """Take names apart. The groups of `pattern` become columns. A name may be that of a file of the clip.

        Raises:
            ValueError: a name does not fit.
        """
        for shortened in SHORTENED:
            column = pa.array(map(shortened, names), pa.string())
            parts = pc.extract_regex(column, f"^(?:{pattern})$")
            if not parts.null_count:
                break
        else:
            number = pc.index(pc.is_valid(parts), False).as_py()
            such_as = f", such as {example}," if example else ""
            raise ValueError(
                f"{names[number]!r} is not a clip name of this data set; expected {pattern}{such_as} with or without "
                "an ending such as _rgb and an extension: rename the file"
            )
        fields = {field.name: _typed(field.name, pc.struct_field(parts, [field.name])) for field in parts.type}
        return cls(pa.table({"clip": column, **fields}), file="the clips' names")

    def __len__(self) -> int:
        return self._table.num_rows

    @property
    def columns(self) -> list[str]:
        """Names of the columns."""
        return list(self._table.column_names)

    @property
    def names(self) -> list[str]:
        """Names of the clips."""
        names: list[str] = self._table["clip"].to_pylist()
        return names

    def column(self, name: str) -> pa.ChunkedArray:
        """Return a column.

        Raises:
            ValueError: there is none of this name.
        """
        if name not in self._table.column_names:
            raise ValueError(f"{self.file}: no column {name!r}; it has {', '.join(self._table.column_names)}")
        return self._table[name]

    def rows(self, names: Iterable[str]) -> Int[np.ndarray, " names"]:
        """Return the row of each name, or -1. A name may be that of a file of the clip."""
        names = list(names)
        rows = np.full(len(names), -1, np.int64)
        for shortened in SHORTENED:
            absent = np.flatnonzero(rows < 0)
            if not len(absent):
                break
            short = pa.array([shortened(names[number]) for number in absent], pa.string())
            rows[absent] = np.asarray(pc.fill_null(pc.index_in(short, value_set=self._table["clip"]), -1))
        return rows

    def take(self, rows: Int[np.ndarray, " n"]) -> "ClipTable":
        """Return the table of some rows."""
        return ClipTable(self._table.take(pa.array(rows)), file=self.file)

    def value(self, row: int, column: str) -> str | int | float | None:
        """Return one value, or None where it is empty or there is no such column."""
        if column not in self._table.column_names:
            return None
        value: str | int | float | None = self._table[column][row].as_py()
        return value

    def holds(self, rule: Rule, *, place: str) -> Bool[np.ndarray, " clips"]:
        """Return for every clip whether a rule holds.

        Raises:
            ValueError: the rule does not fit the columns. The message begins with `place`, the rule's own.
        """
        mask = np.ones(len(self), bool)
        for name, condition in rule.conditions:
            try:
                mask &= condition.holds(self.column(name))
            except ValueError as error:
                problem = str(error) if str(error).startswith(self.file) else f"the column {name!r} {error}"
                raise ValueError(f"{place}: {problem}") from error
        return mask


def _typed(name: str, column: pa.Array) -> pa.Array:
    if name == "class":
        return pc.replace_substring_regex(column, _ZEROS, r"\1\2")
    try:
        return column.cast(pa.int64())
    except pa.ArrowInvalid:
        return column


def _opened(file: Path) -> pa.Table:
    """Read a table. A large one is mapped from a checked copy in the cache, so that processes share its memory."""
    status = file.stat()
    if status.st_size < _MAPPED_FROM:
        return _checked(_read(file), file)
    key = digest(file.resolve(), status.st_size, status.st_mtime_ns, _VERSION)
    copy = cache_folder() / "clips" / f"{key}.arrow"
    if not copy.is_file():
        table = _checked(_read(file), file)
        with contextlib.suppress(OSError), atomic_path(copy) as temporary:
            pyarrow.feather.write_feather(table, str(temporary), compression="uncompressed")
        if not copy.is_file():  # the cache cannot be written
            return table
    return pyarrow.feather.read_table(str(copy), memory_map=True)


def _read(file: Path) -> pa.Table:
    try:
        if file.suffix == ".parquet":
            return pyarrow.parquet.read_table(file)
        kinds = {name: pa.string() for name in _TEXTS} | {name: pa.float64() for name in _NUMBERS}
        options = pyarrow.csv.ConvertOptions(column_types=kinds, strings_can_be_null=True, null_values=[""])
        return pyarrow.csv.read_csv(file, convert_options=options)
    except (pa.ArrowInvalid, pa.ArrowKeyError, OSError) as error:
        raise ValueError(
            f"{file}: cannot be read as a table of clips ({error}); mend the line, or write it anew"
        ) from error


def _checked(table: pa.Table, file: Path) -> pa.Table:
    """Make sure that every row names a clip of its own, a class, and an end after its start."""
    if missing := [name for name in ("clip", "class") if name not in table.column_names]:
        raise ValueError(f"{file}: found the columns {', '.join(table.column_names)}; expected also {missing[0]!r}")
    if not table.num_rows:
        raise ValueError(f"{file}: holds no clip; write one a line under the line of column names")
    for name in ("clip", "class"):
        column = pc.fill_null(table[name].cast(pa.string()), "")
        _refuse(pc.equal(column, ""), file, f"no {name}; every line needs one")
        table = table.set_column(table.column_names.index(name), name, column)
    table = table.set_column(
        table.column_names.index("class"), "class", pc.replace_substring_regex(table["class"], _ZEROS, r"\1\2")
    )
    table = table.combine_chunks()
    first_rows = pc.index_in(table["clip"], value_set=table["clip"])
    is_repeated = pc.not_equal(first_rows, pa.array(np.arange(table.num_rows, dtype=np.int32)))
    _refuse(is_repeated, file, "a clip that an earlier line has too; give each clip a name of its own")
    for start, end in (("start", "end"), ("start_frame", "end_frame")):
        if {start, end} <= set(table.column_names):
            is_wrong = pc.fill_null(pc.less_equal(table[end], table[start]), False)
            _refuse(is_wrong, file, f"'{end}' not after '{start}'; expected both in the same unit, ascending")
    return table


def _refuse(is_wrong: pa.ChunkedArray, file: Path, problem: str) -> None:
    rows = np.flatnonzero(np.asarray(is_wrong))
    if len(rows):
        count = f" (and {len(rows) - 1} more)" if len(rows) > 1 else ""
        raise ValueError(f"{file}: line {rows[0] + 2}{count} has {problem}")
