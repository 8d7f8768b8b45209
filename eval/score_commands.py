"""What `eval/score.py` does with finished grades: compare two models, see how two judges agree, add up a score file."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eval.results.aggregate import averages, metric_row, too_many_unscored
from eval.results.score_files import ScoreFile, read_scores_of
from eval.score_table import TOO_MANY, lines_under, mean_of
from ski_lvlm.storage.files import write_json

if TYPE_CHECKING:
    from rich.table import Table

Row = Mapping[str, Any]


def compare(a: Path, b: Path, out: Path | None) -> int:
    """Print how B's model differs from A's on the same items, and write OUT/compare.json; returns 0.

    Raises:
        GradesError: different judges, rubrics or items, or nothing to compare.
        OSError: the file cannot be written.
    """
    from eval.results.compare_runs import compare_runs

    found = compare_runs(a, b)
    _print(_comparison(found))
    print(
        f"a: {a}\nb: {b}\nb - a in points of 100; 95 % paired bootstrap interval over videos; p: sign-flip permutations"
    )
    for metric, row in found["metrics"].items():
        print(f"{metric}: {_counts(row)}")
    for metric in found["only_in_one"]:
        print(f"{metric}: left out, graded in one of the two only")
    _write(out, "compare.json", found)
    return 0


def _comparison(found: Row) -> "Table":
    table = _table("metric", "a", "b", "b - a", "95 % interval", "p", "pairs")
    for metric, row in found["metrics"].items():
        cells = (_number(row["a"]), _number(row["b"]), *_difference(row)) if row["pairs"] else ("",) * 5
        table.add_row(metric, *cells, str(row["pairs"]))
    table.add_row(f"average of {found['average']['metrics']}", "", "", *_difference(found["average"]))
    return table


def _counts(row: Row) -> str:
    if not row["pairs"]:
        return f"no pair, {row['left_out']} left out as unscored"
    better = f"b better on {row['wins']}, the same on {row['ties']}, worse on {row['losses']}"
    return f"{better}; {row['left_out']} left out as unscored"


def agreement(a: Path, b: Path, out: Path | None = None) -> int:
    """Print how the judges of A and B, or the repeats of one folder given twice, agree; write OUT/agreement.json.

    Returns 0.

    Raises:
        GradesError: other answers, no item in common, or a single repeat.
        OSError: the file cannot be written.
    """
    from eval.results.agreement import agreement_of

    found = agreement_of(a, b)
    shown = _table("metric", "pairs", "kappa", "Spearman", "same", "within 1", "b - a")
    for name, row in [*found["metrics"].items(), ("all", found["overall"])]:
        cells = (
            _coefficient(row["kappa"]),
            _coefficient(row["spearman"]),
            _share(row["exact"]),
            _share(row["within_one"]),
        )
        shown.add_row(name, str(row["pairs"]), *cells, f"{row['difference']:+.2f}")
    _print(shown)
    for metric, count in found["scored_by_one"].items():
        why = "some repeats have no score" if found["repeats"] else "only one of the two has a score"
        print(f"{metric}: {count} left out, {why}")
    print(f"a, b: each two repeats of {a}" if found["repeats"] else f"a: {a}\nb: {b}")
    print("kappa: quadratically weighted; within 1, b - a: in points of 0 to 5")
    _write(out, "agreement.json", found)
    return 0


def aggregate(files: Sequence[ScoreFile], out: Path | None) -> int:
    """Print mean x 20, interval and histogram of score files of others or of our own grades; write OUT/aggregate.json.

    Returns 1 if more than 1 % of a metric are unscored, or a run is unfinished.

    Raises:
        GradesError: a file holds no scores, or several do not fit together.
        OSError: one cannot be read, or the result not be written.
    """
    items, unfinished = read_scores_of(files)
    metrics = {name: metric_row(graded) for name, graded in items.items()}
    found: dict[str, Any] = {
        "files": [str(file.path) for file in files],
        "unfinished": unfinished,
        "metrics": metrics,
        **averages(metrics, items),
    }
    _print(_aggregated(found))
    for name, row in found["metrics"].items():
        print(f"{name}: grades 0 to 5: {', '.join(map(str, row['histogram']))}")
    for line in lines_under(found):
        print(line)
    _write(out, "aggregate.json", found)
    reasons = unfinished or ([TOO_MANY] if too_many_unscored(found["metrics"].values()) else [])
    for reason in reasons:
        sys.stderr.write(f"{reason}\n")
    return int(bool(reasons))


def _aggregated(found: Row) -> "Table":
    shown = _table("metric", "score (0-100)", "95 % interval", "scored", "unscored as 0")
    for name, row in found["metrics"].items():
        scored = f"{row['n_scored']} of {row['n_total']}"
        shown.add_row(name, mean_of(row), _interval(row["interval"]), scored, _number(row["mean_unscored_as_0"]))
    if found["metrics_run"] > 1:
        average = _number(found["average_of_run"]), _interval(found["average_interval"])
        shown.add_row(f"average of {found['metrics_run']}", *average, "", "")
    return shown


def _table(*columns: str) -> "Table":
    from rich.box import SIMPLE
    from rich.table import Table

    table = Table(*columns, box=SIMPLE)
    for column in table.columns:
        column.no_wrap = True
    return table


def _print(table: "Table") -> None:
    from rich.console import Console

    Console().print(table)


def _write(out: Path | None, name: str, found: dict[str, Any]) -> None:
    if out is not None:
        write_json(out / name, found)
        print(f"written: {out / name}")


def _difference(row: Row) -> tuple[str, str, str]:
    return f"{row['difference']:+.1f}", _interval(row["interval"], sign="+"), _p(row["p"])


def _p(value: float | None) -> str:
    """A p-value in words.

    >>> _p(0.00019), _p(0.0312), _p(None)
    ('< 0.001', '0.031', 'none')
    """
    if value is None:
        return "none"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _interval(ends: Sequence[float] | None, *, sign: str = "") -> str:
    return "none" if ends is None else f"{ends[0]:{sign}.1f} to {ends[1]:{sign}.1f}"


def _number(value: float | None) -> str:
    return "unscored" if value is None else f"{value:.1f}"


def _coefficient(value: float | None) -> str:
    return "none" if value is None else f"{value:.2f}"


def _share(value: float) -> str:
    return f"{100 * value:.0f} %"
