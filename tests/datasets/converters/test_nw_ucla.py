import numpy as np

from ski_lvlm.skeletons.layouts import layout_named
from tests.cases.conversion_case import centred_first, convert, moving, touch, write_json

CENTRE = layout_named("kinect-20").centre


def write(folder, name, label, joints=None):
    joints = moving(5, 20, 3) if joints is None else joints
    write_json(folder / f"{name}.json", {"file_name": name, "skeletons": np.asarray(joints).tolist(), "label": label})
    return joints


def test_clips_are_named_by_action_number_and_labelled_by_rank(tmp_path):
    root = tmp_path / "root"
    joints = write(root / "all_sqe", "a08_s01_e00_v01", 7)
    write(root / "all_sqe", "a12_s10_e02_v03", 10)
    write(root / "all_sqe", "A01_S02_E02_V02", 1)
    touch(root / "videos" / "a12_s10_e02_v03.avi")
    converted = convert("nw-ucla", root, tmp_path / "out")
    assert {clip: row["class"] for clip, row in converted.clips.items()} == {
        "A01_S02_E02_V02": "pick up with one hand",
        "a08_s01_e00_v01": "put on a jacket",
        "a12_s10_e02_v03": "carry",
    }
    row = converted.clips["a12_s10_e02_v03"]
    assert (row["subject"], row["take"], row["view"]) == ("10", "2", "3") and row["video"].endswith(".avi")
    assert converted.description["protocols"]["xview"] == {"train": {"view": [1, 2]}, "test": {"view": 3}}
    assert converted.report["protocols"] == {"xview": {"train": 2, "test": 1}}
    expected = centred_first(joints, CENTRE)
    np.testing.assert_allclose(converted.packed.get("a08_s01_e00_v01")[:, 0], expected, atol=1e-6)


def test_frames_without_joints_are_dropped_and_single_absent_joints_stay_absent(tmp_path):
    joints = moving(5, 20, 3)
    joints[1] = 0
    joints[3, 7] = 0
    write(tmp_path / "root", "a01_s01_e00_v01", 1, joints)
    packed = convert("nw-ucla", tmp_path / "root", tmp_path / "out").packed.get("a01_s01_e00_v01")
    assert packed.shape == (4, 1, 20, 3)
    assert np.argwhere(np.isnan(packed[..., 0])).tolist() == [[2, 0, 7]]


def test_damaged_files_are_listed(tmp_path):
    root = tmp_path / "root"
    write(root, "a01_s01_e00_v01", 1)
    write(root, "a01_s01_e01_v01", 5)
    write(root, "a01_s01_e02_v01", 1, moving(5, 19, 3))
    write(root, "a07_s01_e02_v01", 1)
    text = (root / "a01_s01_e00_v01.json").read_text()
    (root / "a01_s01_e03_v01.json").write_text(text[: len(text) // 2])
    (root / "a01_s01_e04_v01.json").write_text("")
    write_json(root / "a01_s01_e05_v01.json", [1, 2])
    write_json(root / "a01_s01_e06_v01.json", {"skeletons": [[[0, 0, 0]], []], "label": 1})
    write_json(root / "train_label.json", {})
    converted = convert("nw-ucla", root, tmp_path / "out")
    bad = converted.report["bad"]
    assert list(converted.clips) == ["a01_s01_e00_v01"] and len(bad) == 6
    assert "its label is 5, but action 1 of its name has 1" in bad["a01_s01_e01_v01"]
    assert "(5, 19, 3); expected (frames, 20, 3)" in bad["a01_s01_e02_v01"]
    assert "is cut off" in bad["a01_s01_e03_v01"] and "is empty" in bad["a01_s01_e04_v01"]
    assert "found no list 'skeletons'" in bad["a01_s01_e05_v01"]
    assert "unequal numbers of joints" in bad["a01_s01_e06_v01"]
    assert len(converted.report["skipped"]) == 2
