import json
import sys
from pathlib import Path

import numpy as np
import pytest

from data_curation import validate
from data_curation.results.dataset import write_dataset
from ski_lvlm.datasets.instruction_file import instruction_record
from tests.cases.command_case import ROOT, run
from tests.cases.data_set_case import ROWS, write_data_set
from tests.cases.dataset_rows import SPLITS, row


def clip(performer=1, action=5):
    return f"S001C002P{performer:03}R001A{action:03}"


def record(number=0, question="What is done?", answer="A cup falls.", name=None, **options):
    name = name or clip()
    return instruction_record(f"{name}_{number}", clip=name, question=question, answer=answer, **options)


@pytest.fixture
def check(tmp_path, capsys):
    """Validates contents (name → JSON, or a Path) and gives the exit code, the findings and what was printed."""

    def run(files, *flags):
        paths = []
        for name, content in files.items():
            path = content if isinstance(content, Path) else tmp_path / name
            if not isinstance(content, Path):
                path.write_text(content if isinstance(content, str) else json.dumps(content))
            paths.append(str(path))
        code = validate.main([*paths, *flags, "--out", str(tmp_path / "found.jsonl")])
        found = [json.loads(line) for line in (tmp_path / "found.jsonl").read_text().splitlines()]
        return code, found, capsys.readouterr().out

    return run


def test_a_clean_file_has_no_findings(check):
    code, found, printed = check({"a.json": [record(), record(1, question="Who?"), record(name=clip(2))]})
    assert (code, found) == (0, [])
    (line,) = [line for line in printed.splitlines() if "SKI-LVLM" in line]
    assert [cell.strip() for cell in line.split("│")[3:-1]] == ["3", "2", "3", "0", "0"]


def talk(*said, **keys):
    turns = [{"from": ("human", "gpt")[i % 2], "value": text} for i, text in enumerate(said)]
    return {"id": "x", "video": clip(3), "conversations": turns} | keys


RECORDS = {  # a record behind a good one: the levels and words of what is found
    "format broken": (talk("What?", "So."), [("error", "a 'video' key but no <video>")]),
    "broken twice": (talk("<video> <audio>", ""), [("error", "unknown placeholder <audio>"), ("error", "is empty")]),
    "not an object": (None, [("error", "found NoneType, expected an object")]),
    "id again": (record(0, question="Who?"), [("error", "the id is that of record 0 too")]),
    "the video's name as id": (record(1, question="Who?") | {"id": clip()}, []),
    "pair again": (record(1, question=" what IS  done?"), [("error", "the pair 'what IS  done?' is in record 0 too")]),
    "question again": (record(1, answer="A man."), [("warning", "'What is done?' was answered otherwise in record 0")]),
    "question of another clip": (record(name=clip(2)), []),
    "twice in one conversation": (
        talk("Who?\n<video>", "A man.", "Who?", "A man."),
        [("error", "the pair 'Who?' is in record 1 too")],
    ),
    "answer repeats": (
        record(1, question="Who?", answer=" who? "),
        [("error", "the answer repeats the question 'Who?'")],
    ),
    "only placeholders": (record(1, question=""), [("error", "there is no question beside the placeholders")]),
    "caption": (record(1, question="What does the Caption say?"), [("warning", "the question speaks of 'caption'")]),
    "images": (
        record(1, question="Who?", answer="The images show it."),
        [("warning", "the answer speaks of 'images'")],
    ),
    "imagine": (record(1, question="Who?", answer="Imagine captioning."), []),
    "half a character": (record(1, question="Who?", answer="\ud83d"), [("error", "the answer holds half a character")]),
    "another clip's skeleton": (
        record(1, question="Who?") | {"skeleton": clip(4)},
        [("warning", f"the skeleton is of clip '{clip(4)}', the video of '{clip()}'")],
    ),
    "no NTU name": (record(name="kitchen"), [("note", "the clip 'kitchen' is not of ntu120, though others are")]),
}


