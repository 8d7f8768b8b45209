"""What the three commands on finished grades print and write."""

import json
import re

import pytest

from eval import score_commands
from tests.graded_case import grade, graded_items, write_run


@pytest.fixture(autouse=True)
def terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")


def rows(printed):
    """The cells of a printed table, by their first one."""
    lines = [re.split(r" {2,}", line.strip()) for line in printed.splitlines() if line.startswith("  ")]
    return {cells[0]: cells[1:] for cells in lines}


def test_compare_prints_and_writes(tmp_path, capsys):
    a = write_run(tmp_path / "a", [*graded_items([1] * 9 + [None]), *graded_items([2] * 10, metric="detail")])
    b = write_run(tmp_path / "b", graded_items([2] * 10))
    assert score_commands.compare(a, b, tmp_path / "out") == 0
    printed = capsys.readouterr().out
    difference = ["20.0", "40.0", "+20.0", "+20.0 to +20.0"]
    assert rows(printed)["correctness"] == [*difference, "0.004", "9"]
    assert "correctness: b better on 9, the same on 0, worse on 0; 1 left out as unscored" in printed
    assert "detail: left out, graded in one of the two only" in printed
    found = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert found["metrics"]["correctness"]["wins"] == 9 and found["judge"]["judge"] == "ollama:llama3.1"


def test_compare_without_out_writes_nothing(tmp_path, capsys):
    a, b = (write_run(tmp_path / name, graded_items([score])) for name, score in (("a", 1), ("b", 2)))
    before = sorted(tmp_path.rglob("*"))
    assert score_commands.compare(a, b, None) == 0
    assert sorted(tmp_path.rglob("*")) == before
    assert rows(capsys.readouterr().out)["correctness"][2:5] == ["+20.0", "none", "none"], "a single video"


def test_agreement_prints_each_metric_and_all(tmp_path, capsys):
    a = write_run(tmp_path / "a", [*graded_items([0, 1, 2]), *graded_items([4, 4, 4], metric="detail")])
    b = write_run(tmp_path / "b", [*graded_items([0, 1, 1]), *graded_items([4, 4, 4], metric="detail")])
    assert score_commands.agreement(a, b) == 0
    found = rows(capsys.readouterr().out)
    assert found["correctness"] == ["3", "0.67", "0.87", "67 %", "100 %", "-0.33"]
    assert found["detail"] == ["3", "none", "none", "100 %", "100 %", "+0.00"] and found["all"][0] == "6"


def test_agreement_of_repeats(tmp_path, capsys):
    records = [grade(f"v{n}_0", n % 6, repeat=k) for n in range(12) for k in range(3)]
    run = write_run(tmp_path, records)
    assert score_commands.agreement(run, run, tmp_path / "out") == 0
    assert json.loads((tmp_path / "out" / "agreement.json").read_text())["repeats"] is True
    printed = capsys.readouterr().out
    assert rows(printed)["all"][:2] == ["36", "1.00"] and "a, b: each two repeats of" in printed


def test_aggregate_of_a_published_file(tmp_path, capsys):
    path = tmp_path / "test-corr.json"
    path.write_text(json.dumps({f"v{n}_0": [{"score": s}, {"q": "?"}] for n, s in enumerate([0, 5, "4", "x"])}))
    assert score_commands.aggregate(path, tmp_path) == 1  # one of four is unscored: not a result
    printed = capsys.readouterr().out
    score, interval, scored, as_0 = rows(printed)["all"]
    assert (score, scored, as_0) == ("60.0", "3 of 4", "45.0") and " to " in interval
    assert "all: grades 0 to 5: 1, 0, 0, 0, 1, 1" in printed
    assert "all: 1 unscored: no number from 0 to 5" in printed
    assert json.loads((tmp_path / "aggregate.json").read_text())["metrics"]["all"]["mean"] == pytest.approx(60)


@pytest.mark.parametrize("name", ["", "judgements.jsonl", "scores.json"])
def test_aggregate_of_our_own_grades(tmp_path, capsys, name):
    records = [*graded_items([1, None]), *graded_items([5, 5], metric="detail")]
    run = write_run(tmp_path, records, totals={"correctness": 4})  # two items have no answer, and so no grade
    assert score_commands.aggregate(run / name, tmp_path / "out") == 1
    found = rows(capsys.readouterr().out)
    assert found["correctness"][:4] == ["20.0", "none", "1 of 4", "5.0"]
    written = json.loads((tmp_path / "out" / "aggregate.json").read_text())
    assert (written["average"], written["average_of_run"]) == (None, 60.0)
    assert found["detail"][:3] == ["100.0", "100.0 to 100.0", "2 of 2"]
