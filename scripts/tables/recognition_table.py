"""Recognition tables: evaluations read, verdicts, and the table as Markdown and JSON."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, harmonic_mean
from typing import Any

from scripts.tables.markdown import NOTHING, empty_rows, grid, span, with_spread
from scripts.tables.methods import Recogniser, SkeletonText
from scripts.tables.recognition_plan import RecognitionPlan, replicates
from scripts.tables.results import Number, Results, Training, verdict_of
from scripts.tables.rows import Row, Table, heading
from scripts.tables.scales import Scale

ENOUGH_CLASSES = 8  # fewer say too little of classes in general to call one row better
LEGEND = (
    "Ours: top-1 on the unseen classes in percent, mean over trainings ± their standard deviation (number of "
    "trainings). 95 %: bootstrap interval over classes."
)
ALL_SPLITS = "all splits"  # heading of the column of several splits together
ON_SHIFT_GCN = "Rows of skeleton-text methods stand on a frozen Shift-GCN, as published for SynSE, SMIE and STAR."
ON_HYPERFORMER = (
    'Rows of skeleton-text methods stand on our frozen Hyperformer ("SynSE on our Hyperformer"). The published numbers '
    "beside them stand on Shift-GCN."
)
TOY = "The synthetic set is a toy in miniature: its numbers say whether everything runs, and nothing about NTU."


def read_training(path: Path) -> Training:
    """Read the numbers of a `zero_shot.json`, whose shares become percent."""
    result = json.loads(path.read_text(encoding="utf-8"))
    scores = result.get("unseen") or result["seen"]  # the latter of a closed-set test
    per_class = {name: 100 * share for name, share in scores["per_class"].items() if share is not None}
    return Training(100 * scores["top1"], per_class, 100 * scores["chance"])


def collect(
    table: Table[Recogniser], *, plan: RecognitionPlan, columns: Sequence[str], seeds: Mapping[str, int]
) -> Results:
    """Read the finished evaluations of up to `seeds` trainings of each row.

    Several splits of one's own data set have a column more, of all of them together.
    """
    trainings: dict[tuple[str, str], dict[int, Training]] = {}
    reasons: dict[tuple[str, str], str] = {}
    for row, column in ((row, column) for row in table.rows for column in columns):
        for replicate in replicates(column, seeds[row.name]):
            step = plan.evaluation(row, replicate)
            if isinstance(step, str):
                reasons[row.name, column] = step
            elif step.is_finished():
                training = read_training(step.folder / step.product)
                trainings.setdefault((row.name, column), {})[replicate.seed] = training
            else:
                reasons[row.name, column] = "not run"
    data_set_columns = [column for column in columns if column not in table.columns]
    if len(data_set_columns) < 2:
        return Results(table, tuple(columns), trainings, verdict, reasons=reasons)
    for row in table.rows:
        if joined := together({column: trainings.get((row.name, column), {}) for column in data_set_columns}):
            trainings[row.name, ALL_SPLITS] = joined
    return Results(table, (*columns, ALL_SPLITS), trainings, verdict, reasons=reasons)


def together(of_columns: Mapping[str, Mapping[int, Training]]) -> dict[int, Training]:
    """Return by seed the trainings of all splits as one, with the classes of all. Each split weighs the same."""
    seeds = set.intersection(*(set(trainings) for trainings in of_columns.values()))
    joined = {}
    for seed in sorted(seeds):
        parts = {column: trainings[seed] for column, trainings in of_columns.items()}
        joined[seed] = Training(
            fmean(part.mean for part in parts.values()),
            {f"{column}: {name}": value for column, part in parts.items() for name, value in part.values.items()},
            fmean(part.chance for part in parts.values()),
        )
    return joined


def verdict(points: Number, baseline: Number) -> str:
    """Judge a difference by its interval over classes.

    There is no conclusion where the baseline does not beat chance: whatever is above it may be so by accident.
    """
    if points.interval is None or baseline.interval is None or points.groups < ENOUGH_CLASSES:
        return f"no conclusion: {points.groups} classes"
    if not baseline.is_above_chance:
        return (
            f"no conclusion: baseline {baseline.mean:.1f}, from {baseline.interval[0]:.1f}; "
            f"chance {baseline.chance:.1f}"
        )
    return verdict_of([points.interval])


def our_mean(row: Row[Recogniser], results: Results) -> float | None:
    """Return the harmonic mean over all columns of the table, as the paper prints it."""
    numbers = [results.number(row, column) for column in results.table.columns]
    means = [cell.mean for cell in numbers if cell]
    return harmonic_mean(means) if len(means) == len(numbers) else None


def markdown(results: Results, *, toy: bool, notes: Sequence[str] = ()) -> str:
    """Write the table with its legend and notes, and the comparisons below it."""
    table = results.table
    parts = [
        f"## {table.caption}",
        grid(_headings(results), [_line(row, results) for row in table.rows], words=len(table.labels)),
        LEGEND,
    ]
    chances = [f"{heading(column)} {chance:.1f}" for column, chance in _chances(results).items()]
    parts += [f"Chance: {', '.join(chances)}."] if chances else []
    parts += [TOY] if toy else []
    parts += notes
    parts += empty_rows(results)
    if comparisons := results.comparisons():
        titles = ["Row", "minus", "column", "verdict", "points", "95 %", "pairs of classes"]
        lines = [
            [
                *(c.row, c.baseline, heading(c.column), c.verdict),
                *(f"{c.points.mean:+.1f}", span(c.points.interval), str(c.points.values)),
            ]
            for c in comparisons
        ]
        parts.append(grid(titles, lines, words=4))
    parts += [table.note] if table.note else []
    return "\n\n".join(parts) + "\n"


def encoder_notes(table: Table[Recogniser], scale: Scale) -> list[str]:
    """Return on which encoder the rows of skeleton-text methods stand, where the scale decides it."""
    methods = (row.method for row in table.rows)
    if not any(isinstance(method, SkeletonText) and method.encoder is None for method in methods):
        return []
    return [ON_SHIFT_GCN if scale.skeleton_text_encoder == "shift_gcn" else ON_HYPERFORMER]


def _chances(results: Results) -> dict[str, float]:
    """Return chance by column, as the first row that has a number tells it."""
    chances: dict[str, float] = {}
    for (_, column), trainings in results.trainings.items():
        chances.setdefault(column, fmean(training.chance for training in trainings.values()))
    return {column: chances[column] for column in results.columns if column in chances}


def _headings(results: Results) -> list[str]:
    table = results.table
    cells = list(table.labels)
    for split in table.columns:
        cells += [f"{heading(split)} paper"] if table.has_published else []
        cells += _our_headings(split) if split in results.columns else []
    if table.has_mean:
        cells += ["Harmonic Mean paper", *(["ours"] if _has_all_columns(results) else [])]
    return cells + [cell for c in results.columns if c not in table.columns for cell in _our_headings(c)]


def _our_headings(column: str) -> list[str]:
    return [f"{heading(column)} ours", "95 %"]


def _has_all_columns(results: Results) -> bool:
    return set(results.table.columns) <= set(results.columns)


def _line(row: Row[Recogniser], results: Results) -> list[str]:
    cells = list(row.cells)
    for split, published in zip(results.table.columns, row.published, strict=True):
        cells += [_number(published)] if results.table.has_published else []
        cells += _ours(row, results, split) if split in results.columns else []
    if results.table.has_mean:
        cells += [_number(row.mean), *([_number(our_mean(row, results))] if _has_all_columns(results) else [])]
    extra = (column for column in results.columns if column not in results.table.columns)
    return cells + [cell for column in extra for cell in _ours(row, results, column)]


def _ours(row: Row[Recogniser], results: Results, column: str) -> list[str]:
    cell = results.number(row, column)
    if cell is None:
        return [NOTHING, ""]
    return [f"{with_spread(cell)} ({len(cell.per_training)})", span(cell.interval)]


def _number(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.1f}"


def as_json(results: Results) -> dict[str, Any]:
    """Return everything that the Markdown shows, and each training's own number."""
    return {
        "table": results.table.name,
        "caption": results.table.caption,
        "columns": list(results.columns),
        "rows": [_row_json(row, results) for row in results.table.rows],
        "comparisons": [
            {
                "row": c.row,
                "baseline": c.baseline,
                "column": c.column,
                "difference": c.points.mean,
                "interval": c.points.interval,
                "pairs": c.points.values,
                "verdict": c.verdict,
            }
            for c in results.comparisons()
        ],
    }


def _row_json(row: Row[Recogniser], results: Results) -> dict[str, Any]:
    numbers = {column: results.number(row, column) for column in results.columns}
    return {
        "name": row.name,
        "cells": list(row.cells),
        "published": dict(zip(results.table.columns, row.published, strict=True)),
        "published_harmonic_mean": row.mean,
        "ours": {
            column: {**_number_json(cell), "per_class": results.per_class(row, column)}
            for column, cell in numbers.items()
            if cell
        },
        "harmonic_mean": our_mean(row, results),
        "empty": {column: reason for (name, column), reason in results.reasons.items() if name == row.name},
    }


def _number_json(cell: Number) -> dict[str, Any]:
    return {
        "mean": cell.mean,
        "spread": cell.spread,
        "count": len(cell.per_training),
        "interval": cell.interval,
        "chance": cell.chance,
        "per_seed": cell.per_training,
    }
