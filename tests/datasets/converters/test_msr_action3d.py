import numpy as np

from ski_lvlm.skeletons.layouts import layout_named
from tests.cases.conversion_case import centred_first, convert, moving, write_lines

LAYOUT = layout_named("kinect-20")
REAL = "MSRAction3DSkeletonReal3D"
SCREEN = "MSRAction3DSkeleton(20joints)"
# fmt: off
MSR_ORDER = [
    "left shoulder", "right shoulder", "shoulder centre", "spine", "left hip", "right hip", "hip centre",
    "left elbow", "right elbow", "left wrist", "right wrist", "left hand", "right hand",
    "left knee", "right knee", "left ankle", "right ankle", "left foot", "right foot", "head",
]
# fmt: on


def write(file, joints=None):
    joints = moving(6, 20, 3) if joints is None else joints
    write_lines(file, [[*joint, 1] for frame in joints for joint in frame])
    return joints


def pixels():
    return moving(6, 20, 3) * [100, 100, 500]


def test_joints_come_in_the_order_of_the_layout(tmp_path):
    joints = write(tmp_path / "root" / REAL / "a20_s10_e03_skeleton3D.txt")
    converted = convert("msr-action3d", tmp_path / "root", tmp_path / "out")
    ordered = centred_first(joints[:, [MSR_ORDER.index(joint) for joint in LAYOUT.joints]], LAYOUT.centre)
    np.testing.assert_allclose(converted.packed.get("a20_s10_e03")[:, 0], ordered, atol=1e-5)
    row = converted.clips["a20_s10_e03"]
    assert (row["class"], row["subject"], row["take"]) == ("pick up and throw", "10", "3")
    assert converted.description["protocols"]["xsub"]["train"] == {"subject": [1, 3, 5, 7, 9]}


def test_metres_are_preferred_to_pixels(tmp_path):
    root = tmp_path / "MSRAction3D"
    write(root / SCREEN / "a01_s01_e01_skeleton.txt", pixels())
    write(root / SCREEN / "a01_s01_e02_skeleton.txt", pixels())
    write(root / REAL / "a01_s01_e01_skeleton3D.txt")
    converted = convert("msr-action3d", root, tmp_path / "out")
    assert list(converted.clips) == ["a01_s01_e01"]
    assert "a second file of the clip" in "".join(converted.report["skipped"].values())
    assert "its joints are pixels and depths" in converted.report["bad"]["a01_s01_e02"]


def test_files_named_without_3d_are_used_where_they_hold_metres(tmp_path):
    write(tmp_path / "root" / "A01_S01_E01_skeleton.txt")
    assert list(convert("msr-action3d", tmp_path / "root", tmp_path / "out").clips) == ["A01_S01_E01"]


def test_pixels_alone_have_a_cleaning_of_their_own_and_y_up(tmp_path):
    joints = pixels()
    joints[:, MSR_ORDER.index("head"), 1] = 1  # pictures count from the top
    write(tmp_path / "root" / SCREEN / "a01_s01_e01_skeleton.txt", joints)
    converted = convert("msr-action3d", tmp_path / "root", tmp_path / "out")
    packed = converted.packed.get("a01_s01_e01")[:, 0]
    assert (packed[:, LAYOUT.joints.index("head"), 1] > packed[:, LAYOUT.joints.index("left ankle"), 1]).all()
    assert converted.packed.cleaning == "centred-1-pixels"


def test_damaged_files_are_listed(tmp_path):
    root = tmp_path / "root" / REAL
    write(root / "a01_s01_e01_skeleton3D.txt")
    write(root / "a21_s01_e01_skeleton3D.txt")
    text = (root / "a01_s01_e01_skeleton3D.txt").read_text()
    (root / "a01_s01_e02_skeleton3D.txt").write_text(text[:-5])
    (root / "a01_s01_e03_skeleton3D.txt").write_text("\n".join(text.splitlines()[:-3]))
    (root / "a01_s01_e04_skeleton3D.txt").write_text("no numbers")
    (root / "a01_s01_e05_skeleton3D.txt").write_text("")
    write(root / "a01_s01_e06_skeleton3D.txt", np.zeros((3, 20, 3)))
    converted = convert("msr-action3d", root.parent, tmp_path / "out")
    bad = converted.report["bad"]
    assert list(converted.clips) == ["a01_s01_e01"]
    assert list(bad) == [f"a01_s01_e0{take}" for take in range(2, 7)]
    assert "not lines of equally many numbers" in bad["a01_s01_e02"]
    assert "found 117 lines of 4 numbers; expected 20 lines a frame" in bad["a01_s01_e03"]
    assert "is empty" in bad["a01_s01_e05"] and "no joint in any frame" in bad["a01_s01_e06"]
    assert list(converted.report["skipped"].values()) == ["found class 21; expected 1 to 20"]
