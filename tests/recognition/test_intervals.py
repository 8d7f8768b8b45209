"""Bootstrap intervals: they cover what they say, keep groups whole, and do not depend on the order of the values."""

import itertools
import random
import time

import numpy as np
import pytest

from ski_lvlm.recognition import intervals
from ski_lvlm.recognition.intervals import grouped, interval_of_sums, interval_over, interval_within, mean_interval


def simulated(rng, *, videos, per_video=1, between=1.0, within=1.0):
    """Draw values with mean 3, with standard deviations `between` and `within` videos."""
    levels = 3 + between * rng.standard_normal(videos)
    return {f"v{n}": (level + within * rng.standard_normal(per_video)).tolist() for n, level in enumerate(levels)}


def coverage(intervals, truth=3.0):
    return np.mean([low <= truth <= high for low, high in intervals])


@pytest.fixture
def fewer_draws(monkeypatch):
    monkeypatch.setattr(intervals, "DRAWS", 1000)


@pytest.mark.slow
def test_intervals_cover_the_truth_about_as_often_as_they_say(fewer_draws):
    rng = np.random.default_rng(1)
    assert 0.90 <= coverage([mean_interval(simulated(rng, videos=60)) for _ in range(200)]) <= 0.99


@pytest.mark.slow
def test_items_of_a_video_are_drawn_together(fewer_draws):
    """Five near copies of each item are no more evidence than one: an interval over items would be too narrow."""
    rng = np.random.default_rng(2)
    sets = [simulated(rng, videos=50, per_video=5, within=0.1) for _ in range(200)]
    assert 0.90 <= coverage([mean_interval(values) for values in sets]) <= 0.99
    apart = [{(v, n): [x] for v, values in groups.items() for n, x in enumerate(values)} for groups in sets[:60]]
    assert coverage([mean_interval(values) for values in apart]) < 0.75


@pytest.mark.slow
def test_groups_of_noisy_values_are_not_drawn_twice_over(fewer_draws):
    """Drawing values within the drawn groups as well would count their noise twice: here, cover 99 %."""
    rng = np.random.default_rng(3)
    sets = [simulated(rng, videos=50, per_video=4, between=0.0) for _ in range(200)]
    assert 0.90 <= coverage([mean_interval(values) for values in sets]) <= 0.98


def test_the_width_is_that_of_the_standard_error():
    values = {f"v{n}": [float(n % 6)] for n in range(1200)}
    low, high = mean_interval(values)
    expected = 2 * 1.96 * np.std([v[0] for v in values.values()]) / np.sqrt(1200)
    assert high - low == pytest.approx(expected, rel=0.05)
    assert (low + high) / 2 == pytest.approx(2.5, abs=0.02)
    assert interval_within([[v[0] for v in values.values()]], [1.0]) == pytest.approx((low, high), abs=0.02)


def test_same_values_in_any_order_give_the_same_ends():
    rng = random.Random(0)
    pairs = [(f"v{rng.randrange(40)}", rng.random() * 5) for _ in range(200)]
    first = mean_interval(grouped(pairs))
    for _ in range(3):
        rng.shuffle(pairs)
        assert mean_interval(grouped(pairs)) == first


def test_measures_share_their_draws():
    values = {f"v{n}": [float(n)] for n in range(20)}
    opposite = {video: [5 - value] for video, (value,) in values.items()}
    assert mean_interval(values, opposite) == pytest.approx((2.5, 2.5))


def test_a_draw_without_a_value_of_a_measure_has_no_part_in_the_ends():
    measured = {f"v{n}": [1.0] for n in range(10)}
    sparse = {"v0": [4.0], "v1": [4.0]}  # 11 % of the draws have neither
    assert mean_interval(measured, sparse) == pytest.approx((2.5, 2.5))


def test_one_group_says_nothing_about_others():
    assert mean_interval() is None and mean_interval({}) is None
    assert mean_interval({"v": [0.0, 5.0, 5.0]}) is None
    assert mean_interval({"v": [0.0], "w": [1.0]}, {"v": [0.0]}) is None
    assert interval_of_sums(np.ones((1, 2)), lambda sums: sums[:, 0]) is None


def test_sums_are_of_as_many_rows_as_there_are():
    assert interval_of_sums(np.ones((7, 2), np.int64), lambda sums: sums.prod(1)) == (49, 49)


@pytest.mark.slow
def test_five_metrics_of_charades_take_no_more_than_a_moment():
    measures = [{f"v{n}": [float(n % 6)] for n in range(1863)}] * 5
    start = time.process_time()
    assert mean_interval(*measures)
    assert time.process_time() - start < 30  # it is below 1 on most machines


CORRECT, CLIPS = [40, 9, 3], [50, 10, 30]
OF_CLASS = {c: [float(clip < k) for clip in range(n)] for c, (k, n) in enumerate(zip(CORRECT, CLIPS, strict=True))}


def drawn_by_hand(*, over, alike, draws=4000):
    rng = np.random.default_rng(1)
    values = []
    for _ in range(draws):
        if over == "classes":
            draw = [np.array(OF_CLASS[c]) for c in rng.integers(0, 3, 3)]
        else:
            draw = [rng.choice(clips, len(clips)) for clips in OF_CLASS.values()]
        values.append(np.mean([clips.mean() for clips in draw]) if alike else np.concatenate(draw).mean())
    return np.quantile(values, [0.025, 0.975])


@pytest.mark.slow
@pytest.mark.parametrize(("alike", "over"), itertools.product((False, True), ("clips", "classes")))
def test_clips_are_drawn_within_their_classes_or_classes_with_all_their_clips(alike, over):
    ends = interval_over(OF_CLASS, over, classes_alike=alike)
    np.testing.assert_allclose(ends, drawn_by_hand(over=over, alike=alike), atol=0.02)


def test_an_interval_over_classes_is_the_wider_one_and_repeats():
    clips, classes = (interval_over(OF_CLASS, over, classes_alike=True) for over in ("clips", "classes"))
    assert classes[0] < clips[0] < 0.6 < clips[1] < classes[1]
    assert clips == interval_over(OF_CLASS, "clips", classes_alike=True)


def test_of_a_single_class_only_the_clips_can_be_drawn():
    one = {0: OF_CLASS[0]}
    assert interval_over(one, "classes") == interval_over(one, "clips") != (0.8, 0.8)


def test_what_is_the_same_in_every_draw_has_no_width():
    assert interval_over({0: [1.0, 1.0], 1: [1.0]}, "classes") == (1.0, 1.0)
    assert interval_within([[1.0], [3.0]], [0.5, 0.5]) == (2.0, 2.0)
