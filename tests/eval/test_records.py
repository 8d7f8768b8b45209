"""Texts and nestings that JSON can hold and a file, a terminal or a judge cannot."""

import json

import pytest

from eval.items.records import read_records


@pytest.mark.parametrize("name", ["r.json", "r.jsonl"])
def test_half_a_character_is_replaced_wherever_it_stands(tmp_path, name):
    record = {"video_name": "a", "Q": "Why?", "A": "So.", "pred": "bad \ud83d half", "more": [{"\udc00": "\udfff"}]}
    (tmp_path / name).write_text(json.dumps(record))
    (read,) = read_records(tmp_path / name)
    assert read == record | {"pred": "bad \ufffd half", "more": [{"\ufffd": "\ufffd"}]}


def test_whole_characters_stay_as_they_are(tmp_path):
    record = {"video_name": "a", "Q": "Why \\ud83d?", "A": "wave \U0001f44b"}
    (tmp_path / "r.json").write_text(json.dumps([record]))  # the wave is written as two escapes
    assert read_records(tmp_path / "r.json") == [record]


@pytest.mark.parametrize("name", ["r.json", "r.jsonl"])
def test_a_nesting_that_is_too_deep_is_one_line(tmp_path, name):
    (tmp_path / name).write_text("[" * 100_000)
    with pytest.raises(ValueError, match=rf"{name} is nested too deeply for records; expected a list"):
        read_records(tmp_path / name)
