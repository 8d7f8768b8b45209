"""A table as Markdown, the published number beside ours, and as JSON."""

import dataclasses
from collections.abc import Iterable
from typing import Any

from scripts.tables.results import Number, Results
from scripts.tables.rows import NotBuilt, Row, heading
from ski_lvlm.recognition.intervals import Interval

NOTHING = "–"
LEGEND = (
    "Ours: top-1 on the unseen classes in percent, mean over trainings ± their standard deviation (number of "
    "trainings). 95 %: bootstrap interval over classes and their trainings."
)
TOY = "The synthetic set is a toy in miniature: its numbers say whether everything runs, and nothing about NTU."


def markdown(results: Results, *, toy: bool) -> str:
    """The table with its legend, and the comparisons below it."""
    head, *rows = [_headings(results), *(_line(row, results) for row in results.table.rows)]
    parts = [f"## {results.table.caption}", grid(head, rows, left=len(results.table.labels)), LEGEND]
    chances = {column: cell.chance for column in results.columns if (cell := _any(results, column))}
    if chances:
        parts.append("Chance: " + ", ".join(f"{heading(c)} {value:.1f}" for c, value in chances.items()) + ".")
    parts += [TOY] if toy else []
    parts += _empty(results)
    comparisons = [
        [c.row, c.baseline, heading(c.column), c.verdict, f"{c.difference:+.1f}", _range(c.interval), str(c.pairs)]
        for c in results.comparisons()
    ]
    if comparisons:
        titles = ["Row", "minus", "column", "verdict", "points", "95 %", "pairs of classes"]
        parts.append(grid(titles, comparisons, left=4))
    return "\n\n".join(parts) + "\n"


def _headings(results: Results) -> list[str]:
    table = results.table
    cells = list(table.labels)
    for split in table.splits:
        cells.append(f"{heading(split)} paper")
        cells += _ours(split) if split in results.columns else []
    if table.has_mean:
        cells += ["Harmonic Mean paper", *(["ours"] if _has_our_mean(results) else [])]
    return cells + [cell for c in results.columns if c not in table.splits for cell in _ours(c)]


def _ours(column: str) -> list[str]:
    return [f"{heading(column)} ours", "95 %"]


def _has_our_mean(results: Results) -> bool:
    return set(results.table.splits) <= set(results.columns)


def _line(row: Row, results: Results) -> list[str]:
    cells = list(row.cells)
    for split, published in zip(results.table.splits, row.published, strict=True):
        cells.append(_number(published))
        cells += _measured(row, results, split) if split in results.columns else []
    if results.table.has_mean:
        cells += [_number(row.mean), *([_number(results.mean(row))] if _has_our_mean(results) else [])]
    others = (column for column in results.columns if column not in results.table.splits)
    return cells + [cell for column in others for cell in _measured(row, results, column)]


def _measured(row: Row, results: Results, column: str) -> list[str]:
    cell = results.number(row, column)
    if cell is None:
        return [NOTHING, ""]
    spread = f" ± {cell.spread:.1f}" if cell.spread is not None else ""
    return [f"{cell.mean:.1f}{spread} ({cell.count})", _range(cell.interval)]


def _number(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.1f}"


def _range(interval: Interval | None) -> str:
    return "{:.1f} to {:.1f}".format(*interval) if interval else NOTHING


def _any(results: Results, column: str) -> Number | None:
    return next((cell for row in results.table.rows if (cell := results.number(row, column))), None)


def _empty(results: Results) -> list[str]:
    """Why rows have no number of ours, in one line for each reason."""
    rows: dict[str, list[str]] = {}
    for (name, column), reason in results.reasons.items():
        if (name, column) not in results.scores and name not in rows.get(reason, []):
            rows.setdefault(reason, []).append(name)
    return [f"{NOTHING} {', '.join(names)}: {reason}." for reason, names in rows.items()]


def grid(head: list[str], rows: Iterable[list[str]], *, left: int) -> str:
    """A Markdown table whose first `left` columns are words, the others numbers."""
    rule = ["---"] * left + ["---:"] * (len(head) - left)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [head, rule, *rows])


def as_json(results: Results) -> dict[str, Any]:
    """Everything the Markdown shows, and each training's own number."""
    return {
        "table": results.table.name,
        "caption": results.table.caption,
        "columns": list(results.columns),
        "rows": [_row_json(row, results) for row in results.table.rows],
        "comparisons": [dataclasses.asdict(c) for c in results.comparisons()],
    }


def _row_json(row: Row, results: Results) -> dict[str, Any]:
    numbers = {column: results.number(row, column) for column in results.columns}
    return {
        "name": row.name,
        "cells": list(row.cells),
        "published": dict(zip(results.table.splits, row.published, strict=True)),
        "published_harmonic_mean": row.mean,
        "built": not isinstance(row.made, NotBuilt),
        "ours": {column: dataclasses.asdict(cell) for column, cell in numbers.items() if cell},
        "harmonic_mean": results.mean(row),
        "empty": {column: reason for (name, column), reason in results.reasons.items() if name == row.name},
    }
