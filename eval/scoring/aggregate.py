"""`--aggregate FILE ...`: the table of published score files, or of our own grades."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eval.results.aggregate import averages, metric_row, too_many_unscored
from eval.results.score_files import ScoreFile, read_scores_of
from eval.scoring.terminal import (
    TOO_MANY,
    interval,
    lines_under,
    mean_of,
    number,
    plain_table,
    print_table,
    write_result,
)

if TYPE_CHECKING:
    from rich.table import Table


def aggregate(files: Sequence[ScoreFile], out: Path | None) -> int:
    """Print mean x 20, interval and histogram of score files, and write OUT/aggregate.json.

    Returns 1 if more than 1 % of a metric are unscored, or if a run is unfinished.

    Raises:
        ValueError: a file holds no scores, or several do not fit together.
    """
    items, unfinished = read_scores_of(files)
    metrics = {name: metric_row(graded) for name, graded in items.items()}
    result: dict[str, Any] = {
        "files": [str(file.path) for file in files],
        "unfinished": unfinished,
        "metrics": metrics,
        **averages(metrics, items),
    }
    print_table(_table(result))
    for name, row in metrics.items():
        print(f"{name}: grades 0 to 5: {', '.join(map(str, row['histogram']))}")
    for line in lines_under(result):
        print(line)
    write_result(out, "aggregate.json", result)
    reasons = unfinished or ([TOO_MANY] if too_many_unscored(metrics.values()) else [])
    for reason in reasons:
        sys.stderr.write(f"{reason}\n")
    return int(bool(reasons))


def _table(result: Mapping[str, Any]) -> "Table":
    table = plain_table("metric", "score (0-100)", "95 % interval", "scored", "unscored as 0")
    for name, row in result["metrics"].items():
        scored = f"{row['n_scored']} of {row['n_total']}"
        table.add_row(name, mean_of(row), interval(row["interval"]), scored, number(row["mean_unscored_as_0"]))
    if result["metrics_run"] > 1:
        average = number(result["average_of_run"]), interval(result["average_interval"])
        table.add_row(f"average of {result['metrics_run']}", *average, "", "")
    return table
