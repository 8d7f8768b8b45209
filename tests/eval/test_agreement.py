"""Agreement of judges and repeats: kappa against its definition, and what is no agreement at all."""

import random

import numpy as np
import pytest

from eval.results.agreement import agreement_of, agreement_row, quadratic_kappa, spearman
from eval.results.score_json import GradesError
from tests.cases.graded_case import grade, graded_items, write_run


def kappa_from_table(first, second, grades=6):
    """Cohen's weighted kappa as defined: observed over expected weights of the table of grades."""
    table = np.zeros((grades, grades))
    for i, j in zip(first, second, strict=True):
        table[i, j] += 1
    weights = np.subtract.outer(range(grades), range(grades)) ** 2
    expected = np.outer(table.sum(1), table.sum(0)) / table.sum()
    return 1 - (weights * table).sum() / (weights * expected).sum()


def test_kappa_worked_out_by_hand():
    # Pairs (0,0) (1,1) (2,1): squared differences sum to 1, mean 1/3. All pairs of 0 1 2 with 0 1 1: 0+1+1 + 1+0+0 +
    # 4+1+1 = 9, mean 1. So 1 - 1/3.
    assert quadratic_kappa([0, 1, 2], [0, 1, 1]) == pytest.approx(2 / 3)


def test_kappa_is_that_of_the_table_of_grades():
    rng = random.Random(0)
    first = [rng.randrange(6) for _ in range(200)]
    second = [min(5, max(0, grade + rng.choice((-1, 0, 0, 2)))) for grade in first]
    assert quadratic_kappa(first, second) == pytest.approx(kappa_from_table(first, second))
    assert quadratic_kappa(second, first) == pytest.approx(quadratic_kappa(first, second))


def test_kappa_of_chance_is_about_0_and_of_a_shift_less_than_1():
    rng = np.random.default_rng(0)
    assert abs(quadratic_kappa(rng.integers(0, 6, 5000), rng.integers(0, 6, 5000))) < 0.05
    assert quadratic_kappa([0, 1, 2, 3], [1, 2, 3, 4]) < 1 == pytest.approx(spearman([0, 1, 2, 3], [1, 2, 3, 4]))


def test_constant_grades_have_no_correlation_and_one_same_grade_no_kappa():
    assert quadratic_kappa([3, 3], [3, 3]) is None and spearman([3, 3], [1, 2]) is None
    assert quadratic_kappa([3, 3], [1, 2]) == pytest.approx(0)


def test_shares_and_difference():
    row = agreement_row([("a", 0, 0), ("b", 1, 2), ("c", 5, 2), ("d", 4, 4)])
    assert (row["exact"], row["within_one"], row["difference"], row["pairs"]) == (0.5, 0.75, -0.5, 4)


def test_two_judges_of_the_same_answers(tmp_path):
    a = write_run(tmp_path / "a", [*graded_items([0, 2, 4, None]), *graded_items([1, 1], metric="detail")])
    b = write_run(tmp_path / "b", graded_items([1, 3, 5, 5], judge="other"), judge="other")
    found = agreement_of(a, b)
    assert list(found["metrics"]) == ["correctness"] and found["overall"] == found["metrics"]["correctness"]
    row = found["overall"]
    assert (row["pairs"], row["difference"], row["spearman"], row["exact"]) == (3, 1, pytest.approx(1), 0)


def test_repeats_of_one_run(tmp_path):
    scores = {"v_0": (1, 1, 2), "w_0": (4, None, 5)}
    records = [grade(key, score, repeat=k) for key, found in scores.items() for k, score in enumerate(found)]
    found = agreement_of(run := write_run(tmp_path, records), run)
    assert found["repeats"] and found["overall"]["pairs"] == 4  # (1,1) (1,2) (1,2) (4,5)
    assert (found["overall"]["exact"], found["overall"]["difference"]) == (0.25, 0.75)


def test_a_single_repeat_has_nothing_to_agree_with(tmp_path):
    run = write_run(tmp_path, graded_items([1, 2]))
    with pytest.raises(GradesError, match="one grade of each item; grade with --repeats 2"):
        agreement_of(run, run)


def test_a_folder_and_its_own_files_are_one_judge(tmp_path):
    records = [grade("v_0", score, repeat=k) for k, score in enumerate((1, 2))]
    run = write_run(tmp_path, records)
    for other in (run / "judgements.jsonl", run / "scores.json", run / ".." / run.name):
        found = agreement_of(run, other)
        assert found["repeats"] and found["overall"]["difference"] == 1, other


def test_grades_of_other_answers_are_refused(tmp_path):
    a = write_run(tmp_path / "a", graded_items([1, 2]))
    b = write_run(tmp_path / "b", graded_items([1, 2], pred="He stands."))
    with pytest.raises(GradesError, match=r"graded different answers, 2 of 2.*--compare"):
        agreement_of(a, b)
    c = write_run(tmp_path / "c", [grade("w_0", 1)])
    with pytest.raises(GradesError, match="no item that both scored"):
        agreement_of(a, c)


def test_the_order_of_records_does_not_matter(tmp_path):
    rng = random.Random(1)
    scores = [rng.random() * 5 for _ in range(30)]
    a, b = graded_items(scores), graded_items(scores[::-1])
    first = agreement_of(write_run(tmp_path / "a", a), write_run(tmp_path / "b", b))
    rng.shuffle(a)
    assert agreement_of(write_run(tmp_path / "a", a), tmp_path / "b") == first
