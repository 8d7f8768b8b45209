"""Multiple-choice files: LLAVIDAL's in all their forms, one's own, and hostile ones."""

import json
from collections import Counter

import pytest

from eval.choosing.files import read_choices
from eval.choosing.items import ChoiceItem, option_orders
from eval.choosing.prompt import prompt_text, read_prompt
from ski_lvlm.storage.files import write_json
from tests.cases.choice_case import llavidal_record

ITEM = ChoiceItem("v", "What happens?", ("sit", "walk", "read"), 1)
OWN = {"video_name": "v", "question": "What happens?", "options": ["sit", "walk", "read"], "answer": "B"}


def written(folder, content, name="q.json"):
    file = folder / name
    file.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return file


def read(folder, content, name="q.json"):
    return read_choices(written(folder, content, name))


FORMS = {
    "own": OWN,
    "own, right text": OWN | {"answer": "Walk "},
    "own, options by letter": OWN | {"options": {"A": "sit", "B": "walk", "C": "read"}, "answer": "(b)"},
    "now": {
        "video_filename": "v",
        "question": "What happens?",
        "answer_choices": {"A": "sit", "B": "walk", "C": "read"},
        "ground_truth_letter": "B",
    },
    "Smarthome-AR": {
        "video_id": "/data/elsewhere/mp4/v",
        "question": "What happens?",
        "choices": {"1": "sit", "2": "walk", "3": "read"},
        "output": "3. read</s>",
        "ground_truth": "walk",
        "prediction": "read",
    },
    "TSU-TC": {
        "video_path": "v",
        "question": "What happens?",
        "options": {"A": "sit", "B": "walk", "C": "read"},
        "correct_answer": "B",
    },
    "Charades-AR": {
        "id": "v",
        "Q": "What happens?",
        "Options": "1. ['sit'] 2. ['walk'] 3. ['read']",
        "Ground Truth": ["walk"],
    },
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_read_as_the_same_question(tmp_path, form):
    assert read(tmp_path, [FORMS[form]]) == [ITEM]
    assert read(tmp_path, {"0": FORMS[form], "1": FORMS[form]}) == [ITEM, ITEM]


def test_a_stretch_of_a_recording_has_a_video_of_its_own(tmp_path):
    lemma = {"video_id": "r1", "start_frame": 0, "end_frame": 552, "choices": {"A": "sit", "B": "walk"}, "answer": "A"}
    (item,) = read(tmp_path, {"0": lemma | {"question": "And then?"}})
    assert item == ChoiceItem("r1_0_552", "And then?", ("sit", "walk"), 0)


def test_sequences_of_actions_with_brackets_and_quotes_are_read(tmp_path):
    options = "1. ['Holding a pillow', \"Fixing one's hair [twice]\"] 2. ['Sitting in 2. [a chair]']"
    record = {"id": "v", "Q": "?", "Options": options, "Ground Truth": ["Sitting in 2. [a chair]"]}
    (item,) = read(tmp_path, [record])
    assert (
        item.options == ("Holding a pillow, Fixing one's hair [twice]", "Sitting in 2. [a chair]") and item.right == 1
    )


def test_a_csv_is_read(tmp_path):
    rows = 'video_name,question,A,B,C,answer\nv,What happens?,sit,walk,read,B\nw,"So, what?",sit,walk,,walk\n'
    assert read(tmp_path, "\ufeff" + rows, "q.csv") == [ITEM, ChoiceItem("w", "So, what?", ("sit", "walk"), 1)]


HOSTILE = {
    "no question": ([], "holds no question"),
    "a number": (7, "expected"),
    "a text": ('"text"', "for each question, in a list"),
    "no record": ([3], "item 0 is 3"),
    "no video": ([{k: v for k, v in OWN.items() if k != "video_name"}], "item 0 has none of video_name"),
    "no answer": ([OWN, OWN | {"answer": None}], "item 1 has none of answer"),
    "an empty text": ([OWN | {"question": " "}], "question is ' '"),
    "one option": ([OWN | {"options": ["sit"]}], "found 1 options, expected 2 to 26"),
    "27 options": ([OWN | {"options": [str(k) for k in range(27)]}], "found 27 options"),
    "a nested option": ([OWN | {"options": [{"A": "sit"}, "walk"]}], "option A is {'A': 'sit'}"),
    "options in prose": ([OWN | {"options": "sit or walk"}], "found None, expected 2 to 26"),
    "options out of count": ([OWN | {"options": "1. ['sit'] 3. ['walk']"}], "expected 2 to 26"),
    "code as an option": ([OWN | {"options": "1. [exit()] 2. ['walk']"}], "expected 2 to 26"),
    "another letter": ([OWN | {"answer": "D"}], "the answer is 'D', expected one of the letters A, B, C"),
    "a letter that is a text": ([OWN | {"options": ["B", "A"], "answer": "A"}], "letter of one option and the text"),
    "two answers": ([OWN | {"ground_truth": "sit"}], "answer and ground_truth, and they differ"),
    "cut off": ('[{"video_name": "v"', "cut off"),
    "a bool": ([OWN | {"question": True}], "question is True"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_file_is_refused_with_the_reason(tmp_path, case):
    content, message = HOSTILE[case]
    with pytest.raises(ValueError, match="q.json") as error:
        read(tmp_path, content)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("video_name,question,B,answer\nv,?,sit,B\n", "found the columns"),
        ("video_name,question,answer\nv,?,B\n", "found the columns"),
        ("video_name,question,A,B,answer\nv,?,sit,walk,A,more\n", "row 0 has more cells than columns"),
        ("video_name,question,A,B,answer\nv,?,sit\n", "found 1 options"),
        ('video_name,question,A,B,answer\nv,"?"x,sit,walk,A\n', "is no CSV"),
        ("", "holds no question|found the columns"),
    ],
)
def test_a_hostile_csv_is_refused_with_the_reason(tmp_path, rows, message):
    with pytest.raises(ValueError, match=message):
        read(tmp_path, rows, "q.csv")


def test_orders_depend_on_the_seed_and_the_question_alone():
    items = [ChoiceItem(f"v{k}", "?", ("a", "b", "c", "d"), 0) for k in range(400)]
    first = [option_orders(item, 1, seed=0)[0] for item in items]
    assert first == [option_orders(item, 1, seed=0)[0] for item in items]
    assert first != [option_orders(item, 1, seed=1)[0] for item in items]
    assert all(sorted(order) == [0, 1, 2, 3] for order in first)
    assert len(set(first)) == 24, "not every order comes up"
    assert min(Counter(order.index(0) for order in first).values()) > 60  # 100 expected, 4.6 standard deviations below


def test_as_many_orders_as_options_put_each_option_everywhere_once():
    orders = option_orders(ITEM, 6, seed=3)
    assert orders[:1] == option_orders(ITEM, 1, seed=3)
    for block in (orders[:3], orders[3:]):
        assert [{order[position] for order in block} for position in range(3)] == [{0, 1, 2}] * 3
    assert option_orders(ITEM, 1, seed=None) == [(0, 1, 2)]


def test_a_prompt_of_other_words_is_taken_and_a_question_cannot_change_it(tmp_path):
    template = read_prompt(written(tmp_path, "Q: {question} Choices are {options_inline}", "p.txt"))
    text = prompt_text(template, ITEM._replace(question="What {options} {0}?"), (2, 0, 1))
    assert text == "Q: What {options} {0}? Choices are (A) read (B) sit (C) walk"
    assert prompt_text(read_prompt(written(tmp_path, "{question}", "p.txt")), ITEM, (2, 0, 1)) == ITEM.question
    for words in (
        "{options}",
        "",
        "{question} {options} {options_inline}",
        "{question} {question} {options}",
    ):
        with pytest.raises(ValueError, match="expected {question} once"):
            read_prompt(written(tmp_path, words + " ", "p.txt"))


def test_a_kind_is_read_and_changes_no_order(tmp_path):
    record = {"video_name": "v", "question": "?", "options": ["a", "b", "c"], "answer": "a"}
    write_json(tmp_path / "q.json", [record, {**record, "kind": "colour"}, {**record, "kind": None}])
    items = read_choices(tmp_path / "q.json")
    assert [item.kind for item in items] == ["", "colour", ""]
    assert option_orders(items[0], 3, seed=0) == option_orders(items[1], 3, seed=0)
    (tmp_path / "q.csv").write_text("video_name,question,A,B,answer,kind\nv,?,a,b,A,order\n")
    assert read_choices(tmp_path / "q.csv")[0].kind == "order"
    write_json(tmp_path / "q.json", [{**record, "kind": 3}])
    with pytest.raises(ValueError, match="item 0: kind is 3; expected a text"):
        read_choices(tmp_path / "q.json")


def test_equal_texts_are_one_answer():
    item = ChoiceItem("v", "?", ("sit", "Sit", "walk"), 0)
    assert [item.is_right(k) for k in range(3)] == [True, True, False] and item.chance == pytest.approx(2 / 3)


def test_the_made_up_file_has_each_letter_equally_often():
    letters = Counter(llavidal_record(k)["ground_truth_letter"] for k in range(8))
    assert set(letters.values()) == {2}
