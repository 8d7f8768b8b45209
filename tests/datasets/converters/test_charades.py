import csv

import pytest

from tests.cases.conversion_case import convert, touch
from tests.cases.recordings import REAL

CLASSES = "c000 Holding some clothes\nc092 Putting something, somewhere\n"
GENUINE = REAL / "lists" / "Charades_v1_test_head.csv"
COLUMNS = ("id", "subject", "scene", "actions", "length")


def fill(root, *rows, part="train"):
    root.mkdir(parents=True, exist_ok=True)
    (root / "Charades_v1_classes.txt").write_text(CLASSES)
    with (root / f"Charades_v1_{part}.csv").open("w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *rows])
    for row in rows:
        touch(root / "Charades_v1_480" / f"{row[0]}.mp4")


def test_spans_become_clips_of_their_videos(tmp_path):
    root = tmp_path / "root"
    fill(root, ("AB12C", "U1", "Kitchen", "c092 11.90 21.20;c000 0.00 40.00;c092 1.00 2.00", "30.5"))
    fill(root, ("XY34Z", "U2", "Bedroom", "c000 1.00 2.00", "5"), part="test")
    converted = convert("charades", root, tmp_path / "out")
    assert {
        clip: (row["class"], row["start"], row["end"], row["part"], row["subject"])
        for clip, row in converted.clips.items()
    } == {
        "AB12C_01": ("Putting something, somewhere", "11.9", "21.2", "train", "U1"),
        "AB12C_02": ("Holding some clothes", "0.0", "30.5", "train", "U1"),
        "AB12C_03": ("Putting something, somewhere", "1.0", "2.0", "train", "U1"),
        "XY34Z_01": ("Holding some clothes", "1.0", "2.0", "test", "U2"),
    }
    assert converted.report["protocols"] == {"official": {"train": 3, "test": 1}}
    assert converted.clips["XY34Z_01"]["video"] == str(root / "Charades_v1_480" / "XY34Z.mp4")
    assert [c["id"] for c in converted.description["classes"]] == ["c000", "c092"]


def test_wrong_spans_and_absent_videos_are_listed(tmp_path):
    root = tmp_path / "root"
    actions = "c000 1 2;c000 5 5;c999 1 2;c000 1;c000 40 50;c000 nan 2"
    fill(root, ("AB12C", "U1", "Kitchen", actions, "30.5"), ("GONE1", "", "", "c000 1 2", "9"))
    (root / "Charades_v1_480" / "GONE1.mp4").unlink()
    converted = convert("charades", root, tmp_path / "out")
    assert list(converted.clips) == ["AB12C_01"]
    assert list(converted.report["skipped"]) == [*(f"AB12C_0{number}" for number in range(2, 7)), "GONE1"]


def test_no_video_at_all_is_an_error(tmp_path):
    fill(tmp_path / "root", ("AB12C", "U1", "Kitchen", "c000 1 2", "30.5"))
    (tmp_path / "root" / "Charades_v1_480" / "AB12C.mp4").unlink()
    with pytest.raises(ValueError, match="nothing in it can be used; the first problem is: AB12C: no video"):
        convert("charades", tmp_path / "root", tmp_path / "out")


@pytest.mark.skipif(not GENUINE.exists(), reason=f"the genuine annotations {GENUINE} are absent")
def test_genuine_annotations_are_read(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    (root / GENUINE.name).symlink_to(GENUINE)
    (root / "Charades_v1_classes.txt").write_text("".join(f"c{n:03} action {n}\n" for n in range(157)))
    with GENUINE.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        touch(root / "videos" / f"{row['id']}.mp4")
    converted = convert("charades", root, tmp_path / "out")
    num_actions = sum(len(row["actions"].split(";")) for row in rows if row["actions"])
    assert len(converted.clips) + len(converted.report["skipped"]) == num_actions
    assert len(converted.report["skipped"]) <= 5 and {row["part"] for row in converted.clips.values()} == {"test"}