@pytest.mark.parametrize(("bad", "expected"), RECORDS.values(), ids=RECORDS.keys())
def test_what_is_wrong_with_a_record_is_found(check, bad, expected):
    code, found, _ = check({"a.json": [record(), bad]})
    assert [finding["level"] for finding in found] == [level for level, _ in expected]
    for finding, (_, words) in zip(found, expected, strict=True):
        assert words in finding["problem"]
        assert finding["record"] == 1
    assert code == int("error" in [level for level, _ in expected])


def test_names_of_one_s_own_need_not_be_ntu_s(check):
    assert check({"a.json": [record(name="kitchen"), record(name="hall")]})[:2] == (0, [])


def test_conversations_without_any_skeleton_are_noted(check):
    code, found, _ = check({"a.json": [record(with_skeleton=False)]})
    assert code == 0
    assert [(f["level"], f["record"]) for f in found] == [("note", None)]
    assert "the skeleton projector is not trained" in found[0]["problem"]


def test_the_published_converter_s_file_is_told_apart(check):
    """It writes <video><object> without a pose: nothing of it would train the skeleton's projector."""
    code, found, printed = check({"a.json": [talk("What?\n<video><object>", "A fall.")]}, "--drop", "object")
    assert code == 0 and "LLAVIDAL" in printed
    assert ["skeleton projector is not trained" in f["problem"] for f in found] == [True]


def test_lists_one_after_another_are_checked_together(check):
    text = json.dumps([record()], indent=1) + json.dumps([record()], indent=1)
    code, found, _ = check({"a.json": text})
    assert code == 1
    assert ["lists one after another" in f["problem"] for f in found] == [True, False, False]
    assert {f["record"] for f in found[1:]} == {1}


def test_a_clip_in_two_files_is_a_leak(check):
    asked = ((clip(2), "What?"), (clip(), "What?"), (clip(), "Who?"))
    test = [{"video_name": f"{name}.avi", "Q": question, "A": "So."} for name, question in asked]
    code, found, _ = check({"train.json": [record()], "test.json": test})
    assert code == 1
    (leak,) = found
    assert Path(leak["file"]).name == "test.json" and leak["record"] == 1
    assert f"clip '{clip()}' is in" in leak["problem"] and "train.json too: a leak" in leak["problem"]


def test_a_subject_in_two_files_is_a_leak_only_if_asked(check):
    files = {"train.json": [record(), record(name="own")], "test.json": [record(name=clip(1, action=7))]}
    assert check(files)[0] == 0
    code, found, _ = check(files, "--by", "subject")
    errors = [f["problem"] for f in found if f["level"] == "error"]
    assert code == 1 and len(errors) == 1 and errors[0].startswith("subject 1 is in ")


def test_the_subjects_of_a_data_set_of_ones_own_are_in_its_table(check, tmp_path):
    folder = write_data_set(tmp_path / "home")
    one, two = (row["clip"] for row in (ROWS[0], ROWS[1]))
    files = {"train.json": [record(name=one)], "test.json": [record(name=two)]}
    code, found, _ = check(files, "--by", "subject")
    assert code == 0 and [f["level"] for f in found] == ["warning", "warning"]
    assert found[0]["problem"].startswith("no clip is of ntu120, so no subject is compared; give")
    code, found, _ = check(files, "--by", "subject", "--data", str(folder))
    assert code == 1 and found[0]["problem"].startswith("subject 1 is in ")
    write_data_set(folder, rows=[{"clip": one, "class": "wave"}], protocols={})
    with pytest.raises(ValueError, match="no column 'subject'"):
        check(files, "--by", "subject", "--data", str(folder))


def test_the_splits_of_a_data_set_are_clean(check, tmp_path):
    splits = SPLITS | {"validation": [row(subject=2)]}
    write_dataset(tmp_path / "data", splits, facts={})
    code, found, printed = check({split: tmp_path / "data" / f"{split}.parquet" for split in splits})
    assert (code, found) == (0, [])
    assert printed.count("Parquet") == 4


