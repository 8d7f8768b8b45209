from typing import get_args

from data_curation.prompts import (
    CAPTION_PROMPT,
    CONSISTENCY,
    DESCRIBE,
    QA_REQUEST,
    QA_SCHEMA,
    QA_SYSTEM,
    QUESTIONS,
    Kind,
    prompt_hash,
)
from data_curation.questions.pairs import _LEAKS


def test_the_caption_prompt_is_the_papers_word_for_word():
    assert CAPTION_PROMPT == (
        "Give a detailed description of the actions happening and describe the image, include motions and the "
        "objects interacted by the person."
    )


def test_every_kind_is_explained_to_the_model_and_has_templates():
    kinds = set(get_args(Kind))
    item = QA_SCHEMA["properties"]["pairs"]["items"]
    assert set(item["properties"]["kind"]["enum"]) == kinds == set(QUESTIONS)
    assert set(item["required"]) == set(item["properties"])
    assert all(f"- {kind}:" in QA_REQUEST for kind in kinds)


def test_the_request_can_be_filled_and_shows_json():
    text = QA_REQUEST.format(caption="A person claps.", motion="", count=3, kinds="summary, detail")
    assert "A person claps." in text
    assert '{"pairs": [{"kind"' in text
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
