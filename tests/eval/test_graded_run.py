"""Reading finished grades back: which grade counts, and files that are none."""

import json

import pytest

from eval.items.predictions import NO_ANSWER, Task
from eval.results.aggregate import Graded
from eval.results.graded_run import finished_run, how_far, is_run, read_run
from eval.results.score_json import GradesError
from ski_lvlm.storage.files import read_jsonl
from tests.cases.graded_case import JUDGE, begin_plan, grade, graded_items, write_run


def test_folder_table_and_ledger_name_the_same_run(tmp_path):
    folder = write_run(tmp_path, graded_items([1, 2]))
    runs = [read_run(path) for path in (folder, folder / "scores.json", folder / "judgements.jsonl")]
    assert runs[0].records == runs[1].records == runs[2].records
    assert runs[0].judge == {**JUDGE, "temperature": None, "max_tokens": None, "server": None, "score_kind": None}
    assert [item.score for item in runs[0].items("correctness")] == [1, 2]


def test_the_last_grade_counts_also_one_that_takes_a_score_back(tmp_path):
    taken_back = grade("v_0", None)
    for records, score in (([taken_back, grade("v_0", 4)], 4), ([grade("v_0", 4), taken_back], None)):
        assert read_run(write_run(tmp_path, records)).graded(("correctness", "v_0")).score == score


def test_repeats_and_the_metrics_in_the_tables_order(tmp_path):
    records = [grade("v_0", k, metric=m, repeat=k) for m in ("temporal", "detail") for k in (1, 0)]
    run = read_run(write_run(tmp_path, [*records, grade("w_0", 5, metric="detail", repeat=1)]))
    assert run.metrics == ["detail", "temporal"] and run.repeats == 2
    assert run.graded(("detail", "v_0")).scores == (0, 1)
    assert run.graded(("detail", "w_0")).scores == (None, 5)


def test_items_without_an_answer_stay_in_the_count(tmp_path):
    items = read_run(write_run(tmp_path, graded_items([2, 4]), unanswered=["w_0"])).items("correctness")
    assert [(item.score, item.reason) for item in items] == [(2, None), (4, None), (None, NO_ANSWER)]


def test_only_the_weights_of_the_table_count_and_a_ledger_of_two_is_refused(tmp_path):
    folder = write_run(
        tmp_path, [*graded_items([0], rubrics="r2"), *graded_items([0], digest="d2"), *graded_items([5])]
    )
    assert read_run(folder).graded(("correctness", "v0_0")).score == 5
    with (folder / "judgements.jsonl").open("a") as file:
        file.write(json.dumps(grade("v0_0", 1, digest="d2")) + "\n")
    assert read_run(folder).graded(("correctness", "v0_0")).score == 5
    write_run(tmp_path, [*graded_items([5, 5]), grade("v1_0", 0, digest="d2")])
    with pytest.raises(GradesError, match=r"differ in digest; expected one judge"):
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
    with pytest.raises(GradesError, match=r"plan\.json does not exist; expected the --out folder of eval/score\.py"):
        read_run(tmp_path)
    (tmp_path / "scores.json").write_text("{")
    with pytest.raises(GradesError, match="is no JSON"):
        read_run(tmp_path)
    for content in ("[]", '{"metrics": {"correctness": 5}}', '{"metrics": []}'):
        (tmp_path / "scores.json").write_text(content)
        with pytest.raises(GradesError, match="no table of metrics"):
            read_run(tmp_path)


def test_a_ledger_nested_too_deeply_is_said_in_a_line(tmp_path):
    run = write_run(tmp_path, graded_items([2]))
    (run / "judgements.jsonl").write_text("[" * 100_000)
    with pytest.raises(GradesError, match="nested too deeply"):
        read_run(tmp_path)


def test_files_are_known_by_what_they_hold(tmp_path):
    run = write_run(tmp_path, graded_items([2, 4]))
    (run / "scores.json").rename(run / "table.txt")
    (run / "judgements.jsonl").rename(run / "grades")
    assert is_run(run / "table.txt") and is_run(run / "grades")
    assert [item.score for item in read_run(run / "grades").items("correctness")] == [2, 4]
    (run / "scores.json").write_text('{"v_0": [{"score": 3}]}')
    assert not is_run(run / "scores.json")


def plan(run, unanswered=(), **settings):
    """The plan of the grades that a folder holds."""
    records = read_jsonl(run / "judgements.jsonl")
    tasks = [Task(r["metric"], r["key"], r["fields"]) for r in records]
    tasks += [Task("correctness", key, None, NO_ANSWER) for key in unanswered]
    begin_plan(run, tasks, **settings)


def test_a_run_that_was_stopped_is_unfinished_and_its_items_are_known(tmp_path):
    run = write_run(tmp_path, graded_items([2, 4, 5], seed=0))
    (run / "scores.json").unlink()
    plan(run, unanswered=["u_0"])
    assert finished_run(run).items("correctness")[0] == Graded("u", (None,), NO_ANSWER)
    lines = (run / "judgements.jsonl").read_text().splitlines(keepends=True)
    (run / "judgements.jsonl").write_text("".join(lines[:1]))
    found = read_run(run)
    assert found.unfinished == "unfinished: 1 of 3 grades; run the same command again to resume" == how_far(run)
    assert [(i.video, i.score, i.reason) for i in found.items("correctness")] == [
        ("u", None, NO_ANSWER),
        ("v0", 2, None),
        ("v1", None, "not judged"),
        ("v2", None, "not judged"),
    ]
    with pytest.raises(GradesError, match="unfinished: 1 of 3"):
        finished_run(run)
    (run / "judgements.jsonl").unlink()
    assert read_run(run).unfinished == "unfinished: 0 of 3 grades; run the same command again to resume"


def test_a_repeat_to_come_is_unfinished_and_an_unscored_grade_is_not(tmp_path):
    run = write_run(tmp_path, graded_items([2, None], seed=0))
    plan(run)
    assert read_run(run).unfinished is None
    plan(run, repeats=2)
    assert (
        read_run(run).unfinished
        == "unfinished: 2 of 4 grades, 1 of them without a score; run the same command again to resume"
    )


@pytest.mark.parametrize("other", [{"fields": {"pred": "x"}}, {"rubrics": "r2"}, {"seed": 1}, {"key": "z_0"}])
def test_grades_that_the_plan_does_not_ask_for_do_not_count(tmp_path, other):
    run = write_run(tmp_path, graded_items([2], seed=0))
    (run / "judgements.jsonl").write_text(json.dumps({**grade("v0_0", 5), **other}))
    assert read_run(run).unfinished == "unfinished: 0 of 1 grades; run the same command again to resume"


def test_another_plan_puts_the_old_table_aside_and_the_same_one_leaves_it(tmp_path):
    run = write_run(tmp_path, graded_items([2, 4], seed=0))
    (run / "scores.json").write_text("{}")
    plan(run)
    assert (run / "scores.json").read_text() == "{}"
    plan(run, seed=1)
    assert (run / "earlier_scores.json").read_text() == "{}" and not (run / "scores.json").exists()


@pytest.mark.parametrize("content", ["[", "[]", '{"seed": 0, "repeats": 1, "grades": [], "unanswered": {}}'])
def test_a_damaged_plan_is_said_and_written_anew(tmp_path, content):
    run = write_run(tmp_path, graded_items([2], seed=0))
    (run / "plan.json").write_text(content)
    with pytest.raises(GradesError, match=r"plan\.json"):
        read_run(run)
    plan(run)
    assert read_run(run).plan.repeats == 1
