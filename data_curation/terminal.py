"""Progress bars and tables of a curation run on the terminal."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from data_curation.ledger import Record
from data_curation.results.report_costs import spending
from data_curation.results.report_counts import StepCount

_A_MINUTE = 60.0  # seconds


class Bars:
    """Progress on the terminal, one bar a step, and lines between them."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def track(self, title: str, total: int) -> Callable[[], object]:
        """Add a bar, and return a function to call once per clip.

        Without a terminal it prints a line a minute.
        """
        task = self._progress.add_task(title, total=total)
        last = time.monotonic()

        def advance() -> None:
            nonlocal last
            self._progress.advance(task)
            if not self._progress.console.is_terminal and time.monotonic() - last > _A_MINUTE:
                last = time.monotonic()
                bar = self._progress.tasks[task]
                remaining = "" if bar.time_remaining is None else f", about {bar.time_remaining / 60:.0f} minutes left"
                self.say(f"{title}: {bar.completed:.0f} of {total}{remaining}")

        return advance

    def say(self, line: object) -> None:
        """Print a line above the bars."""
        self._progress.console.print(str(line), markup=False, highlight=False, soft_wrap=True)


@contextmanager
def progress() -> Iterator[Bars]:
    """Show bars while the context lasts."""
    columns = (TextColumn("{task.description:16}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn()) as bars:
        yield Bars(bars)


def print_counts(counts: Sequence[StepCount], spent: Sequence[Record], *, title: str, lines: Sequence[str]) -> None:
    """Print tables of the clips at each step and of the spending, then some lines."""
    console = Console()
    table = Table("step", "in", "done", "rejected", "failed", title=title)
    for count in counts:
        table.add_row(count.step, *map(str, (count.entered, count.done, count.rejected, count.failed)))
    console.print(table)
    if spent:
        money = Table(
            "step", "model", "requests", "tokens in", "tokens out", "dollars", title="asked of language models"
        )
        for row in spending(spent):
            cells = (row.step, row.model, row.requests, row.prompt_tokens, row.completion_tokens, row.price)
            money.add_row(*map(str, cells))
        console.print(money)
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
