import json
import time

import pytest

from data_curation.captioning.action_names import action_sentence
from data_curation.questions.make_qa import template_pairs
from data_curation.questions.pairs import Pair, fault, parse_pairs
from tests.cases.asking_case import CAPTION, GOOD, OTHER, reply
from tests.cases.curation_case import NTU

REPLIES = {
    "as asked": reply(GOOD, OTHER),
    "in a fence": f"Of course!\n```json\n{reply(GOOD, OTHER)}\n```\nAnything else?",
    "a bare list": json.dumps([GOOD, OTHER]),
    "line by line": f"{json.dumps(GOOD)}\n{json.dumps(OTHER)}",
    "cut off": reply(GOOD, OTHER, GOOD)[:-30],
    "braces before": "{sure} {" + reply(GOOD, OTHER),
    "a draft in a thought": f"<think>Maybe {json.dumps(OTHER)}? Too vague.</think>{reply(GOOD, OTHER)}",
    "a thought of another model": f"[THINK]{json.dumps(OTHER)}[/THINK]{reply(GOOD, OTHER)}",
    "Python": str([GOOD, OTHER]),
    "nested Python": str({"pairs": [GOOD, OTHER]}).replace("}]", "},]"),
    "a comma at the end": reply(GOOD, OTHER).replace('"}', '",}'),
    "curly quotes": reply(GOOD, OTHER).replace(': "', ": “").replace('",', "”,").replace('"}', "”}"),
    "keys without quotes": reply(GOOD, OTHER).replace('"kind"', "kind").replace('"question"', "question"),
    "numbered keys": json.dumps(
        {"question_1": GOOD["question"], "Answer_1": GOOD["answer"], "Q2": OTHER["question"], "a2": OTHER["answer"]}
    ),
    "lines": "\n\n".join(f"{n}. **Q:** {p['question']}\n   **A:** {p['answer']}" for n, p in enumerate((GOOD, OTHER))),
    "other keys": json.dumps([{"Q": p["question"], "A": p["answer"], "kind": p["kind"]} for p in (GOOD, OTHER)]),
}


@pytest.mark.parametrize("text", REPLIES.values(), ids=REPLIES.keys())
def test_pairs_are_found_in_whatever_a_model_wraps_them(text):
    pairs = parse_pairs(text)
    assert [pair[1:] for pair in pairs[:2]] == [Pair(**GOOD)[1:], Pair(**OTHER)[1:]]
    assert "kind" not in text or (pairs[0].kind, pairs[1].kind) == (GOOD["kind"], OTHER["kind"])


LOOSE = {
    "apostrophes in Python": "{'Q': 'What's he doing?', 'A': 'He's drinking.'}",
    "quotes in JSON": '{"Q": "What\'s he doing?", "A": "He\'s drinking."}',
    "escaped quotes": "{'Q': 'What\\'s he doing?', 'A': 'He\\'s drinking.'}",
    "no comma": '{"Q": "What\'s he doing?"\n "A": "He\'s drinking."}',
}


@pytest.mark.parametrize("text", LOOSE.values(), ids=LOOSE.keys())
def test_quotes_inside_texts(text):
    assert parse_pairs(text) == [Pair("summary", "What's he doing?", "He's drinking.")]


def test_line_breaks_and_quotes_inside_a_text_belong_to_it():
    (pair,) = parse_pairs('{"Q": "What is\nsaid?", "A": "He says "hi" to her."}')
    assert pair[1:] == ("What is\nsaid?", 'He says "hi" to her.')


@pytest.mark.parametrize(
    "text", ["Q: What?\nA: He drinks wat", "Q: What?", "<think>Q: What?\nA: This.", "{'Q': 'What?', 'A': 'Th"]
)
def test_half_a_pair_is_none(text):
    assert parse_pairs(text) == []


@pytest.mark.parametrize("piece", ["{", "{'a':", "{'a': '", "{}", "{'Q': 'x', ", "Q: a\n", "x' ", "{,", "1. ", "**"])
def test_a_flood_of_anything_costs_no_time(piece):
    started = time.process_time()
    assert parse_pairs(piece * 4_000) == []
    assert time.process_time() - started < 5


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


@pytest.mark.slow
@pytest.mark.parametrize(("reason", "pair"), FAULTS.values(), ids=FAULTS.keys())
def test_bad_pairs_are_told_apart_by_reason(reason, pair):
    assert fault(pair, context=CAPTION, earlier=[Pair(**GOOD)]) == reason
    assert fault(Pair(**GOOD), context=CAPTION) is None


@pytest.mark.slow
@pytest.mark.parametrize("action", NTU.description.classes, ids=lambda action: action.id)
def test_our_own_pairs_of_every_action_have_no_fault(action):
    name = f"clip of {action.id}"
    caption = f"{action_sentence(name, action=action)} The right hand rises to the head; the legs hardly move."
    taken: list[Pair] = []
    for pair in template_pairs(name, caption=caption, count=6):
        assert fault(pair, context=caption, earlier=taken) is None
        taken.append(pair)
