import json

import numpy as np
import pytest

from ski_lvlm.datasets import instruction_index
from ski_lvlm.datasets.instruction_file import instruction_record, read_instructions
from ski_lvlm.datasets.instruction_index import indexed_instructions


@pytest.fixture(autouse=True)
def _every_file_is_large(monkeypatch):
    monkeypatch.setattr(instruction_index, "_SMALL", 0)


def write(file, *answers):
    records = [
        instruction_record(str(k), clip=f"clip{k % 2}", question="Was? 中 🙂", answer=answer, with_skeleton=k % 2 == 0)
        for k, answer in enumerate(answers)
    ]
    file.write_text(json.dumps(records))
    return file


def test_the_index_holds_what_the_file_holds(tmp_path):
    file = write(tmp_path / "i.json", "So.", 'Yes, "so".', "No\nmore.")
    expected = read_instructions(file)
    for _ in range(2):  # made, and mapped
        conversations = indexed_instructions(file, [tmp_path / "index"])
        assert list(conversations) == expected and len(conversations) == 3
        assert conversations[-1] == expected[-1] and list(conversations[1:]) == expected[1:]
        assert list(conversations.subset(np.array([2, 0]))) == [expected[2], expected[0]]
        assert conversations.clips == ["clip0", "clip1"]
        with pytest.raises(IndexError):
            conversations[3]


def test_the_file_is_read_once_until_it_changes(tmp_path, monkeypatch):
    reads = []
    monkeypatch.setattr(instruction_index, "read_instructions", lambda f: reads.append(f) or read_instructions(f))
    file = write(tmp_path / "i.json", "So.")
    digests = [indexed_instructions(file, [tmp_path / "index"]).digest for _ in range(2)]
    assert len(reads) == 1 and digests[0] == digests[1]
    conversations = indexed_instructions(write(file, "Sø."), [tmp_path / "index"])
    assert len(reads) == 2 and conversations[0].turns[1].text == "Sø." and conversations.digest != digests[0]


@pytest.mark.parametrize("content", [None, "", "[]", json.dumps([{"id": "7", "video": "v"}])])
def test_a_file_that_cannot_be_used_is_refused_as_without_the_index(tmp_path, content):
    file = tmp_path / "i.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises((ValueError, OSError)) as expected:
        read_instructions(file)
    with pytest.raises(type(expected.value)) as error:
        indexed_instructions(file, [tmp_path / "index"])
    assert str(error.value) == str(expected.value)
