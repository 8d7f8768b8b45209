import importlib.metadata
import threading

import numpy as np
import pytest

from data_curation.cropping.boxes import KINECT, skeleton_boxes, static_box
from data_curation.cropping.detect import find_boxes
from ski_lvlm.estimation.blazepose_detector import BlazePose, Bodies, anchors, decoded, distinct, squares
from ski_lvlm.skeletons.ntu_file import read_skeleton
from tests.cases.recordings import GENUINE, needs_genuine_ntu


@pytest.fixture(scope="module")
def blazepose():
    pytest.importorskip("ai_edge_litert", reason="the offline packages are not installed")
    try:
        return BlazePose()
    except ImportError:
        pytest.skip("the offline packages are not installed")


def bodies(*heads, radius=10.0, scores=None):
    heads = np.array(heads, float).reshape(-1, 2)
    return Bodies(heads, heads + 5, np.full(len(heads), radius), np.array(scores or [0.9] * len(heads)))


@pytest.mark.parametrize(("width", "height"), [(640, 360), (360, 640), (340, 256), (300, 300), (2000, 100)])
def test_squares_cover_the_picture_and_overlap_by_half(width, height):
    corners, side = squares(width=width, height=height), min(width, height)
    along = corners.max(axis=1)
    assert along[0] == 0 and along[-1] + side == max(width, height)
    assert (np.diff(along) <= np.ceil(side / 2)).all() and (corners.min(axis=1) == 0).all()


def test_anchors_are_the_cells_middles_in_the_networks_order():
    where = anchors()
    assert where.shape == (2254, 2)
    assert where[0].tolist() == where[1].tolist() == [0.5 / 28, 0.5 / 28]
    assert where[2].tolist() == [1.5 / 28, 0.5 / 28]  # x runs first
    assert where[28 * 28 * 2].tolist() == [0.5 / 14, 0.5 / 14]
    assert where[-1].tolist() == where[-6].tolist() == [6.5 / 7, 6.5 / 7]


def test_what_the_network_says_becomes_head_hips_and_reach():
    points, logits = np.zeros((2254, 12), np.float32), np.full(2254, -100, np.float32)
    points[0, [0, 4, 5, 6]] = 22.4, 44.8, 44.8, 112  # in pixels of 224, from the anchor
    points[0, 7] = 44.8
    logits[[0, 7]] = 3, -0.1
    found = decoded(points, logits)
    corner = 0.5 / 28
    np.testing.assert_allclose(found.heads, [[0.1 + corner, corner]], rtol=1e-6)
    np.testing.assert_allclose(found.hips, [[0.2 + corner, 0.2 + corner]], rtol=1e-6)
    np.testing.assert_allclose(found.radius, [0.3], rtol=1e-6)
    assert found.scores == pytest.approx([0.9526], abs=1e-4)
    placed = found.in_picture(np.array([140, 0]), 360)
    np.testing.assert_allclose(placed.heads, [[140 + 360 * (0.1 + corner), 360 * corner]], rtol=1e-6)


def test_logits_beyond_any_exponential_are_no_warning(recwarn):
    decoded(np.zeros((2254, 12), np.float32), np.linspace(-1e4, 1e4, 2254, dtype=np.float32))
    assert not recwarn.list


def test_answers_with_one_head_are_one_person_and_the_surest_counts():
    found = distinct(bodies((0, 0), (3, 0), (50, 0), scores=[0.7, 0.9, 0.8]))
    assert found.scores.tolist() == [0.9, 0.8]
    assert found.boxes[0].tolist() == [3 + 5 - 11, 5 - 11, 3 + 5 + 11, 5 + 11]
    assert len(distinct(bodies()).boxes) == 0


@pytest.mark.slow
def test_nobody_is_in_an_empty_picture_however_many_threads_look(blazepose):
    frames = np.zeros((2, 90, 160, 3), np.uint8)
    results = []
    threads = [threading.Thread(target=lambda: results.append(blazepose(frames))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(found.boxes) for each in results for found in each] == [0] * 8


@needs_genuine_ntu
def test_the_genuine_actor_is_found_where_the_skeleton_is(blazepose):
    video = GENUINE.with_name(f"{GENUINE.stem}_rgb.avi")
    boxes = find_boxes(video, detector=blazepose, persons=2)
    assert boxes.shape == (1, 103, 4)
    size = {"width": KINECT[0], "height": KINECT[1]}
    joints = static_box(skeleton_boxes(read_skeleton(GENUINE), persons=1), **size, slack=0)
    found = static_box(boxes, **size, slack=0)
    assert found.left <= joints.left and found.top <= joints.top
    assert found.right >= joints.right and found.bottom >= joints.bottom
    assert found.bottom - found.top < 1.5 * (joints.bottom - joints.top)


def test_without_the_packages_the_error_says_what_to_install(monkeypatch):
    def absent(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", absent)
    with pytest.raises(ImportError, match="pip install --no-deps -r requirements-offline.txt"):
        BlazePose()
