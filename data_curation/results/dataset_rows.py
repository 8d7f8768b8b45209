"""One row of the published data set, and the types of its columns."""

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import pyarrow as pa

Value = str | int | float | None


class DatasetRow(NamedTuple):
    """One question with its answer.

    In test splits the answer is the reference, and there are two wordings for consistency. `subject` is as the clips'
    data set has it, `action` the number in the class's id, both None where there is none. `columns` are the others that
    it has of a recording, such as camera. Questions hold no placeholders.
    """

    id: str
    clip: str
    subject: Value
    action: int | None
    action_name: str | None
    kind: str
    question: str
    answer: str
    caption: str
    has_skeleton: bool
    question_1: str | None = None
    question_2: str | None = None
    columns: Mapping[str, Value] = {}  # noqa: RUF012 (never changed)

    def record(self) -> dict[str, Value]:
        """Return all values by column."""
        return {**self.columns, **{name: getattr(self, name) for name in FIELDS}}


FIELDS = tuple(name for name in DatasetRow._fields if name != "columns")
_OPTIONAL = ("subject", "action", "action_name", "question_1", "question_2")


def action_number(class_id: str) -> int | None:
    """Return the number at the end of an id, or None without one.

    >>> action_number("A57"), action_number("12"), action_number("swipe_left"), action_number("3b")
    (57, 12, None, None)
    """
    match = re.fullmatch(r"[^0-9]*([0-9]{1,9})", class_id)
    return int(match[1]) if match else None


def row_schema(rows: Iterable[DatasetRow]) -> "pa.Schema":
    """Return names and types of the columns of these rows, which may be those of several files."""
    import pyarrow as pa

    rows = list(rows)
    columns = dict.fromkeys(name for row in rows for name in row.columns if name not in FIELDS)
    types = {"action": pa.int32(), "has_skeleton": pa.bool_()}
    types["subject"] = _type((row.subject for row in rows), whole=pa.int32())
    fixed = [pa.field(name, types.get(name, pa.string()), name in _OPTIONAL) for name in FIELDS]
    optional = [pa.field(name, _type((row.columns.get(name) for row in rows), whole=pa.int64())) for name in columns]
    return pa.schema([*fixed, *optional])


def _type(values: Iterable[Value], *, whole: "pa.DataType") -> "pa.DataType":
    import pyarrow as pa

    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int}:
        return whole
    return pa.float64() if kinds <= {int, float} else pa.string()


def as_table(rows: Iterable[DatasetRow], schema: "pa.Schema") -> "pa.Table":
    """Return rows as a table of this schema. Numbers become text where the column has text."""
    import pyarrow as pa

    texts = {field.name for field in schema if pa.types.is_string(field.type)}
    records = [
        {name: str(v) if name in texts and v is not None else v for name, v in row.record().items()} for row in rows
    ]
    return pa.Table.from_pylist(records, schema=schema)
