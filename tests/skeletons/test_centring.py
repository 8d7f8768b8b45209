import numpy as np
import pytest

from ski_lvlm.skeletons.centring import centred, up, without_zeros
from ski_lvlm.skeletons.cleaning import CleaningError
from ski_lvlm.skeletons.layouts import layout_named

KINECT, LCRNET = layout_named("kinect-20"), layout_named("lcrnet-13")


def still(num_frames=6, num_persons=1, layout=KINECT):
    """Return persons who do not move, a metre apart."""
    person = np.linspace(0.1, 1.7, layout.num_joints * layout.dimensions).reshape(layout.num_joints, layout.dimensions)
    joints = np.tile(person, (num_frames, num_persons, 1, 1)).astype(np.float32)
    return joints + np.arange(num_persons, dtype=np.float32)[:, None, None]


def test_the_two_liveliest_persons_are_kept_the_liveliest_first():
    joints = still(num_persons=4)
    for person, size in ((1, 0.1), (3, 0.5)):
        joints[:, person] += size * np.arange(6, dtype=np.float32)[:, None, None]
    cleaned = centred(joints, layout=KINECT)
    np.testing.assert_allclose(cleaned, joints[:, [3, 1]] - joints[0, 3, KINECT.centre[0]], atol=1e-6)


def test_empty_frames_and_persons_go_and_single_absent_joints_stay_absent():
    joints = still(num_persons=3)
    joints[:, 1] = np.nan
    joints[2] = np.nan
    joints[4, 0, 5, 1] = np.nan  # one coordinate alone
    cleaned = centred(joints, layout=KINECT)
    assert cleaned.shape == (5, 2, 20, 3)
    assert np.argwhere(np.isnan(cleaned).any(axis=-1)).tolist() == [[3, 0, 5]]
    assert np.isnan(cleaned[3, 0, 5]).all()


def test_the_origin_is_the_middle_of_the_centre_joints_that_are_there():
    joints = still(layout=LCRNET)
    from_middle = joints[0, 0, 12] - (joints[0, 0, 10] + joints[0, 0, 11]) / 2
    np.testing.assert_allclose(centred(joints, layout=LCRNET)[0, 0, 12], from_middle, atol=1e-6)
    joints[0, 0, 10] = np.nan
    np.testing.assert_allclose(centred(joints, layout=LCRNET)[0, 0, 11], 0, atol=1e-6)
    joints[0, 0, 11] = np.nan  # then the next frame counts
    np.testing.assert_allclose(centred(joints, layout=LCRNET)[1, 0, 12], from_middle, atol=1e-6)


def test_clips_without_a_centre_or_anybody_are_refused():
    joints = still()
    joints[:, 0, KINECT.centre[0]] = np.nan
    with pytest.raises(CleaningError, match="the main actor's shoulder centre is absent in every frame"):
        centred(joints, layout=KINECT)
    with pytest.raises(CleaningError, match="no joint in any frame"):
        centred(np.full((3, 2, 20, 3), np.nan, np.float32), layout=KINECT)
    with pytest.raises(CleaningError, match="no joint in any frame"):
        centred(np.zeros((0, 0, 20, 3), np.float32), layout=KINECT)
    with pytest.raises(CleaningError, match=r"found joints \(19, 3\); expected \(20, 3\)"):
        centred(joints[:, :, 1:], layout=KINECT)


def test_only_joints_of_zeros_alone_are_absent():
    joints = still()
    joints[1, 0, 3] = 0
    joints[2, 0, 3, :2] = 0
    assert np.argwhere(np.isnan(without_zeros(joints)).any(axis=-1)).tolist() == [[1, 0, 3]]


def test_heads_tell_where_up_is():
    poses = still(5, layout=LCRNET)[:, 0]  # the head is the last joint, and the ankles are the first
    assert up(list(poses), layout=LCRNET) == 1
    assert up(list(-poses), layout=LCRNET) == -1
    assert up([*poses[:2], *(-poses)], layout=LCRNET) == -1
    assert up([], layout=LCRNET) == 1
