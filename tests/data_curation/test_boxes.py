import dataclasses
import warnings

import numpy as np
import pytest

from data_curation.cropping.boxes import (
    WHOLE,
    CropError,
    actor_boxes,
    skeleton_boxes,
    static_box,
    tracking_boxes,
)
from ski_lvlm.estimation.box_paths import between, smoothed
from ski_lvlm.skeletons.cleaning import CleaningError
from tests.cases.recordings import recording, track

FULL = {"width": 1920, "height": 1080}


def body(frames, *, centre=(960, 540), **how):
    """A body of 25 joints, 200 pixels wide and 600 high, about a centre or a path of centres."""
    where = np.stack([np.linspace(-100, 100, 25), np.linspace(-300, 300, 25)], -1)
    colour = np.broadcast_to(np.asarray(centre, float).reshape(-1, 1, 2), (len(frames), 1, 2)) + where
    return dataclasses.replace(track(frames, **how), colour=colour.astype(np.float32))


def still(*box, frames=3):
    return np.tile(np.array(box, float), (1, frames, 1))


def test_the_box_surrounds_all_joints_of_a_frame():
    np.testing.assert_array_equal(actor_boxes([body(range(3))], num_frames=3), np.tile([860, 240, 1060, 840], (3, 1)))


def test_frames_without_the_person_are_nan_and_tracks_of_one_person_join():
    boxes = actor_boxes([body(range(2, 5)), body(range(7, 9), centre=(400, 540))], num_frames=10)
    assert np.flatnonzero(np.isfinite(boxes).all(axis=1)).tolist() == [2, 3, 4, 7, 8]
    assert boxes[8, 0] == 300


@pytest.mark.parametrize("glitch", [(np.nan, 500), (np.inf, 500), (0, 0), (-4e5, 9e5), (1e30, 5)])
def test_nan_infinity_nowhere_and_outliers_do_not_count_however_long_they_last(glitch):
    person = body(range(20))
    person.colour[:, 7] = glitch
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(actor_boxes([person], num_frames=20)[9], [860, 240, 1060, 840])


@pytest.mark.parametrize("frames", [[0], [9, 10], [19]])
def test_a_joint_that_glitches_for_a_moment_does_not_widen_the_box(frames):
    person = body(range(20))
    person.colour[frames, 7] = (1500, 100)  # near enough to belong to a body
    np.testing.assert_array_equal(actor_boxes([person], num_frames=20)[frames[0]], [860, 240, 1060, 840])


def test_two_joints_that_glitch_one_after_the_other_do_not_add_up_to_a_long_glitch():
    person = body(range(20))
    person.colour[8:10, 7] = person.colour[10:12, 8] = (1500, 100)
    assert actor_boxes([person], num_frames=20)[:, 2].max() == 1060


def test_a_movement_that_lasts_is_kept():
    person = body(range(20))
    person.colour[8:14, 7] = (1500, 100)
    assert actor_boxes([person], num_frames=20)[10].tolist() == [860, 100, 1500, 840]


def test_a_person_without_coordinates_is_absent_and_nothing_is_warned_about():
    person = body(range(4))
    person.colour[:] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        boxes = actor_boxes([person], num_frames=6)[None]
        assert np.isnan(boxes).all()
        with pytest.raises(CropError, match="no joint has usable colour coordinates"):
            static_box(boxes, **FULL)


def test_smoothing_shifts_nothing_and_invents_no_presence():
    ramp = np.arange(30.0)
    assert smoothed(ramp)[2:-2].tolist() == ramp[2:-2].tolist()
    ramp[10:20] = np.nan
    assert np.isnan(smoothed(ramp)).tolist() == np.isnan(ramp).tolist()


def test_one_person_is_the_liveliest_with_all_tracks_and_two_are_both():
    lively, back = body(range(20), centre=(500, 540), restless=0.3), body(range(20, 40), seed=1, restless=0.2)
    bystander = body(range(40), centre=(1500, 540), seed=2)
    clip = recording(lively, back, bystander)
    one = skeleton_boxes(clip, persons=1)
    assert one.shape == (1, 40, 4)
    assert (one[0, 5, 0], one[0, 30, 0]) == (400, 860)
    assert static_box(one, **FULL, slack=0) == (400, 240, 1060, 840)
    assert static_box(skeleton_boxes(clip, persons=2), **FULL, slack=0) == (400, 240, 1600, 840)


def test_a_ghost_is_cut_out_with_nobody_and_nobody_is_an_error():
    clip = recording(body(range(40)), body(range(5), centre=(1500, 540), seed=1))
    assert skeleton_boxes(clip, persons=2).shape == (1, 40, 4)
    with pytest.raises(CleaningError, match="no body"):
        skeleton_boxes(recording(), persons=1)


