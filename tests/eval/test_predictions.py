"""Question and prediction files of four kinds through one reader, and the grades that they allow."""

import json
from collections import Counter

import pytest

from eval.describe import main as describe
from eval.items.predictions import all_tasks, read_predictions
from eval.items.questions import questions_of, read_questions
from eval.items.records import read_records, renamed

GENERIC = {"video_name": "v", "Q": "What?", "A": "Someone sits."}
CONSISTENCY = {"video_name": "v", "Q1": "Which?", "Q2": "What else?", "A": "Someone sits."}
LLAVIDAL = GENERIC | {"cons_Q1": "Which?", "cons_Q2": "What else?", "cons_A": "Sits."}
LMMS_GENERIC = {"video_name": "v", "question": "What?", "answer": "Someone sits."}
LMMS_GENERIC |= {"question_1": "None", "question_2": "None"}
LMMS_CONSISTENCY = {"video_name": "v", "question": "None", "answer": "Someone sits."}
LMMS_CONSISTENCY |= {"question_1": "Which?", "question_2": "What else?"}
ONE, TWO = {"pred": "What?"}, {"pred1": "Which?", "pred2": "What else?"}


def write(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.mark.parametrize(
    ("record", "asked"),
    [(GENERIC, ONE), (CONSISTENCY, TWO), (LLAVIDAL, ONE | TWO), (LMMS_GENERIC, ONE), (LMMS_CONSISTENCY, TWO)],
    ids=["generic", "consistency", "llavidal", "lmms_generic", "lmms_consistency"],
)
@pytest.mark.parametrize("layout", ["list", "by_video", "lists_by_video", "lines"])
def test_the_questions_of_every_kind_in_every_layout(tmp_path, record, asked, layout):
    bare = {name: value for name, value in record.items() if name != "video_name"}
    contents = {
        "list": [record, record],
        "by_video": {"v": bare, "w": bare},
        "lists_by_video": {"v": [bare, bare]},
        "lines": f"{json.dumps(record)}\n\n{json.dumps(record)}\n",
    }
    items = read_questions(write(tmp_path / ("q.jsonl" if layout == "lines" else "q.json"), contents[layout]))
    assert [questions_of(item) for item in items] == [asked, asked]
    assert [item["video_name"] for item in items] == ["v", "w" if layout == "by_video" else "v"]
    assert items[0]["A"] == "Someone sits."


@pytest.mark.parametrize("record", [LLAVIDAL, LMMS_GENERIC | LMMS_CONSISTENCY | {"question": "What?"}])
def test_what_was_described_can_be_graded(tmp_path, record):
    said = {"pred": "He sits.", "pred1": "He sits.", "pred2": "He stands."}
    file = write(tmp_path / "p.json", [renamed(record) | said])
    tasks, not_run = all_tasks(read_predictions([file]))
    assert Counter(task.metric for task in tasks) == dict.fromkeys(
        ("correctness", "detail", "context", "temporal", "consistency"), 1
    )
    fields = {task.metric: task.fields for task in tasks}
    own = record.get("cons_A", "Someone sits.")
    assert fields["consistency"] == {"Q1": "Which?", "Q2": "What else?", "A": own} | {k: said[k] for k in TWO}
    assert fields["correctness"] == {"Q": "What?", "A": "Someone sits.", "pred": "He sits."} and not not_run


def test_an_answer_that_says_none_is_an_answer():
    assert renamed({"video_name": "v", "question": "What?", "answer": "None", "pred": "None"})["pred"] == "None"
    assert renamed({"video_name": "v", "answer": "None"})["A"] == "None"


def test_the_same_text_under_two_names_is_no_contradiction_and_another_is():
    assert renamed({"Q1": "a?", "cons_Q1": "a?"}) == {"Q1": "a?"}
    with pytest.raises(ValueError, match="Q1 is given twice"):
        renamed({"Q1": "a?", "cons_Q1": "b?"})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\xfe[", "begins with"),
        (b"7", "holds 7; expected a list"),
        (b'{"v": 7}', "item 0 is 7; expected an object"),
        (b'{"v": {"Q": 7}}', "item 0: Q is 7; expected a text"),
        (b'[{"video_name": "", "Q": "?"}]', "item 0 has no video_name"),
        (b'[{"video_name": "v", "question": ["a"]}]', r"item 0: Q is \['a'\]"),
        (b'[{"video_name": "v", "Q1": "a", "question_1": "b"}]', "item 0: Q1 is given twice"),
    ],
)
def test_files_that_are_no_records_are_named_with_their_fault(tmp_path, content, message):
    (tmp_path / "r.json").write_bytes(content)
    with pytest.raises(ValueError, match=rf"r\.json.*{message}"):
        read_records(tmp_path / "r.json")
    with pytest.raises(ValueError, match=rf"r\.json.*{message}.*eval/describe\.py"):
        read_predictions([tmp_path / "r.json"])


def test_a_mark_before_the_text_is_not_part_of_it(tmp_path):
    (tmp_path / "r.json").write_bytes(b"\xef\xbb\xbf" + json.dumps([GENERIC]).encode())
    assert read_records(tmp_path / "r.json") == [GENERIC]


def test_a_missing_questions_file_stops_the_command_before_a_model_is_loaded(tmp_path):
    command = ["--model", str(tmp_path), "--videos", str(tmp_path), "--questions", str(tmp_path / "none.json")]
    with pytest.raises(ValueError, match=r"none\.json does not exist"):
        describe([*command, "--out", str(tmp_path / "p.json")])


def test_a_record_without_a_reference_is_unscored_not_left_out_and_a_blank_one_is_none():
    whole = {"video_name": "v", "Q": "?", "A": "a", "pred": "b"}
    tasks, _ = all_tasks(
        [whole, {**whole, "A": None}, {**whole, "A": " "}, {k: whole[k] for k in ("video_name", "Q", "pred")}]
    )
    correctness = [task for task in tasks if task.metric == "correctness"]
    assert [task.reason for task in correctness] == [None, *["no reference in the predictions"] * 3]
    assert [task.fields is None for task in correctness] == [False, True, True, True]
