"""Accuracies and comparisons of choices on the terminal."""

from collections.abc import Mapping
from typing import Any

from eval.choosing.methods import METHODS, SHORT
from eval.scoring.terminal import interval, p_value, plain_table, print_table


def print_accuracies(result: Mapping[str, Any]) -> None:
    """Print the accuracies of a run in %, and the lines under them."""
    table = plain_table("choice by", "all", "95 %", "answered", "number", "positions")
    for name, row in result["methods"].items():
        ends = interval(row["interval"] and [100 * end for end in row["interval"]])
        shares = (percent(row["accuracy"]), ends, percent(row["accuracy_answered"]))
        table.add_row(SHORT[name], *shares, str(row["answered"]), p_value(row["p_uniform"]))
    print_table(table)
    total = max(row["answers"] for row in result["methods"].values())
    print(f"accuracies in % over all {total} and over what was answered, chance: {percent(result['chance'])} %")
    print("95 % bootstrap interval over videos, positions: p of choices that are blind to positions")
    for name, reason in result.get("not_measured", {}).items():
        print(f"{METHODS[name]}: not measured, {reason}")
    for name, row in result["methods"].items():
        if row["unparsed"]:
            print(f"{METHODS[name]}: {row['unparsed']} answers name no option. Over all, they count as wrong.")


def print_kinds(result: Mapping[str, Any]) -> None:
    """Print the accuracies by kind of question in %, by the first method that was measured."""
    if not result.get("kinds"):
        return
    method = next(iter(result["methods"]))
    table = plain_table("kind", "asked", "chance", SHORT[method], "95 %")
    for kind, row in result["kinds"].items():
        numbers = row["methods"][method]
        ends = interval(numbers["interval"] and [100 * end for end in numbers["interval"]])
        table.add_row(kind or "none", str(row["items"]), percent(row["chance"]), percent(numbers["accuracy"]), ends)
    print_table(table)


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
        table.add_row(SHORT[method], *points, interval(row["interval"], sign="+"), p_value(row["p"]))
    print_table(table)
    if result.get("kinds"):
        _print_kind_differences(result["kinds"])
    print(f"a: {result['a']}\nb: {result['b']}\nb - a in points of 100 on {result['items']} questions")
    print("95 % paired bootstrap interval over videos, p: sign-flip permutations")


def _print_kind_differences(kinds: Mapping[str, Any]) -> None:
    table = plain_table("kind", "a", "b", "b - a", "95 % interval", "p")
    for kind, methods in kinds.items():
        row = next(iter(methods.values()))
        points = (f"{row['a']:.1f}", f"{row['b']:.1f}", f"{row['difference']:+.1f}")
        table.add_row(kind, *points, interval(row["interval"], sign="+"), p_value(row["p"]))
    print_table(table)
