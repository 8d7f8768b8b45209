"""Scores on the terminal: tables, and the lines under them."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eval.judges.score_reading import EXPECTED
from eval.pages.score_report import judge_notes
from ski_lvlm.storage.files import write_json

if TYPE_CHECKING:
    from rich.table import Table

TOO_MANY = "more than 1 % of the grades of a metric are unscored: not a result"


def show_scores(scores: dict[str, Any]) -> None:
    """Print the table of `scores.json`, and the lines under it."""
    from rich.console import Console
    from rich.table import Table

    columns = ("metric", "score (0-100)", "95 % interval", "scored", "with unscored as 0")
    kind = ", expected scores" if scores.get("score_kind") == EXPECTED else ""
    table = Table(*columns, title=f"judge: {scores['judge']}{kind}")
    for row in _rows(scores):
        table.add_row(*row)
    console = Console()
    console.print(table)
    for line in lines_under(scores):
        console.print(line, markup=False, highlight=False)
    for note in judge_notes(scores):
        console.print(note, style="yellow", markup=False, highlight=False)


def _rows(scores: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    for name, metric in scores["metrics"].items():
        if metric["status"] != "run":
            yield name, "not run"
            continue
        scored = f"{metric['n_scored']} of {metric['n_total']}"
        yield (
            name,
            mean_of(metric),
            _short_interval(metric.get("interval")),
            scored,
            number(metric["mean_unscored_as_0"]),
        )
    ends = _short_interval(scores.get("average_interval"))
    if scores["average"] is not None:
        yield "average of the five", number(scores["average"]), ends
    elif scores["average_of_run"] is not None:
        yield f"average of the {scores['metrics_run']} run", number(scores["average_of_run"]), ends


def lines_under(scores: dict[str, Any]) -> Iterator[str]:
    """Yield the lines under a table of metrics: the reasons for missing grades, and further notes."""
    for name, metric in scores["metrics"].items():
        if metric["status"] != "run":
            yield f"{name}: {metric['reason']}"
        for reason, count in metric.get("unscored", {}).items():
            yield f"{name}: {count} unscored: {reason}"
        if metric.get("unscored_repeats"):
            yield f"{name}: {metric['unscored_repeats']} repeats of scored records have no score"
    if any(metric.get("spread") is not None for metric in scores["metrics"].values()):
        yield "±: standard deviation between the means of the repeats"
    for name, metric in (scores.get("reference_metrics") or {}).items():
        result = metric.get("reason") if metric["value"] is None else _reference(metric)
        yield f"{name}, without a judge: {result}"
    if scores.get("left_out"):
        yield f"left out of all metrics: {scores['left_out']} records that have neither a question nor an answer"
    if mass := scores.get("mass"):
        yield f"mass of the digits 0 to 5: {mass['mean']:.3f} on average, at least {mass['least']:.3f}"
    if scores.get("decimals"):
        yield f"{scores['decimals']} replies gave decimals where whole numbers were asked for; they are kept"


def _reference(metric: dict[str, Any]) -> str:
    ends = _short_interval(metric.get("interval"))
    return f"{metric['value']:.3f}" + (f" ({ends})" if ends else "") + f", {metric['n']} captions"


def mean_of(metric: Mapping[str, Any]) -> str:
    """Format a metric's mean, with the standard deviation of its repeats where there are any."""
    spread = metric.get("spread")
    return number(metric["mean"]) + (f" ± {spread:.1f}" if spread is not None else "")


def number(value: float | None) -> str:
    """Format a score from 0 to 100."""
    return "unscored" if value is None else f"{value:.1f}"


def _short_interval(ends: Sequence[float] | None) -> str:
    return "" if ends is None else f"{ends[0]:.3g} to {ends[1]:.3g}"


def interval(ends: Sequence[float] | None, *, sign: str = "") -> str:
    """Format an interval of scores or of differences."""
    return "none" if ends is None else f"{ends[0]:{sign}.1f} to {ends[1]:{sign}.1f}"


def p_value(value: float | None) -> str:
    """Format a p-value.

    >>> p_value(0.00019), p_value(0.0312), p_value(None)
    ('< 0.001', '0.031', 'none')
    """
    if value is None:
        return "none"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def plain_table(*columns: str) -> "Table":
    """Return an empty table that never wraps a cell."""
    from rich.box import SIMPLE
    from rich.table import Table

    table = Table(*columns, box=SIMPLE)
    for column in table.columns:
        column.no_wrap = True
    return table


def print_table(table: "Table") -> None:
    """Print a table."""
    from rich.console import Console

    Console().print(table)


def write_result(out: Path | None, name: str, result: dict[str, Any]) -> None:
    """Write OUT/NAME, if there is an OUT, and print its path."""
    if out is not None:
        write_json(out / name, result)
        print(f"written: {out / name}")
