import json

import pytest

from data_curation.action_phrases import ACTION_PHRASES
from data_curation.captioning.kinematics import action_sentence
from data_curation.questions.make_qa import template_pairs
from data_curation.questions.pairs import Pair, fault, parse_pairs
from tests.asking_case import CAPTION, GOOD, OTHER, reply

REPLIES = {
    "as asked": reply(GOOD, OTHER),
    "in a fence": f"Of course!\n```json\n{reply(GOOD, OTHER)}\n```\nAnything else?",
    "a bare list": json.dumps([GOOD, OTHER]),
    "line by line": f"{json.dumps(GOOD)}\n{json.dumps(OTHER)}",
    "cut off": reply(GOOD, OTHER, GOOD)[:-30],
    "braces before": "{sure} {" + reply(GOOD, OTHER),
    "other keys": json.dumps([{"Q": p["question"], "A": p["answer"], "kind": p["kind"]} for p in (GOOD, OTHER)]),
}


@pytest.mark.parametrize("text", REPLIES.values(), ids=REPLIES.keys())
def test_pairs_are_found_in_whatever_a_model_wraps_them(text):
    assert parse_pairs(text)[:2] == [Pair(**GOOD), Pair(**OTHER)]


@pytest.mark.parametrize(
    "text", ["", "No.", "{", '{"question": 3, "answer": "x"}', "[[[[", '{"question": "x"}', "{" * 5000]
)
def test_nonsense_holds_no_pair(text):
    assert parse_pairs(text) == []


def test_an_unknown_kind_becomes_a_summary():
    assert parse_pairs(json.dumps(GOOD | {"kind": "poem"}))[0].kind == "summary"


FAULTS = {
    "no question": ("an empty question or answer", Pair("action", "", "Drinking.")),
    "no answer": ("an empty question or answer", Pair("action", "What?", "")),
    "image": (
        "it speaks of a caption, an image or a placeholder",
        Pair("action", "What is in the image?", "Drinking water."),
    ),
    "caption": (
        "it speaks of a caption, an image or a placeholder",
        Pair("action", "What is done?", "The caption says drinking water."),
    ),
    "placeholder": (
        "it speaks of a caption, an image or a placeholder",
        Pair("action", "What? <video>", "Drinking water."),
    ),
    "half a character": ("it holds halves of characters", Pair("action", "What is done \ud83d?", "Drinking water.")),
    "Russian": ("not English", Pair("action", "Что делает человек?", "Человек пьёт воду, drinking water.")),
    "Spanish": ("not English", Pair("action", "¿Qué hace la persona en el vídeo?", "La persona está bebiendo agua.")),
    "German": ("not English", Pair("action", "Was macht die Person gerade?", "Sie trinkt gerade ein Glas Wasser.")),
    "invented": (
        "the answer says what the caption does not",
        Pair("action", "What is worn?", "A green hat and leather boots."),
    ),
    "the same": ("the same question again", Pair("action", "what IS being done", "The person is drinking water.")),
    "an echo": ("the answer repeats the question", Pair("action", "Drinking water?", "drinking water")),
}


@pytest.mark.parametrize(("reason", "pair"), FAULTS.values(), ids=FAULTS.keys())
def test_bad_pairs_are_told_apart_by_reason(reason, pair):
    assert fault(pair, known=CAPTION, taken=[Pair(**GOOD)]) == reason
    assert fault(Pair(**GOOD), known=CAPTION) is None


@pytest.mark.parametrize("action", ACTION_PHRASES)
def test_our_own_pairs_of_every_action_have_no_fault(action):
    name = f"S001C001P001R001A{action:03}"
    caption = f"{action_sentence(name, action=action)} The right hand rises to the head; the legs hardly move."
    taken: list[Pair] = []
    for pair in template_pairs(name, caption=caption, count=6):
        assert fault(pair, known=caption, taken=taken) is None
        taken.append(pair)
