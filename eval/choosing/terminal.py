"""Accuracies and comparisons of choices on the terminal."""

from collections.abc import Mapping
from typing import Any

from eval.choosing.methods import METHODS
from eval.scoring.terminal import interval, p_value, plain_table, print_table


def print_accuracies(result: Mapping[str, Any]) -> None:
    """Print the accuracies of a run in %, and the lines under them."""
    table = plain_table(
        "choice by", "over all", "95 %", "over answered", "answered", "imbalance", "p, blind to position"
    )
    for name, row in result["methods"].items():
        ends = row["interval"] and [100 * end for end in row["interval"]]
        cells = (percent(row["accuracy"]), interval(ends), percent(row["accuracy_answered"]))
        counts = f"{row['answered']} of {row['answers']}"
        table.add_row(METHODS[name], *cells, counts, percent(row["imbalance"]), p_value(row["p_uniform"]))
    print_table(table)
    print(f"chance: {percent(result['chance'])} %. Intervals are over videos.")
    for name, row in result["methods"].items():
        if row["unparsed"]:
            print(f"{METHODS[name]}: {row['unparsed']} answers name no option. Over all, they count as wrong.")


def percent(share: float | None) -> str:
    """Format a share.

    >>> percent(0.25), percent(None)
    ('25.0', 'none')
    """
    return "none" if share is None else f"{100 * share:.1f}"


def print_comparison(result: Mapping[str, Any]) -> None:
    """Print the table of a comparison."""
    table = plain_table("choice by", "a", "b", "b - a", "95 % interval", "p")
    for method, row in result["methods"].items():
        points = (f"{row['a']:.1f}", f"{row['b']:.1f}", f"{row['difference']:+.1f}")
        table.add_row(METHODS[method], *points, interval(row["interval"], sign="+"), p_value(row["p"]))
    print_table(table)
    print(f"a: {result['a']}\nb: {result['b']}\nb - a in points of 100 on {result['items']} questions")
    print("95 % paired bootstrap interval over videos, p: sign-flip permutations")
