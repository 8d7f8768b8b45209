import numpy as np
import pytest
from scipy.io import savemat

from ski_lvlm.skeletons.layouts import layout_named
from tests.cases.conversion_case import GENUINE_UTD, centred_first, convert, moving, needs_genuine_utd, touch

LAYOUT = layout_named("kinect-20")
# fmt: off
UTD_ORDER = [
    "head", "shoulder centre", "spine", "hip centre", "left shoulder", "left elbow", "left wrist", "left hand",
    "right shoulder", "right elbow", "right wrist", "right hand", "left hip", "left knee", "left ankle", "left foot",
    "right hip", "right knee", "right ankle", "right foot",
]
# fmt: on


def write(folder, name, joints=None, *, key="d_skel"):
    joints = moving(6, 20, 3) if joints is None else joints
    folder.mkdir(parents=True, exist_ok=True)
    savemat(folder / f"{name}_skeleton.mat", {key: np.moveaxis(joints, 0, 2).astype(np.float64)})
    return joints


def test_joints_come_in_the_order_of_the_layout(tmp_path):
    joints = write(tmp_path / "root" / "Skeleton", "a1_s1_t1")
    converted = convert("utd-mhad", tmp_path / "root", tmp_path / "out")
    ordered = centred_first(joints[:, [UTD_ORDER.index(joint) for joint in LAYOUT.joints]], LAYOUT.centre)
    np.testing.assert_allclose(converted.packed.get("a1_s1_t1")[:, 0], ordered, atol=1e-6)
    assert (converted.packed.layout.name, converted.packed.cleaning) == ("kinect-20", "centred-1")


def test_names_give_classes_and_subjects_and_videos_are_found(tmp_path):
    root = tmp_path / "root"
    for name in ("a1_s1_t1", "a27_s2_t4"):
        write(root, name)
    touch(root / "RGB" / "a27_s2_t4_color.avi")
    touch(root / "Depth" / "a1_s1_t1_depth.mat")
    converted = convert("utd-mhad", root, tmp_path / "out")
    assert converted.clips["a1_s1_t1"] == {
        "clip": "a1_s1_t1",
        "class": "swipe left",
        "video": "",
        "subject": "1",
        "trial": "1",
    }
    assert converted.clips["a27_s2_t4"]["video"] == str(root / "RGB" / "a27_s2_t4_color.avi")
    assert converted.description["protocols"]["xsub"] == {
        "train": {"subject": [1, 3, 5, 7]},
        "test": {"subject": [2, 4, 6, 8]},
    }
    assert converted.report["protocols"] == {"xsub": {"train": 1, "test": 1}}
    assert len(converted.description["splits"]["A"]["unseen"]) == 5 and not converted.report["skipped"]


def test_damaged_files_are_listed_and_the_rest_is_kept(tmp_path, capsys):
    root = tmp_path / "root"
    write(root, "a1_s1_t1")
    whole = (root / "a1_s1_t1_skeleton.mat").read_bytes()
    for name, content in (("a1_s1_t2", whole[: len(whole) // 2]), ("a1_s1_t3", b""), ("a1_s1_t4", b"no mat " * 99)):
        (root / f"{name}_skeleton.mat").write_bytes(content)
    write(root, "a2_s1_t1", key="other")
    write(root, "a2_s1_t2", moving(6, 19, 3))
    write(root, "a2_s1_t3", np.zeros((6, 20, 3)))
    write(root, "a28_s1_t1")
    touch(root / "notes.mat")
    converted = convert("utd-mhad", root, tmp_path / "out")
    bad = converted.report["bad"]
    assert list(converted.clips) == converted.packed.names == ["a1_s1_t1"]
    assert list(bad) == ["a1_s1_t2", "a1_s1_t3", "a1_s1_t4", "a2_s1_t1", "a2_s1_t2", "a2_s1_t3"]
    assert all("not a readable .mat file" in bad[f"a1_s1_t{trial}"] for trial in (2, 3, 4))
    assert "found nothing in d_skel" in bad["a2_s1_t1"] and "(19, 3, 6)" in bad["a2_s1_t2"]
    assert "no joint in any frame" in bad["a2_s1_t3"]
    assert sorted(reason.split(";")[0] for reason in converted.report["skipped"].values()) == [
        *("found class 28", "its name is none of this data set's clips")
    ]
    assert "skeleton" in capsys.readouterr().out


def test_a_folder_without_the_data_set_is_an_error(tmp_path):
    touch(tmp_path / "a.avi")
    with pytest.raises(ValueError, match=r"found \.avi; expected files such as a1_s1_t1_skeleton\.mat"):
        convert("utd-mhad", tmp_path, tmp_path / "out")
    with pytest.raises(ValueError, match="nowhere: no such folder; --root names"):
        convert("utd-mhad", tmp_path / "nowhere", tmp_path / "out")


@needs_genuine_utd
def test_the_genuine_files_stand_upright(tmp_path):
    (tmp_path / "root").mkdir()
    for file in GENUINE_UTD.glob("a1_s[12]_t1_skeleton.mat"):
        (tmp_path / "root" / file.name).symlink_to(file)
    converted = convert("utd-mhad", tmp_path / "root", tmp_path / "out")
    joints = converted.packed.get("a1_s1_t1")[:, 0].mean(axis=0)
    height = {joint: joints[place, 1] for place, joint in enumerate(LAYOUT.joints)}
    assert height["head"] > height["shoulder centre"] > height["spine"] > height["hip centre"] > height["left knee"]
    assert height["left knee"] > height["left foot"] and 1 < height["head"] - height["left foot"] < 2
    assert len(converted.packed) == 2 and not converted.report["bad"]
