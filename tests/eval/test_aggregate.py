"""The table: means over what was scored, repeats, intervals, and what must never count as 0."""

import random

import pytest

from eval.items.predictions import all_tasks
from eval.judges.grading import judgement_id
from eval.metrics import METRICS
from eval.results.aggregate import Graded, average_interval, metric_row, round_half_up, summarise, too_many_unscored


def tasks_of(count, *, unanswered=0):
    records = [
        {"video_name": f"v{n}", "Q": "what?", "Q1": "one?", "Q2": "two?", "A": f"He waves {n}."} for n in range(count)
    ]
    for number, record in enumerate(records):
        if number >= unanswered:
            record.update(pred="He sits.", pred1="He sits.", pred2="He sat.")
    return all_tasks(records)[0]


def graded_by(tasks, score, *, repeats=1):
    return {
        judgement_id(task, "j", k): {"score": found, "reason": None if found is not None else "unparsed: nothing"}
        for number, task in enumerate(tasks)
        for k in range(repeats)
        if (found := score(number, k)) != "absent" and task.fields is not None
    }


def table_of(tasks, score, *, repeats=1):
    return summarise(tasks, {}, graded_by(tasks, score, repeats=repeats), judge="j", repeats=repeats)


@pytest.mark.slow
def test_an_interval_for_each_metric_and_for_the_average():
    found = table_of(tasks_of(60), lambda n, _: n % 6)
    for metric in METRICS:
        row = found["metrics"][metric]
        assert row["interval"][0] < row["mean"] == 50 < row["interval"][1]
        assert (row["repeats"], row["spread"]) == (1, None)
    low, high = found["average_interval"]
    assert low < found["average"] < high
    assert found == table_of(tasks_of(60), lambda n, _: n % 6), "the seed is fixed"


def test_metrics_of_the_same_videos_do_not_make_the_average_narrower():
    """Five times the same grades are no more evidence than once; drawing the metrics apart would say otherwise."""
    items = [Graded(f"v{n}", (float(n % 6),)) for n in range(60)]
    low, high = metric_row(items)["interval"]
    assert average_interval([items] * 5) == pytest.approx([low, high])


def test_no_interval_of_the_average_where_a_metric_has_a_single_video():
    many, single = [Graded(f"v{n}", (n % 5,)) for n in range(9)], [Graded("v0", (2.0,))]
    assert average_interval([many, many]) is not None and average_interval([many, [Graded("v0", (None,))]]) is not None
    assert average_interval([single, single, single, many]) is None and average_interval([]) is None


def test_an_item_counts_with_the_mean_of_its_scored_repeats():
    scores = [[5, 4, 3], [1, None, 2], [None, None, None], ["absent", 0, 0]]
    found = table_of(tasks_of(4), lambda n, k: scores[n % 4][k], repeats=3)["metrics"]["correctness"]
    assert found["mean"] == pytest.approx(20 * (4 + 1.5 + 0) / 3)
    assert (found["n_scored"], found["n_total"], found["repeats"]) == (3, 4, 3)
    assert found["unscored"] == {"unparsed: nothing": 1} and found["unscored_repeats"] == 2
    assert found["histogram"] == [1, 0, 1, 0, 1, 0]


def test_the_spread_is_the_standard_deviation_of_the_repeats_means():
    rows = [Graded("a", (5.0, 3.0)), Graded("b", (3.0, None))]
    assert metric_row(rows)["spread"] == pytest.approx(20 * 2**0.5 / 2)  # means 4 and 3
    assert metric_row([Graded("a", (5.0, None))])["spread"] is None, "one mean has no spread"


def test_what_has_no_grade_is_never_0_in_the_mean():
    found = table_of(tasks_of(10, unanswered=2), lambda n, _: None if n % 10 == 9 else 4)["metrics"]["detail"]
    assert found["mean"] == 80 and found["interval"] == pytest.approx([80, 80])
    assert found["mean_unscored_as_0"] == pytest.approx(80 * 7 / 10)
    assert found["unscored"] == {"no answer of the model in the predictions": 2, "unparsed: nothing": 1}
    assert found["n_total"] == found["n_scored"] + sum(found["unscored"].values())


def test_nothing_scored_is_no_number():
    found = table_of(tasks_of(3), lambda *_: None)
    row = found["metrics"]["context"]
    assert (row["mean"], row["interval"], row["spread"], row["mean_unscored_as_0"]) == (None, None, None, 0)
    assert (found["average"], found["average_of_run"], found["average_interval"]) == (None, None, None)
    assert found["metrics_run"] == 0 and too_many_unscored(found["metrics"].values())


def test_not_run_metrics_leave_no_average_of_five_but_one_of_those_run():
    tasks = [task for task in tasks_of(12) if task.metric != "temporal"]
    found = summarise(tasks, {"temporal": "not measured"}, graded_by(tasks, lambda n, _: n % 6), judge="j")
    assert found["metrics"]["temporal"] == {"status": "not run", "reason": "not measured"}
    assert found["average"] is None and found["average_interval"][0] < found["average_of_run"] < 60


@pytest.mark.slow
def test_the_same_numbers_whatever_the_order_of_records():
    tasks = tasks_of(40)
    graded = graded_by(tasks, lambda n, k: (n * 7 + k) % 51 / 10, repeats=2)
    first = summarise(tasks, {}, graded, judge="j", repeats=2)
    for seed in range(3):
        random.Random(seed).shuffle(tasks)
        assert summarise(tasks, {}, graded, judge="j", repeats=2) == first


def test_several_items_of_a_video_count_together():
    apart = metric_row([Graded(f"v{n}", (float(n % 2 * 5),)) for n in range(100)])
    together = metric_row([Graded(f"v{n % 10}", (float(n % 2 * 5),)) for n in range(100)])
    assert apart["mean"] == together["mean"]
    width = [row["interval"][1] - row["interval"][0] for row in (apart, together)]
    assert width[1] > 2 * width[0]


def test_the_one_per_cent_limit_and_the_histograms_bars():
    run = {"status": "run", "n_total": 1000, "n_scored": 990}
    assert not too_many_unscored([run, {"status": "not run"}])
    assert too_many_unscored([{**run, "n_scored": 989}])
    repeated = {**run, "n_scored": 1000, "n_total": 1000, "repeats": 5}
    assert not too_many_unscored([{**repeated, "unscored_repeats": 50}])
    assert too_many_unscored([{**repeated, "unscored_repeats": 51}])


def test_a_repeat_without_a_score_is_a_0_beside_the_mean_not_in_it():
    row = metric_row([Graded("v", (4, None, None, None, None), "unparsed"), Graded("w", (4,) * 5, None)])
    assert (row["mean"], row["mean_unscored_as_0"], row["unscored_repeats"]) == (80.0, 48.0, 4)
    assert [round_half_up(score) for score in (0, 0.49, 4.5, 5)] == [0, 0, 5, 5]
