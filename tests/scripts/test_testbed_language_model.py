"""The small language model of the testbed, trained on a handful of texts."""

import json

import pytest

from scripts.testbed.text_pairs import split_pairs, text_pairs
from scripts.testbed_language_model import main

WORDS = ("waving", "clapping", "reading", "jumping")


def record(number):
    doing = f"A person is {WORDS[number % len(WORDS)]}."
    return {
        "clip": f"clip {number}",
        "about": "action",
        "caption": doing,
        "pairs": [{"question": "What happens?", "answer": doing}],
    }


@pytest.fixture
def texts(tmp_path):
    lines = [json.dumps(record(number)) + "\n" for number in range(40)]
    (tmp_path / "texts.jsonl").write_text("".join(lines))
    return tmp_path


def test_some_questions_stand_alone_and_the_others_have_words_of_a_caption():
    pairs = text_pairs([record(number) for number in range(200)], seed=0)
    alone = [pair for pair in pairs if not pair.context]
    assert 5 < len(alone) < 40 and alone[0].prompt == "What happens?"
    assert all(set(pair.context.split()) == {"person", WORDS[int(pair.clip[5:]) % 4]} for pair in pairs if pair.context)
    orders = {pair.context.split()[0] == "person" for pair in pairs if pair.context}
    assert orders == {True, False} and pairs == text_pairs([record(number) for number in range(200)], seed=0)


def test_performances_that_are_held_out_are_not_trained_on():
    pairs = text_pairs([record(number) for number in range(10)], seed=0)
    trained, held_out = split_pairs(pairs, held_out=3, source="x")
    assert {pair.clip for pair in held_out} == {"clip 7", "clip 8", "clip 9"} and len(trained) == 7
    with pytest.raises(ValueError, match="10 performances, expected more than --held_out 10"):
        split_pairs(pairs, held_out=10, source="x")


def test_without_texts_the_remedy_is_named(tmp_path):
    with pytest.raises(ValueError, match="--text_only"):
        main(["--texts", str(tmp_path), "--out", str(tmp_path / "out")])


@pytest.mark.slow
def test_the_model_learns_and_loads_as_any_other(texts):
    from ski_lvlm.datasets.instruction_file import Turn
    from ski_lvlm.llm.conversation import encode
    from ski_lvlm.llm.loading import load_llm

    out = texts / "out"
    size = ["--width", "32", "--depth", "1", "--epochs", "15", "--batch_size", "8", "--held_out", "8"]
    assert main(["--texts", str(texts), "--out", str(out), *size, "--learning_rate", "1e-2"]) == 0
    result = json.loads((out / "result.json").read_text())
    assert result["pairs"] == 32 and 1 < result["perplexity"]["with words"] < 10
    llm = load_llm(str(out))
    prompt = encode([Turn("user", "What happens?\nwaving person")], llm.tokenizer, token_counts={})
    answer = llm.model.generate(prompt.ids[None], max_new_tokens=20, do_sample=False)[0, len(prompt.ids) :]
    assert "A person is" in llm.tokenizer.decode(answer, skip_special_tokens=True)
    assert llm.tokenizer.pad_token != llm.tokenizer.eos_token
