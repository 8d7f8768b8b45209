import gzip
import json
import os

import pytest

from data_curation.checking.file_formats import read_table
from eval.items.predictions import read_predictions
from eval.items.questions import read_questions
from eval.judges.rubrics import OWN_FILE, load_rubrics
from eval.recognition.inputs import read_descriptions
from eval.results.score_json import read_json as read_scores
from ski_lvlm.datasets.instruction_file import read_instructions
from ski_lvlm.storage.json_files import load_json, read_json

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
    assert load(" \n" + json.dumps(RECORDS, indent=indent) + "\n") == (RECORDS, [], [])


ODD = {
    "lists one after another": ("[{}, {}][{}]\n[]", [{}, {}, {}], "3 lists one after another"),
    "key twice": ('{"v": 1, "w": 2, "v": 3}', {"v": 3, "w": 2}, "the key 'v' occurs twice"),
}


@pytest.mark.parametrize(("text", "content", "fault"), ODD.values(), ids=ODD.keys())
def test_what_a_strict_reader_refuses_is_read_and_named(load, text, content, fault):
    loaded = load(text)
    assert loaded.content == content
    assert len(loaded.faults) == 1 and fault in loaded.faults[0]


NOTED = {
    "JSON lines": ('{"a": 1}\n\n{"b": 2}\r\n', [{"a": 1}, {"b": 2}], "2 values one after another"),
    "a list, then lines": ('[1]{"a": 2}', [[1], {"a": 2}], "2 values one after another"),
    "mark": ('["é"]'.encode("utf-8-sig"), ["é"], "is in UTF-8-SIG"),
    "PowerShell": ('["é"]\r\n'.encode("utf-16"), ["é"], "is in UTF-16"),
    "UTF-16 without mark": ('["é"]'.encode("utf-16-le"), ["é"], "is in UTF-16-LE"),
    "UTF-16, big end first": ('\ufeff["é"]'.encode("utf-16-be"), ["é"], "is in UTF-16"),
    "UTF-32": ('["é"]'.encode("utf-32"), ["é"], "is in UTF-32"),
}


@pytest.mark.parametrize(("text", "content", "note"), NOTED.values(), ids=NOTED.keys())
def test_what_others_may_refuse_is_read_and_noted(load, tmp_path, text, content, note):
    loaded = load(text)
    assert (loaded.content, loaded.faults) == (content, [])
    assert len(loaded.notes) == 1 and note in loaded.notes[0]
    assert read_json(tmp_path / "file.json") == content


@pytest.mark.parametrize(
    ("text", "content"),
    [('{"a": "\u2028"}\n{"b": 2}\n', [{"a": "\u2028"}, {"b": 2}]), ('{"a": 1}', [{"a": 1}]), ("[1]", [1])],
)
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_one_record_a_line_is_a_list(tmp_path, text, content, pack):
    file = tmp_path / ("a.jsonl" if pack is bytes else "a.jsonl.gz")
    file.write_bytes(pack(text.encode()))
    assert load_json(file) == (content, [], [])


def test_marks_between_files_that_were_joined_are_space(load):
    joined = b'{"a": 1}\n'.decode().encode("utf-8-sig") + '{"b": 2}\n'.encode("utf-8-sig")
    assert load(joined).content == [{"a": 1}, {"b": 2}]


def test_nan_is_a_missing_value(load):
    assert load('[{"a": NaN, "b": Infinity}]').content == [{"a": None, "b": float("inf")}]


def test_what_would_be_lost_is_refused(load, tmp_path):
    for text, fault in (("[1][2]", "2 lists"), ('[{"v": 1, "v": 2}]', "'v' occurs twice")):
        load(text)
        with pytest.raises(ValueError, match=f"file.json: .*{fault}"):
            read_json(tmp_path / "file.json")