@pytest.mark.parametrize(("where", "message"), [(np.nan, "no joint has usable"), (9000, "outside the picture")])
def test_actors_who_are_nowhere_in_the_picture_are_an_error_at_once(where, message):
    with pytest.raises(CropError, match=message):
        skeleton_boxes(recording(body(range(20), centre=(where, 500))), persons=1)


def test_the_static_box_is_the_union_over_time_and_persons_with_slack():
    boxes = np.array([[[400.0, 300, 500, 800], [420, 280, 520, 790]], [[900, 350, 1000, 900], [np.nan] * 4]])
    assert static_box(boxes, **FULL) == (336, 216, 1064, 964)
    assert static_box(boxes, **FULL, slack=0) == (400, 280, 1000, 900)


@pytest.mark.parametrize("scale", [(0.5, 0.5), (340 / 1920, 256 / 1080)])
@pytest.mark.parametrize("cut", [static_box, lambda *args, **how: tracking_boxes(*args, **how)[0]])
def test_a_resized_video_has_the_same_box_scaled(scale, cut):
    full = np.array(cut(still(600, 300, 800, 900), **FULL)).reshape(2, 2)
    small = cut(still(600, 300, 800, 900), width=round(1920 * scale[0]), height=round(1080 * scale[1]))
    assert np.abs(np.array(small).reshape(2, 2) - full * scale).max() <= 2


def test_the_static_box_stays_in_the_picture_and_is_even():
    assert static_box(still(-50, 11, 1900, 1200), width=1919, height=1079) == (0, 0, 1918, 1078)


@pytest.mark.parametrize("cut", [static_box, tracking_boxes])
@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        (np.zeros((0, 5, 4)), "nobody to cut out"),
        (np.full((2, 5, 4), np.nan), "nobody to cut out"),
        (still(2500, 300, 2600, 400), "outside the picture of 1920x1080"),
    ],
)
def test_nobody_is_never_the_whole_picture(cut, boxes, message):
    with pytest.raises(CropError, match=message):
        cut(boxes, **FULL)


def test_the_whole_picture_can_be_asked_for():
    assert static_box(WHOLE, width=512, height=288) == (0, 0, 512, 288)
    assert tracking_boxes(WHOLE, width=512, height=288) == [(0, 0, 512, 288)]


def test_a_tracking_window_follows_without_zooming_and_never_loses_the_person():
    x = 960 + 500 * np.sin(np.arange(90) / 14)
    boxes = actor_boxes([body(range(90), centre=np.stack([x, np.full(90, 540)], -1))], num_frames=90)[None]
    windows = np.array(tracking_boxes(boxes, width=960, height=540))
    assert len(windows) == 90
    assert len(np.unique(windows[:, 2:] - windows[:, :2], axis=0)) == 1
    assert (windows % 2 == 0).all() and (windows >= 0).all() and (windows[:, 2] <= 960).all()
    person = boxes[0] / 2
    assert (windows[:, :2] <= person[:, :2]).all() and (windows[:, 2:] >= person[:, 2:]).all()
    assert np.ptp(windows[:, 0]) > 400
    assert windows[0, 2] - windows[0, 0] < 0.4 * (static_box(boxes, width=960, height=540).right - windows[:, 0].min())


def test_a_tracking_window_does_not_tremble_with_the_skeleton():
    trembling = np.random.default_rng(0).normal([960, 540], 6, (60, 2))
    boxes = actor_boxes([body(range(60), centre=trembling)], num_frames=60)[None]
    left = np.array(tracking_boxes(boxes, **FULL))[:, 0]
    assert np.abs(np.diff(left)).mean() < 0.2 * np.abs(np.diff(trembling[:, 0])).mean()


def test_a_tracking_window_stays_in_the_picture_at_its_edge():
    windows = tracking_boxes(still(-80, 500, 200, 1300), width=1919, height=1079)
    assert windows[0].left == 0 and windows[0].bottom == 1078


def test_a_person_out_of_sight_does_not_make_the_window_jump():
    one, other = still(300, 300, 400, 900, frames=40)[0], still(1500, 300, 1600, 900, frames=40)[0]
    other[:10], other[20:30] = np.nan, np.nan
    windows = tracking_boxes(np.stack([one, other]), **FULL)
    assert len(set(windows)) == 1 and windows[0] == (236, 236, 1664, 964)


def test_between_two_sightings_a_box_is_interpolated_and_beyond_them_held():
    boxes = between(np.array([[0.0, 0, 10, 10], [20, 0, 30, 10]]), [2, 4], num_frames=7)
    assert boxes[:, 0].tolist() == [0, 0, 0, 10, 20, 20, 20]
