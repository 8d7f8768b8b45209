import numpy as np
import pytest

from ski_lvlm.skeletons.layouts import layout_named
from tests.cases.conversion_case import centred_first, convert, moving, write_lines

CENTRE = layout_named("kinect-20").centre
LABELS = """s01_e01
walk: 10 14
sitDown: 15 19
carry: NaN NaN

s02_e01
walk: 10 12
clapHands: 900 950
"""


def fill(root, *, labels=LABELS, place=""):
    joints = moving(20, 20, 3)
    rows = [[10 + number, *frame.ravel()] for number, frame in enumerate(joints)]
    rows.insert(3, rows[2])  # lines of one frame are repeated
    for name in ("joints_s01_e01", "joints_s02_e01"):
        write_lines(root / "joints" / f"{name}.txt", rows)
    (root / place).mkdir(parents=True, exist_ok=True)
    (root / place / "actionLabel.txt").write_text(labels)
    return joints


@pytest.mark.parametrize("place", ["", "joints"])
def test_spans_of_frame_numbers_become_clips(tmp_path, place):
    joints = fill(tmp_path / "root", place=place)
    converted = convert("utkinect", tmp_path / "root", tmp_path / "out")
    assert {clip: (row["class"], row["subject"]) for clip, row in converted.clips.items()} == {
        "s01_e01_walk": ("walk", "1"),
        "s01_e01_sitdown": ("sit down", "1"),
        "s02_e01_walk": ("walk", "2"),
    }
    assert converted.report["protocols"] == {"xsub": {"train": 2, "test": 1}}
    for clip, frames in (("s01_e01_walk", slice(0, 5)), ("s01_e01_sitdown", slice(5, 10))):
        expected = centred_first(joints[frames], CENTRE)
        np.testing.assert_allclose(converted.packed.get(clip)[:, 0], expected, atol=1e-5)
    assert len(converted.description["classes"]) == 10


def test_labels_may_lie_beside_the_folder_of_joints(tmp_path):
    fill(tmp_path / "root")
    assert len(convert("utkinect", tmp_path / "root" / "joints", tmp_path / "out").clips) == 3


def test_open_spans_and_spans_without_frames_are_listed(tmp_path):
    fill(tmp_path / "root", labels=LABELS + "s03_e01\nwalk: 1 9\ns01_e01\ndance: 1 5\nwalk: 1 2\n")
    report = convert("utkinect", tmp_path / "root", tmp_path / "out").report
    assert "no frame from 900 to 950, where claphands is; it has 10 to 29" in report["bad"]["s02_e01_claphands"]
    assert "its span is NaN to NaN" in report["skipped"]["s01_e01_carry"]
    assert report["skipped"]["s03_e01_walk"] == "no file joints_s03_e01.txt"
    assert "found the action dance" in report["skipped"]["s01_e01_dance"]
    assert "twice" in report["skipped"]["s01_e01_walk"]


def test_a_damaged_recording_costs_its_clips_alone(tmp_path):
    fill(tmp_path / "root")
    write_lines(tmp_path / "root" / "joints" / "joints_s01_e01.txt", [range(60)])
    converted = convert("utkinect", tmp_path / "root", tmp_path / "out")
    assert list(converted.clips) == ["s02_e01_walk"]
    assert "found 60 numbers a line; expected a frame number and 20 joints" in converted.report["bad"]["s01_e01_walk"]


def test_labels_are_needed(tmp_path):
    fill(tmp_path / "root")
    (tmp_path / "root" / "actionLabel.txt").unlink()
    with pytest.raises(ValueError, match=r"expected joints_s01_e01\.txt and so on, and actionLabel\.txt"):
        convert("utkinect", tmp_path / "root", tmp_path / "out")
