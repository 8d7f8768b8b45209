"""Markdown of all tables: grids, numbers with intervals, and the reasons for empty rows."""

from collections.abc import Iterable, Sequence

from scripts.tables.results import Number, Results
from ski_lvlm.recognition.intervals import Interval

NOTHING = "–"


def grid(head: Sequence[str], rows: Iterable[Sequence[str]], *, words: int) -> str:
    """Return a Markdown table whose first `words` columns are text, the others numbers."""
    rule = ["---"] * words + ["---:"] * (len(head) - words)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [head, rule, *rows])


def with_spread(cell: Number) -> str:
    """Return a mean with the standard deviation of its trainings, if there are several."""
    return f"{cell.mean:.1f}" + (f" ± {cell.spread:.1f}" if cell.spread is not None else "")


def span(interval: Interval | None) -> str:
    """Return an interval in words.

    >>> span((1.0, 2.25)), span(None)
    ('1.0 to 2.2', '–')
    """
    return "{:.1f} to {:.1f}".format(*interval) if interval else NOTHING


def empty_rows(results: Results) -> list[str]:
    """Return why rows have no number of ours, in one line for each reason."""
    rows: dict[str, dict[str, None]] = {}
    for (name, column), reason in results.reasons.items():
        if (name, column) not in results.trainings:
            rows.setdefault(reason, {})[name] = None
    return [f"{NOTHING} {'; '.join(names)}: {reason}." for reason, names in rows.items()]
