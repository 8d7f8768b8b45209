import pytest

from tests.cases.conversion_case import convert, said, touch


def fill(root, **counts):
    for folder, count in counts.items():
        for number in range(count):
            touch(root / folder / f"müller {number} (küche).mp4")
    return root


def test_folders_are_classes_and_a_third_of_each_is_for_testing(tmp_path):
    root = fill(tmp_path / "root", wave=10, sit_down=2, jump=1)
    touch(root / "stray.mp4")
    converted = convert("folders", root, tmp_path / "out")
    assert [c["name"] for c in converted.description["classes"]] == ["jump", "sit down", "wave"]
    parts = {(row["class"], row["part"]) for row in converted.clips.values()}
    assert parts == {("jump", "train"), *((name, part) for name in ("wave", "sit_down") for part in ("train", "test"))}
    assert sum(row["part"] == "test" for row in converted.clips.values() if row["class"] == "wave") == 3
    assert converted.clips["wave/müller 0 (küche)"]["video"] == str(root / "wave" / "müller 0 (küche).mp4")
    assert converted.report["protocols"] == {"part": {"train": 9, "test": 4}}
    assert "layout" not in converted.description and not (tmp_path / "out" / "index.json").exists()
    assert "lies in no sub-folder" in converted.report["skipped"][str(root / "stray.mp4")]


def test_folders_that_differ_in_underscores_alone_are_one_class(tmp_path):
    converted = convert("folders", fill(tmp_path / "root", **{"sit down": 2, "sit_down": 3}), tmp_path / "out")
    assert converted.description["classes"] == [{"id": "sit down", "name": "sit down"}]
    assert {row["class"] for row in converted.clips.values()} == {"sit down"} and len(converted.clips) == 5


def test_videos_in_the_data_set_folder_itself_are_named_relative_to_it(tmp_path):
    converted = convert("folders", fill(tmp_path, wave=2), tmp_path)
    assert converted.clips["wave/müller 1 (küche)"]["video"] == "wave/müller 1 (küche).mp4"


def test_a_table_edited_by_hand_is_never_lost(tmp_path, capsys):
    root, out = fill(tmp_path / "root", wave=4), tmp_path / "out"
    convert("folders", root, out)
    edited = (out / "clips.csv").read_text().replace("test", "train")
    (out / "clips.csv").write_text(edited)
    convert("folders", root, out)
    assert "nothing has changed" in said(capsys) and (out / "clips.csv").read_text() == edited
    touch(root / "wave" / "new.mp4")
    converted = convert("folders", root, out)
    assert "clips.edited.csv" in said(capsys)
    assert (out / "clips.edited.csv").read_text() == edited and "wave/new" in converted.clips


def test_a_folder_without_classes_is_an_error(tmp_path):
    touch(tmp_path / "a.mp4")
    with pytest.raises(ValueError, match=r"found \.mp4; expected videos in one sub-folder a class"):
        convert("folders", tmp_path, tmp_path / "out")
    with pytest.raises(ValueError, match="no such folder; --root names"):
        convert("folders", tmp_path / "nowhere", tmp_path / "out")
