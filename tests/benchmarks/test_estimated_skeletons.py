import numpy as np

from benchmarks.estimated_skeletons import aligned, distances
from ski_lvlm.skeletons.layouts import LAYOUTS

KINECT = np.random.default_rng(0).normal(size=(4, 25, 3))


def as_blazepose(kinect, *, is_swapped):
    """Return the Kinect's limbs as BlazePose's, turned about the vertical, moved and half as large."""
    blazepose, ntu = LAYOUTS["blazepose-33"].joints, LAYOUTS["ntu-25"].joints
    joints = np.full((len(kinect), 2, 33, 3), np.nan)
    for side, other in (("left", "right"), ("right", "left")):
        for part in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle"):
            source = ntu.index(f"{other if is_swapped else side} {part}")
            joints[:, 1, blazepose.index(f"{side} {part}")] = kinect[:, source][:, [2, 1, 0]] * [-0.5, 0.5, 0.5] + 3
    return joints


def test_alignment_turns_moves_and_scales_and_never_mirrors():
    body = KINECT[0, :12]
    turned = body[:, [2, 1, 0]] * [-0.5, 0.5, 0.5] + 3
    np.testing.assert_allclose(aligned(turned, body), body, atol=1e-9)
    mirrored = body * [-1, 1, 1]
    assert np.linalg.norm(aligned(mirrored, body) - body, axis=-1).mean() > 0.1


def test_the_nearest_person_is_compared_by_the_names_of_the_sides():
    for is_swapped in (False, True):
        joints = as_blazepose(KINECT, is_swapped=is_swapped)
        assert max(distances(joints, KINECT, range(4), is_swapped=is_swapped)) < 1e-6  # cm
        assert min(distances(joints, KINECT, range(4), is_swapped=not is_swapped)) > 10


def test_a_frame_with_few_joints_does_not_count():
    joints = as_blazepose(KINECT, is_swapped=False)
    joints[1, 1, 11:25] = np.nan  # four joints of the legs remain
    assert len(distances(joints, KINECT, range(4), is_swapped=False)) == 3
