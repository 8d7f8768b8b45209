"""The scores as a table on the terminal."""

from collections.abc import Iterator, Sequence
from typing import Any

TOO_MANY = "more than 1 % of the grades of a metric are unscored: not a result"


def show(table: dict[str, Any]) -> None:
    """Print the table of `scores.json`, and under it why what is missing is missing."""
    from rich.console import Console
    from rich.table import Table

    columns = ("metric", "score (0-100)", "95 % interval", "scored", "with unscored as 0")
    shown = Table(*columns, title=f"judge: {table['judge']}")
    for row in _rows(table):
        shown.add_row(*row)
    console = Console()
    console.print(shown)
    for line in lines_under(table):
        console.print(line, markup=False, highlight=False)
    if table["note"]:
        console.print(table["note"], style="yellow")


def _rows(table: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    for name, metric in table["metrics"].items():
        if metric["status"] != "run":
            yield name, "not run"
            continue
        scored = f"{metric['n_scored']} of {metric['n_total']}"
        yield name, mean_of(metric), _interval(metric.get("interval")), scored, _number(metric["mean_unscored_as_0"])
    interval = _interval(table.get("average_interval"))
    if table["average"] is not None:
        yield "average of the five", _number(table["average"]), interval
    elif table["average_of_run"] is not None:
        yield f"average of the {table['metrics_run']} run", _number(table["average_of_run"]), interval


def lines_under(table: dict[str, Any]) -> Iterator[str]:
    """What is to be said under a table of metrics: why what is missing is missing, and what else a reader must know."""
    for name, metric in table["metrics"].items():
        if metric["status"] != "run":
            yield f"{name}: {metric['reason']}"
        for why, count in metric.get("unscored", {}).items():
            yield f"{name}: {count} unscored: {why}"
        if metric.get("unscored_repeats"):
            yield f"{name}: {metric['unscored_repeats']} repeats of scored records have no score"
    if any(metric.get("spread") is not None for metric in table["metrics"].values()):
        yield "±: standard deviation between the means of the repeats"
    for name, metric in (table.get("reference_metrics") or {}).items():
        told = metric.get("reason") if metric["value"] is None else _reference(metric)
        yield f"{name}, without a judge: {told}"
    if table.get("left_out"):
        yield f"left out of all metrics: {table['left_out']} records that have neither a question nor an answer"
    if table.get("decimals"):
        yield f"{table['decimals']} replies gave decimals where whole numbers were asked for; they are kept as they are"


def _reference(metric: dict[str, Any]) -> str:
    interval = _interval(metric.get("interval"))
    return f"{metric['value']:.3f}" + (f" ({interval})" if interval else "") + f", {metric['n']} captions"


def mean_of(metric: dict[str, Any]) -> str:
    """A metric's mean, with the spread of its repeats where there are any."""
    spread = metric.get("spread")
    return _number(metric["mean"]) + (f" ± {spread:.1f}" if spread is not None else "")


def _number(value: float | None) -> str:
    return "unscored" if value is None else f"{value:.1f}"


def _interval(ends: Sequence[float] | None) -> str:
    return "" if ends is None else f"{ends[0]:.3g} to {ends[1]:.3g}"
