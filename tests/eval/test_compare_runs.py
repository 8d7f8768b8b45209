"""Two models on the same items: the difference, its interval and p, and what must not be compared."""

import random

import numpy as np
import pytest

from eval.results.compare_runs import compare_runs, paired_difference, sign_flip_p
from eval.results.score_json import GradesError
from tests.cases.graded_case import grade, graded_items, write_run


def compared(tmp_path, a, b, **about):
    return compare_runs(write_run(tmp_path / "a", a), write_run(tmp_path / "b", b, **about))


def test_the_difference_of_the_same_items(tmp_path):
    a, b = [1, 2, 3, 4] * 10, [2, 2, 3, 3] * 10
    a[0], b[0] = 0, 3
    row = compared(tmp_path, graded_items(a), graded_items(b, pred="He stands."))["metrics"]["correctness"]
    assert (row["wins"], row["ties"], row["losses"], row["pairs"], row["left_out"]) == (10, 20, 10, 40, 0)
    assert row["b"] - row["a"] == pytest.approx(row["difference"]) == pytest.approx(20 * 2 / 40)
    low, high = row["interval"]
    assert low < 0 < row["difference"] < high and row["p"] > 0.5


@pytest.mark.slow
def test_a_clear_case_is_clear_and_a_paired_one_clearer_than_two_intervals(tmp_path):
    """Items differ far more than the models do; only pairing sees that b is better on nearly all of them."""
    rng = random.Random(0)
    a = [rng.uniform(0, 4) for _ in range(200)]
    b = [score + rng.uniform(-0.1, 0.5) for score in a]
    row = compared(tmp_path, graded_items(a), graded_items(b))["metrics"]["correctness"]
    assert row["p"] < 0.001 and 2 < row["interval"][0] < row["difference"] < row["interval"][1] < 6


@pytest.mark.slow
def test_p_is_uniform_when_nothing_differs():
    rng = np.random.default_rng(0)
    p = np.array([sign_flip_p(rng.standard_normal(30), permutations=400, seed=n) for n in range(200)])
    assert 0.01 <= (p <= 0.05).mean() <= 0.10 and 0.4 < np.median(p) < 0.6


def test_p_of_cases_worked_out_by_hand():
    assert sign_flip_p(np.array([1.0, 2.0, 4.0])) == pytest.approx(2 / 8), "only +++ and --- are as far from 0"
    assert sign_flip_p(np.array([1.0, -2.0, 4.0])) == pytest.approx(6 / 8), "all but the two sums of 1"
    assert sign_flip_p(np.zeros(50)) == 1.0
    assert sign_flip_p(np.array([3, 2, 1, -2, -3, 0, 2, -3]) / 11) == 1.0, "a sum of 0, but for rounding"
    assert sign_flip_p(np.ones(100)) == pytest.approx(2 / 10_001), "never 0"


def test_items_of_one_video_are_not_independent_evidence():
    many = {f"v{n}": [1.0 if n < 6 else -1.0] for n in range(8)}
    copies = {video: values * 50 for video, values in many.items()}
    for name in ("difference", "p"):
        assert paired_difference([copies])[name] == pytest.approx(paired_difference([many])[name])
    assert paired_difference([copies])["interval"] == pytest.approx(paired_difference([many])["interval"])


def test_the_average_over_metrics(tmp_path):
    def runs(*levels):
        return [
            grade(f"v{n}_0", level, metric=m)
            for m, level in zip(("correctness", "detail"), levels, strict=True)
            for n in range(20)
        ]

    found = compared(tmp_path, runs(1, 4), runs(2, 2))
    assert found["average"]["difference"] == pytest.approx(20 * (1 - 2) / 2) and found["average"]["metrics"] == 2
    assert found["average"]["interval"] == pytest.approx([-10, -10])


def test_a_metric_of_one_video_leaves_the_average_without_an_interval(tmp_path):
    b = [*graded_items([2, 3, 5]), grade("v0_0", 4, metric="detail")]
    found = compared(tmp_path, [*graded_items([1, 1, 1]), grade("v0_0", 1, metric="detail")], b)
    assert found["metrics"]["correctness"]["interval"] and found["average"]["difference"] == pytest.approx(160 / 3)
    assert (found["average"]["interval"], found["average"]["p"]) == (None, None)


def test_unscored_items_are_left_out_and_counted(tmp_path):
    b = graded_items([3, 4, 5, None])
    row = compared(tmp_path, graded_items([1, None, 1, 1]), b)["metrics"]["correctness"]
    assert (row["pairs"], row["left_out"], row["a"], row["b"]) == (2, 2, 20, 80)


