import csv
import json

from ski_lvlm.datasets.writing import readable, write_data_set


def test_a_data_set_is_read_back_as_it_was_written(tmp_path):
    description = {
        "name": "küche",
        "classes": [{"id": str(number), "name": f"class {number}"} for number in range(30)],
        "protocols": {"xsub": {"train": {"subject": list(range(60))}}},
        "splits": {},
        "fps": 30,
    }
    clips = [
        {"clip": 'müller 1 ("küche", rechts).mp4', "subject": 1, "class": "class 1", "end": 2.5},
        {"clip": "b", "class": "class 2", "subject": 2, "video": str(tmp_path / "videos" / "b.mp4"), "start": 0.1},
        {"clip": "c", "class": "class 2", "subject": 2, "video": "/elsewhere/c.mp4"},
    ]
    write_data_set(tmp_path, description, clips)
    text = (tmp_path / "dataset.json").read_text(encoding="utf-8")
    assert json.loads(text) == description and max(map(len, text.splitlines())) <= 120 and "küche" in text
    with (tmp_path / "clips.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["clip", "class", "video", "start", "end", "subject"]
    assert [row["clip"] for row in rows] == [clip["clip"] for clip in clips]
    assert [row["video"] for row in rows] == ["", "videos/b.mp4", "/elsewhere/c.mp4"]
    assert (rows[0]["end"], rows[1]["start"], rows[1]["end"]) == ("2.5", "0.1", "")


def test_long_lists_of_numbers_stand_on_lines_of_their_own():
    long_list = list(range(100, 200))
    assert json.loads(readable({"a": long_list})) == {"a": long_list}
    assert readable([[1, 2], {}]) == "[\n  [1, 2],\n  {}\n]"
