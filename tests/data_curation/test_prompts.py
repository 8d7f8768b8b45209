import json
from typing import get_args

from data_curation.prompts import (
    CAPTION_PROMPT,
    CONSISTENCY,
    DESCRIBE,
    QA_KINDS,
    QA_REQUEST,
    QA_SYSTEM,
    QUESTIONS,
    Kind,
    prompt_hash,
    qa_schema,
)
from data_curation.questions.pairs import _LEAKS, parse_pairs


def test_the_caption_prompt_is_the_papers_word_for_word():
    assert CAPTION_PROMPT == (
        "Give a detailed description of the actions happening and describe the image, include motions and the "
        "objects interacted by the person."
    )


def test_every_kind_is_explained_to_the_model_and_has_templates():
    kinds = set(get_args(Kind))
    assert kinds == set(QUESTIONS) == set(QA_KINDS)


def test_the_request_can_be_filled_and_shows_json():
    text = QA_REQUEST.format(caption="A person claps.", motion="", explained="", count=3, kinds="summary, detail")
    assert "A person claps." in text
    assert '{"pair_1": {"kind"' in text and "up to pair_3" in text
    assert "{{" not in text


def test_questions_are_different_and_never_name_a_caption():
    questions = [question for wordings in QUESTIONS.values() for question in wordings]
    assert len(set(questions)) == len(questions)
    assert not any(_LEAKS.search(question) for question in [*questions, DESCRIBE, *CONSISTENCY])
    assert CONSISTENCY[0] != CONSISTENCY[1]


def test_a_changed_word_changes_the_hash():
    assert prompt_hash(QA_SYSTEM) == prompt_hash(QA_SYSTEM)
    assert prompt_hash(QA_SYSTEM) != prompt_hash(QA_SYSTEM.replace("never", "Never"))
    assert prompt_hash("ab", "c") != prompt_hash("a", "bc")


def test_the_schema_asks_for_as_many_pairs_as_are_wanted_each_of_its_kind():
    schema = qa_schema(["motion", "motion", "detail"])
    assert list(schema["properties"]) == schema["required"] == ["pair_1", "pair_2", "pair_3"]
    assert [pair["properties"]["kind"]["enum"] for pair in schema["properties"].values()] == [
        ["motion"],
        ["motion"],
        ["detail"],
    ]
    for part in (schema, *schema["properties"].values()):  # what OpenAI's strict mode demands of every object
        assert part["additionalProperties"] is False and part["required"] == list(part["properties"])


def test_a_reply_by_the_schema_is_read():
    reply = {
        "pair_1": {"kind": "motion", "question": "How?", "answer": "So."},
        "pair_2": {"kind": "detail", "question": "What?", "answer": "This."},
    }
    assert [pair.question for pair in parse_pairs(json.dumps(reply))] == ["How?", "What?"]