def test_an_item_that_one_model_left_unanswered_is_left_out_too(tmp_path):
    a, b = graded_items([1, 2, 3]), graded_items([2, 3])
    found = compared(tmp_path, a, b, unanswered=["v2_0"])["metrics"]["correctness"]
    assert (found["pairs"], found["left_out"]) == (2, 1)


def test_a_metric_without_any_pair_is_no_number_and_no_part_of_the_average(tmp_path):
    def with_detail(score):
        return [*graded_items([1, 2]), grade("v0_0", score, metric="detail")]

    found = compared(tmp_path, with_detail(None), with_detail(3))
    assert found["metrics"]["detail"] == {"pairs": 0, "left_out": 1} and found["average"]["metrics"] == 1
    with pytest.raises(GradesError, match="no item is scored in both"):
        compared(tmp_path, graded_items([None, 1]), graded_items([1, None]))


def test_repeats_count_with_their_mean(tmp_path):
    a = [grade(f"v{n}_0", score, repeat=k) for n in range(3) for k, score in enumerate((1, 2))]
    row = compared(tmp_path, a, graded_items([2, 2, 2]))["metrics"]["correctness"]
    assert (row["a"], row["difference"]) == (30, 10)


def test_the_same_numbers_whatever_the_order_and_every_time(tmp_path):
    rng = random.Random(3)
    a = graded_items([rng.random() * 5 for _ in range(50)])
    b = graded_items([rng.random() * 5 for _ in range(50)])
    first = compared(tmp_path, a, b)
    rng.shuffle(a)
    rng.shuffle(b)
    assert compared(tmp_path, a, b) == first


@pytest.mark.parametrize("name", ["judge", "digest", "quantisation", "rubrics", "temperature", "server"])
def test_other_judges_are_refused(tmp_path, name):
    other, own = {name: "another"}, {"server": "one"}
    with pytest.raises(GradesError, match=rf"cannot be compared.*{name} .*'another'.*the same judge and rubrics"):
        a = write_run(tmp_path / "a", graded_items([1, 2], **own), **own)
        compare_runs(a, write_run(tmp_path / "b", graded_items([1, 2], **(own | other)), **(own | other)))


def test_other_items_are_refused_and_named(tmp_path):
    more = [grade(f"w{n}_0", 1) for n in range(9)]
    with pytest.raises(GradesError, match=r"different items: correctness has 11 and 2, .*w0_0, .*w4_0 and 4 more"):
        compared(tmp_path, [*graded_items([1, 2]), *more], graded_items([1, 2]))
    with pytest.raises(GradesError, match=r"different items: correctness has 2 and 2, .*v1_0, w0_0"):
        compared(tmp_path, graded_items([1, 2]), [*graded_items([1]), grade("w0_0", 1)])
    with pytest.raises(GradesError, match="no metric in common"):
        compared(tmp_path, graded_items([1]), graded_items([1], metric="detail"))


def test_the_same_keys_with_other_references_are_other_items(tmp_path):
    changed = graded_items([1, 2])
    changed[1]["fields"]["A"] = "Another truth."
    with pytest.raises(GradesError, match="ask differently or have other references: correctness of v1_0"):
        compared(tmp_path, graded_items([1, 2]), changed)


def test_one_video_gives_a_difference_without_interval_or_p(tmp_path):
    row = compared(tmp_path, graded_items([1]), graded_items([3]))["metrics"]["correctness"]
    assert (row["difference"], row["interval"], row["p"]) == (40, None, None)


def test_items_that_a_model_left_unanswered_are_compared_by_their_keys(tmp_path):
    def run(name, answered, unanswered):
        return write_run(tmp_path / name, [grade(key, 3) for key in answered], unanswered=unanswered)

    a = run("a", [f"v{n}_0" for n in range(10)], [])
    same = run("same", [f"v{n}_0" for n in range(5)], [f"v{n}_0" for n in range(5, 10)])
    row = compare_runs(a, same)["metrics"]["correctness"]
    assert (row["pairs"], row["left_out"]) == (5, 5)
    other = run("other", [f"v{n}_0" for n in range(5)], [f"v{n}_0" for n in range(10, 15)])
    with pytest.raises(GradesError, match=r"different items: correctness has 10 and 10, .*v10_0, v11_0"):
        compare_runs(a, other)
    (a / "judgements.jsonl").write_text("")
    with pytest.raises(GradesError, match="unfinished: 0 of 10 grades; run the same command again to resume"):
        compare_runs(a, same)
