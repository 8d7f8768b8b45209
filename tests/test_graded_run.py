"""Reading finished grades back: which grade counts, and files that are none."""

import json

import pytest

from eval.results.graded_run import GradesError, read_run
from tests.graded_case import JUDGE, grade, graded_items, write_run


def test_folder_table_and_ledger_name_the_same_run(tmp_path):
    folder = write_run(tmp_path, graded_items([1, 2]))
    runs = [read_run(path) for path in (folder, folder / "scores.json", folder / "judgements.jsonl")]
    assert runs[0].records == runs[1].records == runs[2].records
    assert runs[0].judge == {**JUDGE, "temperature": None, "max_tokens": None}
    assert [item.score for item in runs[0].items("correctness")] == [1, 2]


def test_the_last_grade_counts_also_one_that_takes_a_score_back(tmp_path):
    taken_back = grade("v_0", None)
    for records, score in (([taken_back, grade("v_0", 4)], 4), ([grade("v_0", 4), taken_back], None)):
        assert read_run(write_run(tmp_path, records)).graded(("correctness", "v_0")).score == score


def test_older_ledgers_are_read(tmp_path):
    older = {"id": "1", "metric": "detail", "key": "a_b_0", "score": 3.0, "reason": None, "prompt": "f00", **JUDGE}
    run = read_run(write_run(tmp_path, [older]))
    item = run.graded(("detail", "a_b_0"))
    assert (item.video, item.scores, run.fields(("detail", "a_b_0")), run.repeats) == ("a_b", (3.0,), {}, 1)


def test_repeats_and_the_metrics_in_the_tables_order(tmp_path):
    records = [grade("v_0", k, metric=m, repeat=k) for m in ("temporal", "detail") for k in (1, 0)]
    run = read_run(write_run(tmp_path, [*records, grade("w_0", 5, metric="detail", repeat=1)]))
    assert run.metrics == ["detail", "temporal"] and run.repeats == 2
    assert run.graded(("detail", "v_0")).scores == (0, 1)
    assert run.graded(("detail", "w_0")).scores == (None, 5)


def test_items_without_an_answer_stay_in_the_count(tmp_path):
    run = read_run(write_run(tmp_path, graded_items([2, 4]), totals={"correctness": 5}))
    items = run.items("correctness")
    assert len(items) == 5 and [item.score for item in items] == [2, 4, None, None, None]
    assert items[-1].reason == "no answer of the model in the predictions"


def test_only_the_tables_judge_counts_and_a_ledger_of_two_judges_is_refused(tmp_path):
    others = [grade("v0_0", 0, rubrics="r2"), grade("v9_0", 0, digest="d2")]
    folder = write_run(tmp_path, [*graded_items([5]), *others])
    assert list(read_run(folder).records) == [("correctness", "v0_0")]
    assert read_run(folder).graded(("correctness", "v0_0")).score == 5
    with pytest.raises(GradesError, match=r"differ in digest, rubrics; expected one judge"):
        read_run(folder / "judgements.jsonl")


@pytest.mark.parametrize(
    "broken",
    [
        {"score": 9},
        {"score": -1},
        {"score": "4"},
        {"score": True},
        {"score": float("nan")},
        {"key": None},
        {"metric": 1},
    ],
)
def test_what_is_no_grade_is_none(tmp_path, broken):
    folder = write_run(tmp_path, graded_items([5]))
    with (folder / "judgements.jsonl").open("a") as file:
        file.write(json.dumps({**grade("w_0", 1), **broken}) + "\n{torn")
    assert list(read_run(folder).records) == [("correctness", "v0_0")]


def test_files_that_hold_no_grades(tmp_path):
    with pytest.raises(GradesError, match="none does not exist; expected the --out folder"):
        read_run(tmp_path / "none")
    with pytest.raises(GradesError, match=r"holds no grades; expected those that eval/score\.py writes"):
        read_run(tmp_path)
    (tmp_path / "scores.json").write_text("{")
    with pytest.raises(GradesError, match="is no JSON"):
        read_run(tmp_path)
    (tmp_path / "scores.json").write_text("[]")
    with pytest.raises(GradesError, match="no table of metrics"):
        read_run(tmp_path / "scores.json")
