"""Tables of the paper as data: rows as printed, the published numbers, and the method behind ours."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

Method = TypeVar("Method")

YES, NO, TRAINING_ONLY = "✓", "✗", "○"
NTU_SPLITS = ("ntu60/55-5", "ntu60/48-12", "ntu120/110-10", "ntu120/96-24")
V_T, T_S, V_T_S = (YES, YES, NO), (NO, YES, YES), (YES, YES, YES)
SKI = (YES, YES, TRAINING_ONLY)  # "skeleton features were used only during training"


@dataclass(frozen=True)
class Row(Generic[Method]):
    """One line of a table, or one model.

    `cells` and `published` are as printed, with one published number for each column. `mean` is the printed harmonic
    mean. `against` names the rows that this one is compared with. A `repeated` row is trained more than once
    by default on the synthetic set.
    """

    cells: tuple[str, ...]
    published: tuple[float | None, ...]
    method: Method
    modality: Literal["video", "skeleton", "both"] = "video"
    mean: float | None = None
    against: tuple[str, ...] = ()
    repeated: bool = False

    @property
    def name(self) -> str:
        """The row's words without its marks."""
        return " ".join(cell for cell in self.cells if cell not in ("", YES, NO, TRAINING_ONLY))


@dataclass(frozen=True)
class Table(Generic[Method]):
    """A table of the paper: caption, headings, one column of numbers for each split or metric, and rows.

    Every other row is compared with the row called `reference`, if there is one. `note` is Markdown that is printed
    below.
    """

    name: str
    caption: str
    labels: tuple[str, ...]
    columns: tuple[str, ...]
    rows: tuple[Row[Method], ...]
    reference: str | None = None
    note: str = ""

    @property
    def has_published(self) -> bool:
        """Return whether the paper has a number in any cell."""
        return any(value is not None for row in self.rows for value in row.published)

    @property
    def has_mean(self) -> bool:
        """Return whether the paper prints a harmonic mean."""
        return any(row.mean is not None for row in self.rows)

    def row(self, name: str) -> Row[Method]:
        """Return the row called `name`."""
        return next(row for row in self.rows if row.name == name)

    def matching(self, substrings: Sequence[str]) -> list[Row[Method]]:
        """Return the rows whose name contains one of several texts, in any case.

        Raises:
            ValueError: a text is in no name.
        """
        names = [row.name.lower() for row in self.rows]
        for substring in substrings:
            if not any(substring.lower() in name for name in names):
                rows = "; ".join(row.name for row in self.rows)
                raise ValueError(f"found --rows {substring!r}, which is in the name of no row; the rows are {rows}")
        lowered = [substring.lower() for substring in substrings]
        return [row for row, name in zip(self.rows, names, strict=True) if any(part in name for part in lowered)]

    def comparisons(self) -> list[tuple[Row[Method], Row[Method]]]:
        """Return the pairs of a row and its baseline."""
        pairs = [(row, self.row(name)) for row in self.rows for name in row.against]
        if self.reference:
            pairs += [(row, self.row(self.reference)) for row in self.rows if row.name != self.reference]
        return pairs


def heading(split: str) -> str:
    """Return a split as the paper's tables head its column.

    >>> heading("ntu60/48-12"), heading("synthetic")
    ('NTU60 48/12', 'synthetic')
    """
    dataset, _, classes = split.partition("/")
    return f"{dataset.upper()} {classes.replace('-', '/')}" if classes else dataset
