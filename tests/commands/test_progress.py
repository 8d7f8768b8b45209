import pytest

from ski_lvlm import cli
from ski_lvlm.cli import progress


def test_where_there_is_no_terminal_the_end_is_a_line(capsys):
    with progress("frames [1]", total=5, completed=2) as advance:
        advance(1)
        advance(2)
    assert capsys.readouterr().err == "frames [1]: 5 of 5\n"


def test_a_number_that_nobody_knows_beforehand_is_counted(monkeypatch, capsys):
    monkeypatch.setattr(cli, "_LINE_EVERY", 0.0)
    with progress("frames", total=None) as advance:
        advance(2)
    assert capsys.readouterr().err == "frames: 2\n"


@pytest.mark.parametrize(("every", "lines"), [(0.0, 3), (3600.0, 1)])
def test_and_now_and_then_there_is_a_line_on_the_way(monkeypatch, capsys, every, lines):
    monkeypatch.setattr(cli, "_LINE_EVERY", every)
    moments = iter(range(100))
    monkeypatch.setattr(cli.time, "monotonic", lambda: next(moments))
    with progress("frames", total=3) as advance:
        for _ in range(3):
            advance(1)
    assert len(capsys.readouterr().err.splitlines()) == lines


def test_nothing_to_do_says_nothing(capsys):
    with progress("frames", total=0):
        pass
    assert capsys.readouterr().err == ""
