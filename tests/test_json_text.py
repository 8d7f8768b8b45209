import json
import os

import pytest

from data_curation.checking.json_text import load_json

RECORDS = [{"id": "a", "text": 'é "quoted" \\ 😀'}, {"id": "b", "n": [1.5, -2e3, True, None]}]


@pytest.fixture
def load(tmp_path):
    def load_text(text):
        file = tmp_path / "file.json"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return load_json(file)

    return load_text


@pytest.mark.parametrize("indent", [None, 2])
def test_a_list_is_read_without_fault(load, indent):
    assert load(" \n" + json.dumps(RECORDS, indent=indent) + "\n") == (RECORDS, [])


ODD = {
    "lists one after another": ("[{}, {}][{}]\n[]", [{}, {}, {}], "3 lists one after another"),
    "JSON lines": ('{"a": 1}\n\n{"b": 2}\r\n', [{"a": 1}, {"b": 2}], "2 values one after another"),
    "a list, then lines": ('[1]{"a": 2}', [[1], {"a": 2}], "2 values one after another"),
    "byte order mark": (b"\xef\xbb\xbf[1]", [1], "byte order mark"),
    "key twice": ('{"v": 1, "w": 2, "v": 3}', {"v": 3, "w": 2}, "the key 'v' occurs twice"),
}


@pytest.mark.parametrize(("text", "content", "fault"), ODD.values(), ids=ODD.keys())
def test_what_a_strict_reader_refuses_is_read_and_named(load, text, content, fault):
    loaded = load(text)
    assert loaded.content == content
    assert len(loaded.faults) == 1 and fault in loaded.faults[0]


BAD = {
    "empty": (b"", "is empty"),
    "spaces": ("\n \n", "nothing but spaces"),
    "many spaces": (" " * 1000, "nothing but spaces"),
    "words": ("hello", r"begins with b'hello', expected a JSON list"),
    "video": (b"RIFF\x00\x01\x00\x00AVI LIST", r"begins with b'RIFF"),
    "pickle": (b"\x80\x04\x95", r"begins with b'\\x80"),
    "UTF-16": ("[1]".encode("utf-16"), "begins with"),
    "latin-1": (b'["caf\xe9"]', "byte 5 is not UTF-8"),
    "comma at the end": ("[\n1,\n2,\n]", r"is not JSON: line [34], column"),
    "quotes": ("[{'Q': 1}]", "line 1, column 3: Expecting property name"),
    "words behind": ("[1]\nTraceback (most recent call last)", "line 2, column 1 after 1 whole values"),
    "too deep": ("[" * 200_000, "not usable JSON"),
    "number without end": ("[" + "9" * 5000 + "]", "not usable JSON"),
    "second list cut off": ("[1][2", "is cut off in line 1 after 1 whole values"),
}


@pytest.mark.parametrize(("text", "message"), BAD.values(), ids=BAD.keys())
def test_what_cannot_be_read_says_why(load, text, message):
    with pytest.raises(ValueError, match=message) as error:
        load(text)
    assert "file.json: " in str(error.value) and "\n" not in str(error.value)


def test_a_file_cut_off_anywhere_is_called_cut_off(load):
    text = json.dumps(RECORDS, indent=1)
    for length in range(1, len(text) - 1):
        kept = text[:length].rstrip()
        with pytest.raises(ValueError, match=f"is cut off in line {kept.count(chr(10)) + 1} "):
            load(kept)


def test_folders_missing_files_and_pipes_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for file, message in ((tmp_path, "is a folder"), (tmp_path / "no", "no such file"), (tmp_path / "pipe", "no such")):
        with pytest.raises(ValueError, match=message):
            load_json(file)


def test_a_film_is_not_read_into_memory(tmp_path):
    with (tmp_path / "film.json").open("wb") as file:
        file.truncate(3 * 1024**3)  # sparse
    with pytest.raises(ValueError, match=r"has 3\.2 GB, expected an instruction file"):
        load_json(tmp_path / "film.json")
