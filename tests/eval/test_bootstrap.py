"""Bootstrap over videos: it covers what it says, keeps videos whole, and does not depend on the order of records."""

import random
import time

import numpy as np
import pytest

from eval.results.bootstrap import bootstrap_interval, by_video, percentile_interval, resampled_means, resampled_sums


def simulated(rng, *, videos, per_video=1, between=1.0, within=1.0):
    """Values with mean 3 whose videos differ: `between` and `within` are standard deviations."""
    levels = 3 + between * rng.standard_normal(videos)
    return {f"v{n}": (level + within * rng.standard_normal(per_video)).tolist() for n, level in enumerate(levels)}


def covered(intervals, truth=3.0):
    return np.mean([low <= truth <= high for low, high in intervals])


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    rng = np.random.default_rng(1)
    intervals = [bootstrap_interval(simulated(rng, videos=60), resamples=1000) for _ in range(200)]
    assert 0.90 <= covered(intervals) <= 0.99


def test_items_of_a_video_are_drawn_together():
    """Five near copies of each item are no more evidence than one: an interval over items would be far too narrow."""
    rng = np.random.default_rng(2)
    sets = [simulated(rng, videos=50, per_video=5, within=0.1) for _ in range(200)]
    assert 0.90 <= covered([bootstrap_interval(values, resamples=1000) for values in sets]) <= 0.99
    apart = [{(v, n): [x] for v, values in found.items() for n, x in enumerate(values)} for found in sets[:60]]
    assert covered([bootstrap_interval(values, resamples=1000) for values in apart]) < 0.75


def test_the_width_is_that_of_the_standard_error():
    values = {f"v{n}": [float(n % 6)] for n in range(1200)}
    low, high = bootstrap_interval(values)
    expected = 2 * 1.96 * np.std([v[0] for v in values.values()]) / np.sqrt(1200)
    assert high - low == pytest.approx(expected, rel=0.05)
    assert (low + high) / 2 == pytest.approx(2.5, abs=0.02)


def test_same_values_in_any_order_give_the_same_ends_and_another_seed_others():
    rng = random.Random(0)
    pairs = [(f"v{rng.randrange(40)}", rng.random() * 5) for _ in range(200)]
    first = bootstrap_interval(by_video(pairs))
    for _ in range(3):
        rng.shuffle(pairs)
        assert bootstrap_interval(by_video(pairs)) == first
    assert bootstrap_interval(by_video(pairs), seed=1) != first


def test_measures_share_their_resamples():
    values = {f"v{n}": [float(n)] for n in range(20)}
    means = resampled_means([values, {video: [5 - found[0]] for video, found in values.items()}], resamples=100)
    np.testing.assert_allclose(means.sum(axis=1), 5)


def test_a_resample_without_a_value_has_no_mean_and_is_left_out():
    many = {f"v{n}": [1.0] for n in range(10)}
    means = resampled_means([many, {"v0": [4.0]}], resamples=500)
    assert np.isnan(means[:, 1]).mean() == pytest.approx(0.9**10, abs=0.08)
    assert percentile_interval(means[:, 1]) == [4.0, 4.0]
    assert percentile_interval(np.full(3, np.nan)) is None


def test_one_video_tells_nothing_about_others():
    assert bootstrap_interval({}) is None
    assert bootstrap_interval({"v": [0.0, 5.0, 5.0]}) is None


def test_sums_are_of_as_many_rows_as_there_are():
    sums = resampled_sums(np.ones((7, 2)), resamples=501)
    assert sums.shape == (501, 2) and (sums == 7).all()


def test_five_metrics_of_charades_take_no_more_than_a_moment():
    measures = [{f"v{n}": [float(n % 6)] for n in range(1863)}] * 5
    start = time.process_time()
    assert resampled_means(measures).shape == (10_000, 5)
    assert time.process_time() - start < 30  # it is below 1 on most machines
