"""`--compare A B`: two models on the same items."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eval.scoring.terminal import interval, number, p_value, plain_table, print_table, write_result

if TYPE_CHECKING:
    from rich.table import Table

_Fields = Mapping[str, Any]


def compare(a: Path, b: Path, out: Path | None) -> int:
    """Print the difference between A's and B's model, and write OUT/compare.json. Returns 0.

    Raises:
        ValueError: different judges, rubrics or items, or nothing to compare.
    """
    from eval.results.compare_runs import compare_runs

    result = compare_runs(a, b)
    print_table(_table(result))
    print(
        f"a: {a}\nb: {b}\nb - a in points of 100; 95 % paired bootstrap interval over videos; p: sign-flip permutations"
    )
    for metric, row in result["metrics"].items():
        print(f"{metric}: {_counts(row)}")
    for metric in result["only_in_one"]:
        print(f"{metric}: left out, graded in one of the two only")
    write_result(out, "compare.json", result)
    return 0


def _table(result: _Fields) -> "Table":
    table = plain_table("metric", "a", "b", "b - a", "95 % interval", "p", "pairs")
    for metric, row in result["metrics"].items():
        cells = (number(row["a"]), number(row["b"]), *_difference(row)) if row["pairs"] else ("",) * 5
        table.add_row(metric, *cells, str(row["pairs"]))
    table.add_row(f"average of {result['average']['metrics']}", "", "", *_difference(result["average"]))
    return table


def _counts(row: _Fields) -> str:
    if not row["pairs"]:
        return f"no pair, {row['left_out']} left out as unscored"
    better = f"b better on {row['wins']}, the same on {row['ties']}, worse on {row['losses']}"
    return f"{better}; {row['left_out']} left out as unscored"


def _difference(row: _Fields) -> tuple[str, str, str]:
    return f"{row['difference']:+.1f}", interval(row["interval"], sign="+"), p_value(row["p"])
