"""The rubrics are data: five of them, each with what the judge sees, and a fingerprint that moves with each word."""

from dataclasses import replace

import pytest

from eval.parse_score import parse_score
from eval.rubrics import METRICS, RUBRICS, messages, rubric_hash

FIELDS = {
    "Q": "what?",
    "A": "the truth",
    "pred": "a guess",
    "Q1": "one?",
    "Q2": "two?",
    "pred1": "first",
    "pred2": "second",
}


def test_the_five_metrics_of_table_3_in_its_order():
    assert METRICS == ("correctness", "detail", "context", "temporal", "consistency")


@pytest.mark.parametrize("rubric", RUBRICS, ids=METRICS)
def test_the_judge_sees_its_fields_and_which_text_is_the_reference(rubric):
    system, user = messages(rubric, FIELDS)
    assert "<reference>\nthe truth\n</reference>" in user.text
    for name, text in FIELDS.items():
        assert (f"\n{text}\n" in user.text) == (name in rubric.fields)
    assert system.role == "system" and '{"score": N}' in system.text


def test_consistency_sends_both_questions_and_both_answers():
    text = messages(RUBRICS[4], FIELDS)[1].text
    for part in ("one?", "two?", "first", "second"):
        assert text.count(f"\n{part}\n") == 1


def test_the_prompt_itself_gives_no_score():
    for rubric in RUBRICS:
        assert parse_score("\n".join(m.text for m in messages(rubric, FIELDS))) is None


def test_the_hash_moves_with_a_word_and_with_the_order_of_fields():
    assert rubric_hash() == rubric_hash(RUBRICS)
    reworded = replace(RUBRICS[0], criterion=RUBRICS[0].criterion + " ")
    turned = replace(RUBRICS[0], fields=("A", "Q", "pred"))
    hashes = {rubric_hash(RUBRICS), rubric_hash((reworded, *RUBRICS[1:])), rubric_hash((turned, *RUBRICS[1:]))}
    assert len(hashes) == 3
