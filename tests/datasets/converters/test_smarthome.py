import numpy as np
import pytest

from ski_lvlm.skeletons.layouts import layout_named
from tests.cases.conversion_case import centred_first, convert, moving, touch, write_json


def poses(num_frames, num_joints, seed=0):
    """Return joints with the head (12) above the ankles, y up."""
    joints = moving(num_frames, num_joints, 3, seed=seed)
    joints[:, [0, 1], 1] = -1
    return joints


def write(file, joints, *, gaps=()):
    frames = [
        [] if time in gaps else [{"pose2d": [], "pose3d": frame.T.ravel().tolist()}]
        for time, frame in enumerate(np.asarray(joints))
    ]
    return write_json(file, {"K": [], "frames": frames})


@pytest.mark.parametrize(("num_joints", "name"), [(13, "lcrnet-13"), (17, "lcrnet-17")])
def test_poses_are_read_coordinate_by_coordinate(tmp_path, num_joints, name):
    joints = poses(6, num_joints)
    write(tmp_path / "root" / "json" / "Cook.Cleandishes_p02_r00_v02_c03.json", joints, gaps=[2])
    touch(tmp_path / "root" / "mp4" / "Cook.Cleandishes_p02_r00_v02_c03.mp4")
    converted = convert("smarthome", tmp_path / "root", tmp_path / "out")
    row = converted.clips["Cook.Cleandishes_p02_r00_v02_c03"]
    assert (row["class"], row["subject"], row["camera"]) == ("clean dishes", "2", "3") and row["video"]
    expected = centred_first(joints[[0, 1, 3, 4, 5]], layout_named(name).centre)
    np.testing.assert_allclose(converted.packed.get("Cook.Cleandishes_p02_r00_v02_c03")[:, 0], expected, atol=1e-6)
    assert converted.packed.layout.name == converted.description["layout"] == name


def test_files_in_which_y_points_down_are_turned(tmp_path):
    joints = poses(6, 13)
    write(tmp_path / "root" / "Walk_p02_r00_v02_c03.json", joints * [1, -1, 1])
    packed = convert("smarthome", tmp_path / "root", tmp_path / "out").packed
    expected = centred_first(joints, layout_named("lcrnet-13").centre)
    np.testing.assert_allclose(packed.get("Walk_p02_r00_v02_c03")[:, 0], expected, atol=1e-6)


def test_protocols_are_those_of_the_data_set(tmp_path):
    write(tmp_path / "root" / "Walk_p02_r00_v02_c03.json", poses(6, 13))
    description = convert("smarthome", tmp_path / "root", tmp_path / "out").description
    assert len(description["classes"]) == 31 and list(description["protocols"]) == ["xsub", "xview1", "xview2"]
    assert len(description["protocols"]["xsub"]["train"]["subject"]) == 11
    for name, cameras in (("xview1", 1), ("xview2", [1, 3, 4, 6, 7])):
        protocol = description["protocols"][name]
        assert (protocol["train"], protocol["test"]) == ({"camera": cameras}, {"camera": 2})
        assert len(protocol["classes"]) == 19


def test_cross_view_protocols_have_their_classes_alone(tmp_path):
    for word in ("Walk", "WatchTV"):  # nobody watches TV before camera 2
        for camera in (1, 2, 3):
            write(tmp_path / "root" / f"{word}_p03_r00_v02_c0{camera}.json", poses(6, 13))
    assert convert("smarthome", tmp_path / "root", tmp_path / "out").report["protocols"] == {
        "xsub": {"train": 6, "test": 0},
        "xview1": {"train": 1, "test": 1},
        "xview2": {"train": 2, "test": 1},
    }


def test_videos_alone_are_a_data_set_without_skeletons(tmp_path):
    touch(tmp_path / "root" / "WatchTV_p25_r01_v12_c07.mp4")
    converted = convert("smarthome", tmp_path / "root", tmp_path / "out")
    assert converted.clips["WatchTV_p25_r01_v12_c07"]["class"] == "watch TV" and "layout" not in converted.description


def test_refined_poses_come_first_and_damaged_ones_are_listed(tmp_path):
    root = tmp_path / "root"
    write(root / "a" / "Walk_p02_r00_v02_c03.json", poses(3, 13))
    write(root / "b" / "Walk_p02_r00_v02_c03_pose3d.json", poses(4, 13))
    write(root / "Walk_p02_r00_v02_c04.json", poses(3, 17))
    write(root / "Walk_p02_r00_v02_c05.json", poses(3, 14))
    write(root / "Walk_p02_r00_v02_c06.json", poses(3, 13), gaps=range(3))
    write_json(root / "Walk_p02_r00_v02_c07.json", {"frames": [[{"pose3d": ["a"] * 39}]]})
    write_json(root / "Walk_p02_r00_v02_c01.json", [])
    write(root / "Dance_p02_r00_v02_c03.json", poses(3, 13))
    touch(root / "Walk_p02_r00_v02_c07.mp4")
    converted = convert("smarthome", root, tmp_path / "out")
    bad = converted.report["bad"]
    assert converted.packed.num_frames("Walk_p02_r00_v02_c03") == 4
    assert list(converted.clips) == ["Walk_p02_r00_v02_c03", "Walk_p02_r00_v02_c07"]  # the latter for its video
    assert "found 17 joints; expected 13, as elsewhere" in bad["Walk_p02_r00_v02_c04"]
    assert "expected 39 or 51 numbers" in bad["Walk_p02_r00_v02_c05"]
    assert "no joint in any frame" in bad["Walk_p02_r00_v02_c06"]
    assert "holds no plain numbers" in bad["Walk_p02_r00_v02_c07"]
    assert "found no list 'frames'" in bad["Walk_p02_r00_v02_c01"]
    assert "found the action Dance" in converted.report["skipped"]["Dance_p02_r00_v02_c03"]