def test_parquet_of_others_is_checked_row_by_row(check, tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = {"clip": ["a", None, "b"], "question": ["Who?", "Who?", None], "answer": ["A man.", "", "A cup."]}
    pq.write_table(pa.table(rows), tmp_path / "own.parquet")
    code, found, _ = check({"own": tmp_path / "own.parquet"})
    assert code == 1
    assert [(f["record"], f["problem"].split(";")[0]) for f in found] == [
        (1, "the video is None"),
        (1, "answer is ''"),
        (2, "there is no question"),
    ]


def test_clips_without_files_are_listed_once(check, tmp_path):
    videos = tmp_path / "ntu" / "rgb"
    videos.mkdir(parents=True)
    (videos / f"{clip()}_rgb.avi").touch()
    files = {"a.json": [record(), record(name=clip(2)), record(1, name=clip(2), question="Who?")]}
    code, found, _ = check(files, "--videos", str(tmp_path / "ntu"))
    assert code == 1
    assert [(f["record"], f["problem"]) for f in found] == [
        (1, f"clip '{clip(2)}' has no video file in {tmp_path}/ntu")
    ]


def test_features_are_looked_for_by_modality(check, tmp_path):
    for modality, name in (("video", clip()), ("video", clip(2)), ("skeleton", f"{clip()}_pose")):
        (tmp_path / "tokens" / modality).mkdir(parents=True, exist_ok=True)
        np.save(tmp_path / "tokens" / modality / f"{name}.npy", np.zeros((2, 3), np.float32))
    code, found, _ = check({"a.json": [record(), record(name=clip(2))]}, "--features", str(tmp_path / "tokens"))
    assert code == 1
    assert [f["problem"] for f in found] == [f"clip '{clip(2)}' has no skeleton file in {tmp_path}/tokens"]


def test_an_unreadable_file_does_not_hide_the_others_problems(check):
    code, found, printed = check({"torn.json": "[{", "a.json": [record(), record()]})
    assert code == 2
    assert "torn.json" in found[0]["file"] and found[0]["problem"].startswith("cannot be read: is cut off in line 1")
    assert len(found) == 3 and "a.json" in printed


def test_a_missing_folder_of_videos_is_an_error_of_the_command(check, tmp_path):
    with pytest.raises(ValueError, match="no such folder of videos"):
        check({"a.json": [record()]}, "--videos", str(tmp_path / "none"))


@pytest.mark.parametrize(("shown", "lines"), [(0, 0), (3, 3), (99, 30)])
def test_only_so_many_problems_are_printed_but_all_are_written(check, shown, lines):
    files = {"a.json": [talk("Who?", "He.", video=f"v{i}", id=i) for i in range(30)]}
    _, found, printed = check(files, "--show", str(shown))
    assert len(found) == 31  # and the note that there is no skeleton
    assert sum(line.startswith("error: ") for line in printed.splitlines()) == lines
    assert ("30 x error: a … key but no <video>" in printed) == (shown < 31)


def test_errors_come_before_warnings(check):
    leaking = [record(i, question=f"Image {i}?") for i in range(5)]
    _, found, _ = check({"a.json": [*leaking, None]})
    assert [f["level"] for f in found] == ["error"] + ["warning"] * 5


def test_names_cannot_write_to_the_terminal(check):
    odd = "\x1b[2J[bold]\ud83d"
    code, _, printed = check({f"{clip()}.json": {odd: [{"Q": 1, "A": odd}]}})
    assert code == 1
    assert "\x1b" not in printed and "\ud83d" not in printed
    assert r"\x1b[2J[bold]\ud83d[0]: Q is 1; expected a text" in printed


def test_an_input_is_never_overwritten(tmp_path):
    file = tmp_path / "a.json"
    file.write_text("[]")
    with pytest.raises(ValueError, match="is one of the files to check"):
        validate.main([str(file), "--out", str(tmp_path / "." / "a.json")])
    with pytest.raises(ValueError, match="given twice"):
        validate.main([str(file), str(tmp_path / "." / "a.json")])
    assert file.read_text() == "[]"


@pytest.mark.slow
def test_the_command_s_exit_codes(tmp_path):
    files = {"good": json.dumps([record()]), "bad": json.dumps([None, record()]), "torn": "["}
    codes = {}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
        done = run([sys.executable, str(ROOT / "data_curation" / "validate.py"), name], cwd=tmp_path)
        codes[name] = done.returncode
        assert "Traceback" not in done.stderr
    assert codes == {"good": 0, "bad": 1, "torn": 2}
