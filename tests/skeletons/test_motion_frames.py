import numpy as np
import pytest

from ski_lvlm.skeletons.motion_frames import calm_frames, frame_motion, frames_to_keep
from tests.cases.reference_weights import reference
from tests.cases.stand_in_case import skeleton_input


def swinging_clips():
    swing = 1 + 0.3 * np.sin(0.9 * np.arange(50))
    return skeleton_input(clips=3, frames=50).numpy() * swing[:, None, None, None].astype(np.float32)


def clip(frames=10):
    return np.random.default_rng(0).normal(size=(frames, 2, 5, 3)).astype(np.float32).cumsum(0)


def test_calm_frames_are_the_published_ones():
    arrays, _ = reference("smie")
    for skeleton, two_sided, one_sided in zip(
        swinging_clips(), arrays["motion_kept"], arrays["motion_kept_one_sided"], strict=True
    ):
        assert np.array_equal(calm_frames(skeleton), two_sided)
        assert np.array_equal(calm_frames(skeleton, is_one_sided=True), one_sided)


def test_motion_is_the_mean_square_of_both_sides():
    skeleton = np.zeros((4, 1, 2, 2))
    skeleton[2:, 0, 0, 0] = 2.0  # one of four coordinates moves by 2 between the second frame and the third
    assert frame_motion(skeleton).tolist() == [0.0, 1.0, 1.0, 0.0]
    assert frame_motion(skeleton, is_one_sided=True).tolist() == [0.0, 1.0, 0.0, 0.0]


def test_an_absent_person_and_an_absent_joint_do_not_count():
    alone = clip()[:, :1]
    pair = np.concatenate([alone, np.full_like(alone, np.nan)], axis=1)
    assert np.allclose(frame_motion(pair), frame_motion(alone))
    pair[4:7, 0, 1] = np.nan
    torn, smaller = frame_motion(pair), frame_motion(np.delete(alone, 1, axis=2))
    assert np.allclose(torn[4:7], smaller[4:7])  # also on the way to the absence and out of it
    assert np.allclose(torn[[0, 1, 2, 8, 9]], frame_motion(alone)[[0, 1, 2, 8, 9]])


def test_someone_who_comes_in_does_not_move_by_that():
    skeleton = np.zeros((6, 2, 5, 3))
    skeleton[:, 1] = 3.0
    skeleton[:3, 1] = np.nan
    assert not frame_motion(skeleton).any()


def test_frames_that_show_nobody_are_not_kept():
    skeleton = clip(50)
    skeleton[10:40] = np.nan
    assert len(calm_frames(skeleton)) == 14 and not set(range(10, 40)) & set(calm_frames(skeleton))
    frames = frames_to_keep(skeleton, rng=np.random.default_rng(0))
    assert len(frames) == 8 and not set(range(10, 40)) & set(frames)


def test_twenty_of_fifty_frames_are_drawn_from_the_calm_ones_in_order():
    skeleton = swinging_clips()[0]
    draws = [frames_to_keep(skeleton, rng=np.random.default_rng(seed)) for seed in (0, 0, 1)]
    assert np.array_equal(draws[0], draws[1]) and not np.array_equal(draws[0], draws[2])
    for frames in draws:
        assert len(frames) == 20 and (np.diff(frames) > 0).all() and set(frames) <= set(calm_frames(skeleton))


@pytest.mark.parametrize(("length", "calm", "number"), [(1, 1, 1), (2, 1, 1), (5, 4, 2), (103, 72, 41)])
def test_a_clip_of_any_length_keeps_a_share(length, calm, number):
    skeleton = clip(length)
    assert len(calm_frames(skeleton)) == calm
    assert len(frames_to_keep(skeleton, rng=np.random.default_rng(0))) == number


@pytest.mark.parametrize("frames", [0, 5])
def test_a_clip_without_anybody_is_refused(frames):
    with pytest.raises(ValueError, match="shows nobody in any frame"):
        calm_frames(np.full((frames, 2, 5, 3), np.nan))
    with pytest.raises(ValueError, match="shows nobody in any frame"):
        frames_to_keep(np.full((frames, 2, 5, 3), np.nan), rng=np.random.default_rng(0))
