"""Progress of a long command: a bar on a terminal, and a line now and then where the output goes to a file or pipe."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_LINE_EVERY = 30.0  # seconds


@contextmanager
def progress_bar(title: str, *, total: int, completed: int = 0) -> Iterator[Callable[[int], None]]:
    """Yield a function that advances the progress by a number of clips. All output goes to stderr."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    last_line = time.monotonic()
    with Progress(*columns, console=console, disable=not (total and console.is_terminal)) as bars:
        task = bars.add_task(title, total=total, completed=completed)

        def advance(count: int) -> None:
            nonlocal completed, last_line
            completed += count
            bars.advance(task, count)
            now = time.monotonic()
            if not console.is_terminal and (now - last_line > _LINE_EVERY or completed == total):
                last_line = now
                console.print(f"{title}: {completed} of {total}", markup=False, highlight=False, soft_wrap=True)

        yield advance
