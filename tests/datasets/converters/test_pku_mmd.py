import numpy as np
import pytest

from ski_lvlm.skeletons.cleaning import clean
from ski_lvlm.skeletons.recordings import recording
from tests.cases.conversion_case import convert, touch, upright, write_lines

LISTS = "Training videos:\n0002-L, 0003-M, \nValidataion videos:\n0004-R, \n"


def bodies(num_frames=40):
    """Return a person who is always there and one who comes late, of 25 joints each."""
    joints = np.stack([upright(num_frames, seed=seed) for seed in (0, 1)], axis=1)
    joints[:15, 1] = 0
    return joints


def fill(root, names=("0002-L", "0003-M", "0004-R"), lists=True):
    joints = bodies()
    for name in names:
        write_lines(root / "PKU_Skeleton_Renew" / f"{name}.txt", joints.reshape(len(joints), 150))
        (root / "Train_Label_PKU_final").mkdir(parents=True, exist_ok=True)
        (root / "Train_Label_PKU_final" / f"{name}.txt").write_text("1,0,12,1\n12,15,40,2\n")
    if lists:
        (root / "cross-subject.txt").write_text(LISTS)
    return joints


def test_labels_give_clips_cleaned_as_ntu_is(tmp_path):
    joints = fill(tmp_path / "root")
    touch(tmp_path / "root" / "RGB_VIDEO" / "0002-L.avi")
    touch(tmp_path / "root" / "DEPTH_VIDEO" / "0002-L.avi")
    converted = convert("pku-mmd", tmp_path / "root", tmp_path / "out")
    first, second = converted.clips["0002-L_001"], converted.clips["0002-L_002"]
    assert (first["class"], second["class"]) == ("bow", "giving something to other person")
    assert (second["start_frame"], second["end_frame"], second["camera"], second["recording"]) == (
        *("15", "40", "L", "0002-L"),
    )
    assert second["video"].endswith("RGB_VIDEO/0002-L.avi") and converted.packed.cleaning == "ctrgcn-1"
    absent = np.where(joints == 0, np.float32(np.nan), joints)
    alone, both = (converted.packed.get(f"0002-L_00{number}") for number in (1, 2))
    assert alone.shape == (12, 1, 25, 3) and both.shape == (25, 2, 25, 3)
    np.testing.assert_allclose(both, clean(recording("x", absent[15:40])).joints, atol=1e-5)


def test_lists_become_columns_and_cameras_are_the_other_protocol(tmp_path):
    fill(tmp_path / "root")
    converted = convert("pku-mmd", tmp_path / "root", tmp_path / "out")
    assert {row["recording"]: row["xsub"] for row in converted.clips.values()} == {
        **dict.fromkeys(("0002-L", "0003-M"), "train"),
        "0004-R": "test",
    }
    assert converted.report["protocols"] == dict.fromkeys(("xsub", "xview"), {"train": 4, "test": 2})
    protocols = converted.description["protocols"]
    assert list(protocols) == ["xsub", "xview"]
    assert protocols["xview"] == {"train": {"camera": ["M", "R"]}, "test": {"camera": "L"}}


def test_what_is_wrong_is_listed(tmp_path):
    root = tmp_path / "root"
    fill(root, lists=False)
    labels = root / "Train_Label_PKU_final"
    (labels / "0003-M.txt").write_text("99,0,12,1\n1,12,12,1\n1,500,600,1\n1,0,12,1\n")
    (labels / "0005-L.txt").write_text("1,0,12,1\n")
    skeleton = root / "PKU_Skeleton_Renew" / "0004-R.txt"
    skeleton.write_text(skeleton.read_text()[:-9])
    converted = convert("pku-mmd", root, tmp_path / "out")
    skipped, bad = converted.report["skipped"], converted.report["bad"]
    assert list(converted.clips) == ["0002-L_001", "0002-L_002", "0003-M_004"]
    assert "found class 99" in skipped["0003-M_001"] and "its span is 12 to 12" in skipped["0003-M_002"]
    assert "has 40 frames, but the clip 0003-M_003 starts at 500" in bad["0003-M_003"]
    assert "labels of 0005-L, which has no skeletons here" in skipped.values()
    assert "not lines of equally many numbers" in bad["0004-R_001"]


def test_skeletons_without_labels_are_an_error(tmp_path):
    write_lines(tmp_path / "root" / "0002-L.txt", bodies().reshape(-1, 150))
    with pytest.raises(ValueError, match=r"expected skeletons such as 0002-L\.txt in one folder and labels"):
        convert("pku-mmd", tmp_path / "root", tmp_path / "out")
