"""What the three commands on finished grades print and write."""

import json
import re

import pytest

from eval.results.score_files import score_file
from eval.results.score_json import GradesError
from eval.scoring.aggregate import aggregate as aggregate_files
from eval.scoring.agreement import agreement
from eval.scoring.compare import compare
from eval.scoring.flags import arguments
from tests.cases.graded_case import grade, graded_items, write_run


@pytest.fixture(autouse=True)
def terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")


def rows(printed):
    """The cells of a printed table, by their first one."""
    lines = [re.split(r" {2,}", line.strip()) for line in printed.splitlines() if line.startswith("  ")]
    return {cells[0]: cells[1:] for cells in lines}


def aggregate(*files, out=None):
    return aggregate_files([score_file(str(file)) for file in files], out)


def published(path, *scores):
    path.write_text(json.dumps({f"v{n}_0": [{"score": score}, {"q": "?"}] for n, score in enumerate(scores)}))
    return path


def test_compare_prints_and_writes(tmp_path, capsys):
    a = write_run(tmp_path / "a", [*graded_items([1] * 9 + [None]), *graded_items([2] * 10, metric="detail")])
    b = write_run(tmp_path / "b", graded_items([2] * 10))
    assert compare(a, b, tmp_path / "out") == 0
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
    assert compare(a, b, None) == 0
    assert sorted(tmp_path.rglob("*")) == before
    assert rows(capsys.readouterr().out)["correctness"][2:5] == ["+20.0", "none", "none"], "a single video"


def test_agreement_prints_each_metric_and_all(tmp_path, capsys):
    a = write_run(tmp_path / "a", [*graded_items([0, 1, 2]), *graded_items([4, 4, 4], metric="detail")])
    b = write_run(tmp_path / "b", [*graded_items([0, 1, 1]), *graded_items([4, 4, 4], metric="detail")])
    assert agreement(a, b) == 0
    found = rows(capsys.readouterr().out)
    assert found["correctness"] == ["3", "0.67", "0.87", "67 %", "100 %", "-0.33"]
    assert found["detail"] == ["3", "none", "none", "100 %", "100 %", "+0.00"] and found["all"][0] == "6"


def test_agreement_of_repeats(tmp_path, capsys):
    records = [grade(f"v{n}_0", n % 6, repeat=k) for n in range(12) for k in range(3)]
    run = write_run(tmp_path, records)
    assert agreement(run, run, tmp_path / "out") == 0
    assert json.loads((tmp_path / "out" / "agreement.json").read_text())["repeats"] is True
    printed = capsys.readouterr().out
    assert rows(printed)["all"][:2] == ["36", "1.00"] and "a, b: each two repeats of" in printed


def test_aggregate_of_a_published_file(tmp_path, capsys):
    path = published(tmp_path / "test-corr.json", 0, 5, "4", "x")
    assert aggregate(path, out=tmp_path) == 1  # one of four is unscored: not a result
    printed = capsys.readouterr().out
    score, interval, scored, as_0 = rows(printed)["all"]
    assert (score, scored, as_0) == ("60.0", "3 of 4", "45.0") and " to " in interval
    assert "all: grades 0 to 5: 1, 0, 0, 0, 1, 1" in printed
    assert "all: 1 unscored: no number from 0 to 5" in printed
    assert json.loads((tmp_path / "aggregate.json").read_text())["metrics"]["all"]["mean"] == pytest.approx(60)


@pytest.mark.parametrize("name", ["", "judgements.jsonl", "scores.json"])
def test_aggregate_of_our_own_grades(tmp_path, capsys, name):
    records = [*graded_items([1, None]), *graded_items([5, 5], metric="detail")]
    run = write_run(tmp_path, records, unanswered=["w0_0", "w1_0"])  # two items have no answer, and so no grade
    assert aggregate(run / name, out=tmp_path / "out") == 1
    found = rows(capsys.readouterr().out)
    assert found["correctness"][:4] == ["20.0", "none", "1 of 4", "5.0"]
    written = json.loads((tmp_path / "out" / "aggregate.json").read_text())
    assert (written["average"], written["average_of_run"]) == (None, 60.0)
    assert found["detail"][:3] == ["100.0", "100.0 to 100.0", "2 of 2"]


