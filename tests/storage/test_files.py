import json

import pytest

from ski_lvlm.storage.files import append_jsonl, atomic_path, read_jsonl, write_json


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    file = tmp_path / "a.json"
    write_json(file, 1)
    with pytest.raises(RuntimeError), atomic_path(file) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert json.loads(file.read_text()) == 1
    assert list(tmp_path.iterdir()) == [file]


def test_a_torn_last_line_is_left_out_and_does_not_spoil_the_next(tmp_path):
    file = tmp_path / "log.jsonl"
    append_jsonl(file, {"n": 1})
    with file.open("a") as torn:
        torn.write('{"n": 2, "text": "hal')
    assert read_jsonl(file) == [{"n": 1}]
    append_jsonl(file, {"n": 3})
    assert read_jsonl(file) == [{"n": 1}, {"n": 3}]


@pytest.mark.parametrize("mark", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\r"])
def test_lines_of_a_log_end_at_line_feeds_alone(tmp_path, mark):
    file = tmp_path / "log.jsonl"
    append_jsonl(file, {"text": f"one{mark}two"}, {"n": 2})
    assert read_jsonl(file) == [{"text": f"one{mark}two"}, {"n": 2}]
    file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    assert len(read_jsonl(file)) == 2


def test_a_missing_log_has_no_records(tmp_path):
    assert read_jsonl(tmp_path / "none.jsonl") == []
