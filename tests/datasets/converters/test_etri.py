import numpy as np

from ski_lvlm.skeletons.cleaning import clean
from ski_lvlm.skeletons.recordings import recording
from tests.cases.conversion_case import convert, moving, touch, upright

FIRST_ID, SECOND_ID = 72057594037931101, 72057594037931102


def joint_columns(joint):
    return [f"joint{joint}_trackingState", *(f"joint{joint}_3d{axis}" for axis in "XYZ"), f"joint{joint}_depthX"]


HEADER = ["frameNum", "bodyindexID", "trackingID", *(column for j in range(1, 26) for column in joint_columns(j))]


def line(frame, body, body_id, joints, state=2):
    values = [str(value) for joint in joints for value in (state, *joint, 7)]
    return ",".join([str(frame), str(body), str(body_id), *values])


def write(folder, name, lines, header=HEADER):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.csv").write_text("\n".join([",".join(header), *lines]) + "\n")


def two_bodies():
    joints = np.stack([upright(14, seed=seed) for seed in (0, 1)], axis=1)
    lines = [
        line(time, body, body_id, joints[time, body])
        for time in range(14)
        for body, body_id in enumerate((FIRST_ID, SECOND_ID))
    ]
    return joints, lines


def test_bodies_are_told_by_their_ids_and_columns_by_their_names(tmp_path):
    joints, lines = two_bodies()
    order = np.random.default_rng(0).permutation(len(HEADER))
    shuffled = [",".join(np.array(text.split(","))[order]) for text in lines]
    root = tmp_path / "root" / "P001-P050"
    write(root, "A047_P001_G001_C002", shuffled, [HEADER[place] for place in order])
    touch(tmp_path / "root" / "RGB" / "A047_P001_G001_C002.mp4")
    converted = convert("etri", tmp_path / "root", tmp_path / "out")
    row = converted.clips["A047_P001_G001_C002"]
    assert (row["class"], row["subject"], row["camera"]) == ("hugging each other", "1", "2") and row["video"]
    expected = clean(recording("x", joints)).joints
    assert expected.shape == (14, 2, 25, 3)
    np.testing.assert_allclose(converted.packed.get("A047_P001_G001_C002"), expected, atol=1e-5)
    assert converted.description["classes"][46]["persons"] == 2
    assert converted.description["protocols"]["xsub"]["test"]["subject"][:3] == [1, 3, 5]


def test_empty_lines_and_untracked_joints_are_absent(tmp_path):
    joints = moving(14, 25, 3)
    lines = [line(time, 0, FIRST_ID, joints[time], state=0 if time == 3 else 2) for time in range(13)]
    lines.append(",".join(["13"] + [""] * (len(HEADER) - 1)))
    write(tmp_path / "root", "A001_P002_G001_C001", lines)
    packed = convert("etri", tmp_path / "root", tmp_path / "out").packed.get("A001_P002_G001_C001")
    assert packed.shape == (12, 1, 25, 3) and not np.isnan(packed).any()


def test_damaged_files_are_listed(tmp_path):
    root = tmp_path / "root"
    _, lines = two_bodies()
    write(root, "A001_P001_G001_C001", lines)
    write(root, "A056_P001_G001_C001", lines)
    write(root, "A001_P001_G001_C002", lines, ["x", *HEADER[1:]])
    write(root, "A001_P001_G001_C003", lines, [*HEADER[:-2], "other", HEADER[-1]])
    write(root, "A001_P001_G001_C004", [text.replace("0.", "zero") for text in lines])
    write(root, "A001_P001_G001_C005", [lines[0], lines[1][:40]])
    write(root, "A001_P001_G001_C006", [])
    write(root, "A001_P001_G001_C007", lines, ["frameNum", "a", "b", *HEADER[3:]])
    (root / "A001_P001_G001_C008.csv").write_text("")
    converted = convert("etri", root, tmp_path / "out")
    bad = converted.report["bad"]
    assert list(converted.clips) == ["A001_P001_G001_C001"] and len(bad) == 7
    assert "found no column 'framenum' in its first line" in bad["A001_P001_G001_C002"]
    assert "found no column for z of joint 25" in bad["A001_P001_G001_C003"]
    assert "holds no numbers" in bad["A001_P001_G001_C004"]
    assert "not a readable CSV file" in bad["A001_P001_G001_C005"]
    assert "found no column of trackingid" in bad["A001_P001_G001_C007"]
    assert list(converted.report["skipped"].values()) == ["found class 56; expected 1 to 55"]