BAD = {
    "empty": (b"", "is empty"),
    "spaces": ("\n \n", "nothing but spaces"),
    "many spaces": (" " * 1000, "nothing but spaces"),
    "words": ("hello", r"begins with b'hello', expected a JSON list"),
    "video": (b"RIFF\x00\x01\x00\x00AVI LIST", r"begins with b'RIFF"),
    "pickle": (b"\x80\x04\x95", r"begins with b'\\x80"),
    "Git LFS pointer": ("version https://git-lfs.github.com/spec/v1\noid sha256:ab\n", "found a Git LFS.*git lfs pull"),
    "half a gzip file": (gzip.compress(b"[1]")[:-9], "no whole gzip file"),
    "latin-1": (b'["caf\xe9"]', "byte 5 is not UTF-8"),
    "comma at the end": ("[\n1,\n2,\n]", r"is not JSON: line [34], column"),
    "quotes": ("[{'Q': 1}]", "line 1, column 3: Expecting property name"),
    "words behind": ("[1]\nTraceback (most recent call last)", "line 2, column 1 after 1 whole values"),
    "too deep": ("[" * 200_000, "nested too deeply for records"),
    "number without end": ("[" + "9" * 5000 + "]", "not usable JSON"),
    "second list cut off": ("[1][2", "is cut off in line 1 after 1 whole values"),
}


@pytest.mark.parametrize(("text", "message"), BAD.values(), ids=BAD.keys())
def test_what_cannot_be_read_says_why(load, text, message):
    with pytest.raises(ValueError, match=message) as error:
        load(text)
    assert "file.json: " in str(error.value) and "\n" not in str(error.value)


@pytest.mark.slow
def test_a_file_cut_off_anywhere_is_called_cut_off(load):
    text = json.dumps(RECORDS, indent=1)
    for length in range(1, len(text) - 1):
        stripped = text[:length].rstrip()
        with pytest.raises(ValueError, match=f"is cut off in line {stripped.count(chr(10)) + 1} "):
            load(stripped)


def test_folders_missing_files_and_pipes_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for file, message in ((tmp_path, "is a folder"), (tmp_path / "no", "no such file"), (tmp_path / "pipe", "no such")):
        with pytest.raises(ValueError, match=message):
            load_json(file)


def test_a_film_is_not_read_into_memory(tmp_path):
    with (tmp_path / "film.json").open("wb") as file:
        file.truncate(30 * 1024**3)  # sparse
    with pytest.raises(ValueError, match=r"has 32\.2 GB, expected a JSON file"):
        load_json(tmp_path / "film.json")


RECORD = {"video_name": "café", "Q": "What?", "A": "So.", "pred": "So."}
TALK = {"video": "v", "conversations": [{"from": "human", "value": "<video>"}, {"from": "gpt", "value": "café"}]}
READERS = {
    "instructions": (read_instructions, [TALK]),
    "validate": (lambda file: read_table(file).entries, [RECORD]),
    "questions": (read_questions, [RECORD]),
    "predictions": (lambda file: read_predictions([file]), [RECORD]),
    "rubrics": (load_rubrics, json.loads(OWN_FILE.read_text())),
    "descriptions": (read_descriptions, {"café": "A café."}),
    "scores": (lambda file: read_scores(file, expected="scores"), {"café_0": [{"score": 1}]}),
}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be"])
@pytest.mark.parametrize(("read", "content"), READERS.values(), ids=READERS.keys())
def test_every_command_reads_what_windows_writes(tmp_path, read, content, encoding):
    text = json.dumps(content, ensure_ascii=False, indent=1)
    plain, windows = tmp_path / "plain.json", tmp_path / "windows.json"
    plain.write_text(text)
    windows.write_bytes(text.replace("\n", "\r\n").encode(encoding))
    assert read(windows) == read(plain)


@pytest.mark.parametrize("name", ["instructions", "validate", "questions", "predictions"])
def test_every_command_reads_one_record_a_line(tmp_path, name):
    read, (record,) = READERS[name]
    line = json.dumps(record | {"id": "a\u2028b"}, ensure_ascii=False)
    for file in ("lines.jsonl", "lines.json"):
        (tmp_path / file).write_text(f"{line}\n{line}\n")
        assert len(read(tmp_path / file)) == 2
    (tmp_path / "cut.jsonl").write_text(f"{line}\n{line[:-9]}\n")
    with pytest.raises(ValueError, match="cut off in line 2 after 1 whole values"):
        read(tmp_path / "cut.jsonl")
