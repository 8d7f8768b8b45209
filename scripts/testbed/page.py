"""The results of the testbed as Markdown and JSON."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from scripts.tables.markdown import empty_rows, grid, span, with_spread
from scripts.tables.results import Results, over_trainings
from scripts.testbed.hypotheses import Outcome

LEGEND = (
    "Numbers are percent: the mean over trainings ± their standard deviation. Intervals are 95 %: over {unit} by "
    "bootstrap with all of their trainings, and over trainings by Student's t. A difference is better or worse only if "
    "both intervals say so."
)


def markdown(results: Results, outcomes: Sequence[Outcome], *, unit: str = "classes") -> str:
    """Write the hypotheses with their outcomes, the series, and their differences. `unit` is what intervals draw."""
    parts = ["# Evidence", LEGEND.format(unit=unit)]
    if outcomes:
        lines = [[one.key, one.claim, one.measured, one.verdict] for one in outcomes]
        parts.append(grid(["", "hypothesis", "measured", "verdict"], lines, words=4))
    for measure in results.columns:
        if rows := _series_rows(results, measure):
            head = ["series", measure, f"over {unit}", "trainings", unit, "chance"]
            parts += [f"## {measure}", grid(head, rows, words=1)]
        if comparisons := results.comparisons([measure]):
            lines = [
                [
                    *(c.row, c.baseline, c.verdict, f"{c.points.mean:+.1f}", span(c.points.interval)),
                    *(span(over_trainings(c.points.per_training)), str(len(c.points.per_training))),
                ]
                for c in comparisons
            ]
            head = ["series", "minus", "verdict", "points", f"over {unit}", "over trainings", "trainings"]
            parts.append(grid(head, lines, words=3))
    parts += empty_rows(results)
    return "\n\n".join(parts) + "\n"


def _series_rows(results: Results, measure: str) -> list[list[str]]:
    rows = []
    for row in results.table.rows:
        if cell := results.number(row, measure):
            chance = f"{cell.chance:.1f}" if cell.chance else ""
            counts = [str(len(cell.per_training)), str(cell.groups)]
            rows.append([row.name, with_spread(cell), span(cell.interval), *counts, chance])
    return rows


def as_json(results: Results, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return everything that the Markdown shows, with each training's number and each class's mean."""
    return {
        "outcomes": [asdict(outcome) for outcome in outcomes],
        "series": {
            row.name: {
                measure: {"per_training": list(cell.per_training), "per_class": results.per_class(row, measure)}
                for measure in results.columns
                if (cell := results.number(row, measure))
            }
            for row in results.table.rows
        },
        "differences": [
            {
                "series": c.row,
                "minus": c.baseline,
                "measure": c.column,
                "points": c.points.mean,
                "over_classes": c.points.interval,
                "over_trainings": over_trainings(c.points.per_training),
                "verdict": c.verdict,
            }
            for c in results.comparisons()
        ],
    }
