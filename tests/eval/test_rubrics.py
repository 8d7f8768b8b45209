"""The rubrics are data: five of them, each with what the judge sees, and a fingerprint that moves with each word."""

import json
from dataclasses import asdict, replace

import pytest

from eval.judges.parse_score import parse_score
from eval.judges.rubrics import OWN, OWN_FILE, load_rubrics, messages
from eval.metrics import METRICS

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


@pytest.mark.parametrize("rubric", OWN.metrics, ids=METRICS)
def test_the_judge_sees_its_fields_and_which_text_is_the_reference(rubric):
    system, user = messages(rubric, FIELDS)
    assert "<reference>\nthe truth\n</reference>" in user.text
    for name, text in FIELDS.items():
        assert (f"\n{text}\n" in user.text) == (name in rubric.fields)
    assert system.role == "system" and '{"score": N}' in system.text


def test_consistency_sends_both_questions_and_both_answers():
    text = messages(OWN.metrics[4], FIELDS)[1].text
    for part in ("one?", "two?", "first", "second"):
        assert text.count(f"\n{part}\n") == 1


def test_the_prompt_itself_gives_no_score():
    for rubric in OWN.metrics:
        assert parse_score("\n".join(m.text for m in messages(rubric, FIELDS))) is None


def test_the_hash_moves_with_a_word_with_the_order_of_fields_and_with_the_scale():
    first, *others = OWN.metrics
    reworded = replace(OWN, metrics=(replace(first, prompt=first.prompt + " "), *others))
    again = replace(OWN, again="Again!")
    hashes = {OWN.digest, reworded.digest, again.digest, load_rubrics(scores="decimal").digest}
    assert len(hashes) == 4 and OWN.digest == load_rubrics().digest


def test_the_scale_shapes_the_words_and_the_schema():
    whole, decimal = load_rubrics(), load_rubrics(scores="decimal")
    assert whole.schema["properties"]["score"]["enum"] == [0, 1, 2, 3, 4, 5]
    assert decimal.schema["properties"]["score"] == {"type": "number", "minimum": 0, "maximum": 5}
    for rubrics, words in ((whole, "a whole number"), (decimal, "at most one decimal")):
        assert words in rubrics.again and all(words in rubric.system for rubric in rubrics.metrics)
        assert "{scale}" not in rubrics.again + "".join(rubric.system for rubric in rubrics.metrics)


def written(tmp_path, content):
    path = tmp_path / "rubrics.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_somebody_elses_prompts_are_said_to_the_letter(tmp_path):
    prompt = 'Compare.\n\nCorrect: {A}\nSaid: {pred}\nReply like {"score": 3} { other }'
    path = written(tmp_path, {"schema": None, "metrics": {"detail": {"prompt": prompt, "system": "You are strict."}}})
    rubrics = load_rubrics(path)
    assert [r.metric for r in rubrics.metrics] == ["detail"] and rubrics.of("context") is None
    assert rubrics.schema is None and rubrics.metrics[0].fields == ("A", "pred")
    told = messages(rubrics.metrics[0], {**FIELDS, "A": " tells of {pred} "})
    expected = 'Compare.\n\nCorrect: tells of {pred}\nSaid: a guess\nReply like {"score": 3} { other }'
    assert [(m.role, m.text) for m in told] == [("system", "You are strict."), ("user", expected)]


def test_the_scale_is_filled_in_wherever_it_stands(tmp_path):
    metrics = {
        "detail": {"prompt": "{A} {pred} {scale}", "system": "{scale}!"},
        "context": {"fields": ["A", "pred"], "criterion": "{scale}"},
    }
    scales = {"integer": {"words": "0 to 5", "schema": None}}
    rubrics = load_rubrics(written(tmp_path, {"metrics": metrics, "again": "N: {scale}", "scales": scales}))
    assert "{scale}" not in json.dumps(asdict(rubrics)) and rubrics.again == "N: 0 to 5"
    told = messages(rubrics.metrics[0], FIELDS)
    assert [message.text for message in told] == ["0 to 5!", "the truth a guess 0 to 5"]
    assert rubrics.metrics[1].prompt.startswith("0 to 5\n")


def test_without_a_system_message_there_is_none_and_the_rest_is_ours(tmp_path):
    path = written(tmp_path, {"metrics": {"detail": {"fields": ["A", "pred"], "criterion": "How full?"}}})
    rubrics = load_rubrics(path)
    (only,) = messages(rubrics.metrics[0], FIELDS)
    assert only.text == "How full?\n<reference>\nthe truth\n</reference>\n<prediction>\na guess\n</prediction>"
    assert (rubrics.schema, rubrics.again) == (OWN.schema, OWN.again)


def test_a_copy_of_our_file_is_ours(tmp_path):
    assert load_rubrics(written(tmp_path, OWN_FILE.read_text())).digest == OWN.digest


DETAIL = {"prompt": "{A} {pred}"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[", "is no JSON"),
        ([], "expected an object"),
        ({}, "expected `metrics`"),
        ({"metrics": {}}, "expected `metrics`"),
        ({"metrics": {"detail": DETAIL}, "sytsem": "x"}, "sytsem"),
        ({"metrics": {"detial": DETAIL}}, "no metric is called 'detial'.*correctness"),
        ({"metrics": {"detail": "x"}}, "detail: found .*expected either prompt, or fields and criterion"),
        ({"metrics": {"detail": {**DETAIL, "fields": []}}}, "expected either prompt"),
        ({"metrics": {"detail": {"prompt": 3}}}, "prompt is 3"),
        ({"metrics": {"detail": {"fields": ["X"], "criterion": "x"}}}, "fields is .*expected a list of Q"),
        ({"metrics": {"detail": {"prompt": "{A}"}}}, "shows A to the judge; expected all of pred,"),
        ({"metrics": {"detail": {"prompt": "{pred} {Q1}"}}}, "shows"),
        ({"metrics": {"consistency": {"prompt": "{A} {pred1}"}}}, "consistency: shows .*pred2"),
        (
            {"metrics": {"detail": {"prompt": "{A} {pred} {Question}"}}},
            r"detail: nothing .* for \{Question\}.*\{pred\}",
        ),
        ({"metrics": {"detail": {"fields": ["A", "pred"], "criterion": "{scael}"}}}, r"detail: nothing .*\{scael\}"),
        ({"metrics": {"detail": {**DETAIL, "system": "{A}"}}}, r"detail, system: nothing .*\{A\}; expected \{scale\}"),
        ({"metrics": {"detail": DETAIL}, "again": "{N}"}, r"again: nothing .*\{N\}"),
        ({"metrics": {"detail": DETAIL}, "system": 3}, "system is 3"),
        ({"metrics": {"detail": DETAIL}, "schema": "x"}, "schema is 'x'"),
        ({"metrics": {"detail": DETAIL}, "scales": {"decimal": {"words": "x", "schema": None}}}, "'integer'"),
    ],
)
def test_files_that_are_no_rubrics(tmp_path, content, said):
    with pytest.raises(ValueError, match=said) as caught:
        load_rubrics(written(tmp_path, content))
    assert "rubrics.json" in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match="none.json does not exist"):
        load_rubrics(tmp_path / "none.json")
