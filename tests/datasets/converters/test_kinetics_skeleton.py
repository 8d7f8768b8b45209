import numpy as np
import pytest

from ski_lvlm.skeletons.layouts import layout_named
from tests.cases.conversion_case import convert, moving, write_json

CENTRE = layout_named("openpose-18").centre


def person(pose, score):
    return {"pose": np.asarray(pose).ravel().round(4).tolist(), "score": np.broadcast_to(score, 18).tolist()}


def write(file, *persons, label="juggling balls", number=3):
    """Write a clip. Each person is joints (frames, 18, 2) and the score of all joints or of each."""
    frames = [
        {"frame_index": time + 1, "skeleton": [person(joints[time], score) for joints, score in persons]}
        for time in range(len(persons[0][0]) if persons else 2)
    ]
    return write_json(file, {"data": frames, "label": label, "label_index": number})


def test_the_two_surest_persons_are_kept_with_y_up_and_joints_without_score_absent(tmp_path):
    bystander, first, second = (moving(4, 18, 2, seed=seed) for seed in range(3))
    score = np.full(18, 0.9)
    score[4] = 0
    root = tmp_path / "root" / "kinetics_train"
    write(root / "abc.json", (bystander, 0.1), (first, score), (second, 0.5))
    packed = convert("kinetics-skeleton", tmp_path / "root", tmp_path / "out").packed.get("abc")
    assert packed.shape == (4, 2, 18, 2)
    places = [person for person in range(2) if np.isnan(packed[:, person, 4]).all()]
    assert len(places) == 1 and not np.isnan(np.delete(packed, 4, axis=2)).any()
    between = packed[0, places[0], 3] - packed[0, places[0], 2]
    np.testing.assert_allclose(between, (first[0, 3] - first[0, 2]) * [1, -1], atol=1e-3)
    np.testing.assert_allclose(packed[0, 0, list(CENTRE)].mean(axis=0), 0, atol=1e-6)


def test_label_files_and_folders_give_classes_and_parts(tmp_path):
    root = tmp_path / "root"
    clip = (moving(4, 18, 2), 0.9)
    write(root / "kinetics_train" / "abc.json", clip, label="", number=-1)
    write_json(root / "kinetics_train_label.json", {"abc": {"has_skeleton": True, "label": "yoga", "label_index": 7}})
    write(root / "kinetics_val" / "xyz.json", clip)
    converted = convert("kinetics-skeleton", root, tmp_path / "out")
    assert {name: (row["class"], row["part"]) for name, row in converted.clips.items()} == {
        "abc": ("yoga", "train"),
        "xyz": ("juggling balls", "test"),
    }
    assert converted.report["protocols"] == {"official": {"train": 1, "test": 1}}
    assert converted.description["classes"] == [{"id": "3", "name": "juggling balls"}, {"id": "7", "name": "yoga"}]


def test_damaged_files_are_listed(tmp_path):
    root = tmp_path / "root"
    write(root / "a.json", (moving(4, 18, 2), 0.9))
    write(root / "b.json")
    write(root / "c.json", (moving(4, 17, 2), 0.9))
    write_json(root / "d.json", {"label": "x", "label_index": 1})
    write_json(root / "e.json", {"data": [], "label_index": 1})
    (root / "f.json").write_text('{"data": [')
    write_json(root / "g_label.json", [])
    converted = convert("kinetics-skeleton", root, tmp_path / "out")
    report = converted.report
    assert converted.clips["a"]["part"] == "unknown"
    assert list(report["bad"]) == ["b", "c", "d"] and report["skeletons"] == 1
    assert "no joint in any frame" in report["bad"]["b"] and "36 numbers in 'pose'" in report["bad"]["c"]
    assert len(report["skipped"]) == 3


def test_a_folder_without_clips_is_an_error(tmp_path):
    write_json(tmp_path / "root" / "a.json", [])
    with pytest.raises(ValueError, match="expected files of OpenPose joints"):
        convert("kinetics-skeleton", tmp_path / "root", tmp_path / "out")
