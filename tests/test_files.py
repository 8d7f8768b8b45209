import json

import pytest

from ski_lvlm.files import append_jsonl, atomic_path, read_jsonl, write_json


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


def test_a_missing_log_has_no_records(tmp_path):
    assert read_jsonl(tmp_path / "none.jsonl") == []
