import dataclasses

import numpy as np
import pytest

from ski_lvlm.skeletons.cleaning import CleaningError, clean
from ski_lvlm.skeletons.ntu_file import read_skeleton
from tests.cases.recordings import (
    GENUINE,
    GENUINE_GOLDEN,
    GOLDEN,
    TWO_ACTORS,
    as_150,
    needs_genuine_ntu,
    recording,
    track,
)


def test_two_actors_a_ghost_and_empty_frames_equal_the_published_scripts():
    golden = np.load(GOLDEN / "ntu_pipeline_synthetic_golden.npz")["joints"][0]
    cleaned = clean(read_skeleton(TWO_ACTORS))
    np.testing.assert_array_equal(as_150(cleaned.joints), golden)
    assert len(cleaned.joints) == 48 - 2  # frames 5 and 20 are empty
    assert len(cleaned.body_ids) == 2
    assert np.isnan(cleaned.joints[:3, 1]).all() and not np.isnan(cleaned.joints[3:]).any()


@needs_genuine_ntu
def test_the_genuine_recording_equals_the_published_scripts():
    golden = np.load(GENUINE_GOLDEN)["joints"][0]
    cleaned = clean(read_skeleton(GENUINE, joints_only=True))
    assert cleaned.joints.shape == (103, 1, 25, 3)
    np.testing.assert_array_equal(as_150(cleaned.joints), golden)


def test_the_origin_is_the_main_actors_first_mid_spine():
    cleaned = clean(recording(track(range(40), restless=0.01), track(range(40), seed=1, restless=0.5)))
    assert cleaned.body_ids[0] == 72057594037931102  # the livelier one
    np.testing.assert_array_equal(cleaned.joints[0, 0, 1], 0)
    assert np.abs(cleaned.joints[0, 1, 1]).max() > 0.1  # both moved by the same shift


@pytest.mark.parametrize(("length", "count"), [(11, 1), (12, 2)])
def test_a_track_of_eleven_frames_is_a_ghost(length, count):
    assert len(clean(recording(track(range(40)), track(range(length), seed=1))).body_ids) == count


def test_a_track_of_few_frames_stays_when_it_is_all_there_is():
    assert clean(recording(track(range(5)))).joints.shape == (5, 1, 25, 3)


@pytest.mark.parametrize(("width", "count"), [(0.75, 2), (0.85, 1)])
def test_a_body_wider_than_four_fifths_of_its_height_is_furniture(width, count):
    cleaned = clean(recording(track(range(40)), track(range(40), seed=1, width=width, height=1.0)))
    assert len(cleaned.body_ids) == count
    assert cleaned.joints.shape[1] == count


def test_the_last_body_stays_however_wide():
    wide = {"width": 2.0, "height": 1.0}
    assert len(clean(recording(track(range(40), **wide), track(range(40), seed=1, **wide))).body_ids) == 1


@pytest.mark.parametrize(("wide_frames", "count"), [(27, 2), (28, 1)])  # of 40: 0.675 and 0.7
def test_a_body_may_be_wide_in_less_than_seven_tenths_of_its_frames(wide_frames, count):
    body = track(range(40), seed=1)
    body.joints[:wide_frames, 0, 0] += 5
    assert len(clean(recording(track(range(40)), body)).body_ids) == count


def test_the_motion_of_wide_frames_does_not_make_a_main_actor():
    flickering = track(range(40), seed=1)
    flickering.joints[:10, :, 0] += np.linspace(0, 50, 25)
    lively = track(range(40), restless=0.5)
    assert clean(recording(flickering, lively)).body_ids[0] == 72057594037931102


def test_a_body_that_comes_back_under_a_new_id_is_one_actor():
    cleaned = clean(
        recording(track(range(20), restless=0.3), track(range(20, 40), seed=1, restless=0.2), track(range(40), seed=2))
    )
    assert cleaned.joints.shape == (40, 2, 25, 3)
    assert dict(zip(cleaned.body_ids, cleaned.actors)) == {
        72057594037931101: 0,
        72057594037931102: 0,
        72057594037931103: 1,
    }
    assert not np.isnan(cleaned.joints).any()


def test_frames_without_a_usable_body_are_skipped():
    cleaned = clean(recording(track(range(10, 40)), track(range(5), seed=1)))
    assert len(cleaned.joints) == 30


def test_gaps_of_a_body_are_closed_as_published():
    cleaned = clean(recording(track([*range(10), *range(20, 30)], restless=0.3), track(range(40), seed=1)))
    assert not np.isnan(cleaned.joints[:20, 0]).any() and np.isnan(cleaned.joints[20:, 0]).all()


def test_a_nan_joint_makes_the_person_absent_not_the_clip_nan():
    body, other = track(range(40)), track(range(40), seed=1)
    body.joints[7, 3] = np.nan
    cleaned = clean(recording(dataclasses.replace(body), other))
    absent = np.isnan(cleaned.joints).any(axis=(2, 3))
    assert absent.sum() == 1 and np.isnan(cleaned.joints[absent]).all()
    alone = clean(recording(body))
    assert not np.isnan(alone.joints).any()
    complete = clean(recording(track(range(40)))).joints
    np.testing.assert_array_equal(alone.joints, np.delete(complete, 7, axis=0))


@pytest.mark.parametrize(
    ("unusable", "message"),
    [
        (recording(), "no body in any of its 40 frames; expected one"),
        (recording(track(range(5)), track(range(9), seed=1)), "all 2 bodies were seen for 11 frames or fewer"),
        (recording(track(range(20), num_joints=20)), r"found \{20\} joints; .* needs NTU's 25"),
    ],
)
def test_a_recording_without_a_usable_body_is_an_error_with_its_name(unusable, message):
    with pytest.raises(CleaningError, match=f"S001C001P001R001A001: .*{message}"):
        clean(unusable)
