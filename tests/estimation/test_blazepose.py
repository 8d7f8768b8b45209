import numpy as np
import pytest

from ski_lvlm.estimation.blazepose import (
    BlazePoseEstimator,
    Region,
    cut_out,
    decoded,
    is_one_body,
    next_region,
    region_of_box,
)
from ski_lvlm.estimation.estimate import estimate_clip
from ski_lvlm.skeletons.ntu_file import read_skeleton
from ski_lvlm.videos.folder import VideoClip
from tests.cases.estimation_case import red_video
from tests.cases.recordings import GENUINE, needs_genuine_ntu


@pytest.fixture(scope="module")
def blazepose():
    pytest.importorskip("ai_edge_litert", reason="the offline packages are not installed")
    try:
        return BlazePoseEstimator()
    except ImportError:
        pytest.skip("the offline packages are not installed")


def test_a_square_is_cut_out_and_turned_with_the_body():
    frame = np.zeros((200, 200, 3), np.uint8)
    frame[90:110, 140:160] = 255  # to the right of the middle
    upright = cut_out(frame, Region(np.array([100.0, 100.0]), 100.0, 0.0))[..., 0]
    lying = cut_out(frame, Region(np.array([100.0, 100.0]), 100.0, np.pi / 2))[..., 0]
    rows, columns = np.nonzero(upright > 128)
    assert abs(rows.mean() - 127.5) < 2 and abs(columns.mean() - 192) < 2
    rows, columns = np.nonzero(lying > 128)  # a head to the right is now above
    assert abs(rows.mean() - 64) < 2 and abs(columns.mean() - 127.5) < 2


@pytest.mark.parametrize("turn", [0.0, 0.7, -2.0])
def test_what_the_network_says_of_a_square_is_turned_back(turn):
    region = Region(np.array([320.0, 180.0]), 64.0, turn)
    points, world = np.zeros((39, 5), np.float32), np.zeros((39, 3), np.float32)
    points[:, :2] = 128
    points[33, :2], points[34, :2] = (128, 128), (128, 28)  # the head is above, in the square
    points[3, 3], world[3] = 5, (0, -0.5, 0.2)
    body = decoded(points, world, presence=0.9, region=region)
    direction = np.array([np.sin(turn), -np.cos(turn)])
    np.testing.assert_allclose(body.points[34], region.middle + 50 * direction, atol=1e-4)
    np.testing.assert_allclose(body.joints[3], [0.5 * direction[0], -0.5 * direction[1], 0.2], atol=1e-6)  # y is up
    assert body.visibility[3] > 0.99 and body.visibility[0] == 0.5
    after = next_region(body.points)
    assert after.reach == pytest.approx(62.5) and after.turn == pytest.approx(turn)


def test_a_box_and_the_body_in_it_have_one_square():
    assert region_of_box(np.array([10.0, 20, 54, 64])).reach == pytest.approx(25.0)  # 22 of 1.1 radii, 1.25 of slack
    points = np.random.default_rng(0).uniform(0, 100, (39, 2))
    assert is_one_body(points, points + 5) and not is_one_body(points, points + 40)


def test_nobody_is_in_a_picture_of_rectangles(tmp_path, blazepose):
    estimate = estimate_clip(VideoClip(red_video(tmp_path / "x.mp4", frames=6, persons=(range(6),))), blazepose)
    assert estimate.joints.shape == (6, 1, 33, 3) and np.isnan(estimate.joints).all()


@needs_genuine_ntu
@pytest.mark.slow
def test_the_genuine_actor_has_the_kinects_limbs(blazepose):
    estimate = estimate_clip(VideoClip(GENUINE.with_name(f"{GENUINE.stem}_rgb.avi")), blazepose)
    assert not np.isnan(estimate.joints).any() and estimate.joints.shape == (103, 1, 33, 3)
    (body,) = read_skeleton(GENUINE).bodies.values()
    ours, theirs = estimate.joints[:, 0], body.joints
    assert (ours[:, 0, 1] > ours[:, 28, 1] + 1).all(), "the nose is above the ankles"
    # the picture is mirrored, so left and right change names, and the axes are the same
    for joint, kinect in ((13, 9), (14, 5), (25, 17), (26, 13)):
        own = ours[:, joint] - ours[:, [23, 24]].mean(axis=1)
        other = theirs[:, kinect] - theirs[:, [12, 16]].mean(axis=1)
        assert np.linalg.norm(own - other, axis=-1).mean() < 0.3