def test_aggregate_says_of_repeats_what_scoring_says(tmp_path, capsys):
    """Two replies of 300 without a score are less than 1 %, if each repeat counts as a grade."""
    scores = {(n, k): None if (n, k) in ((0, 0), (1, 2)) else k + 1 for n in range(100) for k in range(3)}
    run = write_run(tmp_path, [grade(f"v{n}_0", score, repeat=k) for (n, k), score in scores.items()])
    assert aggregate(run, out=tmp_path) == 0
    printed = capsys.readouterr()
    assert "correctness: 2 repeats of scored records have no score" in printed.out and not printed.err
    row = json.loads((tmp_path / "aggregate.json").read_text())["metrics"]["correctness"]
    assert row["repeats"] == 3 and f"40.0 ± {row['spread']:.1f}" in printed.out


def test_aggregate_says_why_it_is_no_result(tmp_path, capsys):
    assert aggregate(published(tmp_path / "p.json", 3, None)) == 1
    assert "more than 1 % of the grades of a metric are unscored" in capsys.readouterr().err


def test_published_files_of_the_five_metrics_make_the_paper_s_average(tmp_path, capsys):
    names = ("detailed_orientation", "Correctness-v1", "context", "temporal", "5_consistency")
    files = [published(tmp_path / f"{name}.json", level, level) for level, name in enumerate(names, start=1)]
    assert aggregate(*files, out=tmp_path) == 0
    written = json.loads((tmp_path / "aggregate.json").read_text())
    assert list(written["metrics"]) == ["correctness", "detail", "context", "temporal", "consistency"]
    assert (written["average"], written["metrics"]["correctness"]["mean"]) == (60, 40)
    assert rows(capsys.readouterr().out)["average of 5"][:2] == ["60.0", "60.0 to 60.0"]


def test_files_that_do_not_fit_together_are_refused(tmp_path):
    a, b = published(tmp_path / "a.json", 1), published(tmp_path / "context.json", 2)
    with pytest.raises(GradesError, match=r"which metric is .*a\.json of\? Say METRIC=.*a\.json"):
        aggregate(a, b)
    with pytest.raises(GradesError, match=r"context\.json is the second with context"):
        aggregate(f"context={a}", b)
    one = write_run(tmp_path / "one", graded_items([1]))
    other = write_run(tmp_path / "other", graded_items([1], metric="detail", rubrics="r2"), rubrics="r2")
    with pytest.raises(GradesError, match="cannot be compared"):
        aggregate(one, other)
    with pytest.raises(GradesError, match="has no temporal; it has correctness"):
        aggregate(f"temporal={one}")


def test_own_runs_of_different_files_make_one_table(tmp_path, capsys):
    one = write_run(tmp_path / "one", [*graded_items([1, 1]), *graded_items([0, 0], metric="temporal")])
    other = write_run(tmp_path / "other", graded_items([2, 2], metric="temporal"))
    assert aggregate(f"correctness={one}", other) == 0
    found = rows(capsys.readouterr().out)
    assert (found["correctness"][0], found["temporal"][0]) == ("20.0", "40.0")


@pytest.mark.parametrize("name", ["scores.json", "grades.jsonl"])
def test_a_published_file_is_known_by_what_it_holds(tmp_path, capsys, name):
    assert aggregate(published(tmp_path / name, 3, 5)) == 0
    assert rows(capsys.readouterr().out)["all"][0] == "80.0"


def test_agreement_tells_what_only_one_of_the_two_scored(tmp_path, capsys):
    a = write_run(tmp_path / "a", [*graded_items([0, 1, None]), *graded_items([4], metric="detail")])
    b = write_run(tmp_path / "b", graded_items([0, None, 1, 5]))
    assert agreement(a, b, tmp_path) == 0
    printed = capsys.readouterr().out
    assert "correctness: 3 left out, only one of the two has a score" in printed and "detail: 1 left out" in printed
    assert json.loads((tmp_path / "agreement.json").read_text())["scored_by_one"] == {"correctness": 3, "detail": 1}


@pytest.mark.parametrize("command", [["--compare", "a", "b"], ["--aggregate", "a"]])
@pytest.mark.parametrize(
    "unused", [["--predictions", "p.json"], ["--repeats=2"], ["--judge", "llama3.1"], ["--metrics", "detail"]]
)
def test_flags_of_grading_are_refused_where_nobody_grades(capsys, command, unused):
    with pytest.raises(SystemExit):
        arguments([*command, *unused], description="")
    assert f"does not use {unused[0].partition('=')[0]}" in capsys.readouterr().err
    assert arguments([*command, "--out", "o"], description="").out.name == "o"


def test_a_name_before_a_file_that_is_no_metric_is_named(tmp_path):
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(GradesError, match="'foo' is no metric; expected one of correctness"):
        score_file(f"foo={tmp_path / 'x.json'}")
