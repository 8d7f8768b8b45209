import io

from rich.console import Console
from rich.progress import Progress

from data_curation import terminal
from data_curation.terminal import Bars


def lines(monkeypatch, *, force_terminal, count=3):
    said = io.StringIO()
    clock = iter(range(0, 100_000, 61))
    monkeypatch.setattr(terminal.time, "monotonic", lambda: next(clock))
    console = Console(file=said, force_terminal=force_terminal, width=200)
    advance = Bars(Progress(console=console, get_time=lambda: 0.0)).track("crop", count)
    for _ in range(count):
        advance()
    return said.getvalue().splitlines()


def test_a_log_file_gets_a_line_a_minute_and_a_terminal_none(monkeypatch):
    assert [line.split(",")[0] for line in lines(monkeypatch, force_terminal=False)] == [
        "crop: 1 of 3",
        "crop: 2 of 3",
        "crop: 3 of 3",
    ]
    assert lines(monkeypatch, force_terminal=True) == []
