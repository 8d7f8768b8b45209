"""Pairs with a known order: what differs in them, the numbers over them, and judges whose order is known."""

import json
import math
from itertools import product

import pytest
from scipy.stats import mannwhitneyu

from benchmarks import judge_order
from benchmarks.order_captions import scenes
from benchmarks.order_numbers import GradedPair, auc, auc_interval, order_row
from benchmarks.order_pairs import FAULTS, pairs
from benchmarks.order_words import CLOSE, PHRASES
from data_curation.world.actions import ACTIONS
from tests.cases.llm_server import Answer, chat_double

COUNT = 12


@pytest.fixture(scope="module")
def every_pair():
    return {metric: pairs(metric, COUNT, seed=0) for metric in FAULTS}


def test_every_action_has_words_of_its_own_and_a_close_action_of_as_many_persons():
    assert set(PHRASES) == set(CLOSE) == set(ACTIONS)
    phrases = [phrase for words in PHRASES.values() for phrase in words]
    assert len(set(phrases)) == len(phrases)
    assert all(ACTIONS[number].persons == ACTIONS[close].persons for number, close in CLOSE.items())


def test_pairs_differ_in_the_prediction_alone_and_are_spread_evenly(every_pair):
    for metric, of_metric in every_pair.items():
        assert len(of_metric) == COUNT == len({pair.clip for pair in of_metric})
        counts = [sum(pair.fault == fault for pair in of_metric) for fault in FAULTS[metric]]
        assert max(counts) - min(counts) <= 1
        for pair in of_metric:
            assert pair.good != pair.bad and pair.good.keys() == pair.bad.keys()
            assert {k: v for k, v in pair.good.items() if "pred" not in k} == {
                k: v for k, v in pair.bad.items() if "pred" not in k
            }
            assert not any("{" in text or "  " in text for text in (*pair.good.values(), *pair.bad.values()))
    assert pairs("detail", 5, seed=0) == every_pair["detail"][:5], "a longer list begins with a shorter one"
    assert pairs("detail", 5, seed=1) != every_pair["detail"][:5]


def test_a_wrong_order_has_the_same_sentences_about_actions(every_pair):
    swaps = [pair for pair in every_pair["temporal"] if pair.fault == "wrong order"]
    for pair in (pair for pair in swaps if not pair.is_near):
        assert sorted(pair.good["pred"].split()) == sorted(pair.bad["pred"].split())
    for pair in (pair for pair in swaps if pair.is_near):
        assert (
            sorted(pair.good["A"].lower().split()) == sorted(pair.bad["pred"].lower().split())
            or "and then" in (pair.bad["pred"])
        )


def test_scenes_are_those_of_the_world_with_two_actions():
    for scene in scenes(30, seed=0):
        first, last = scene.events
        assert first.number != last.number and f"A{first.number:03d}" in scene.clip
        assert scene.persons == ACTIONS[first.number].persons == ACTIONS[last.number].persons


def graded(scores):
    return [GradedPair(pairs("detail", len(scores), seed=0)[n], good, bad) for n, (good, bad) in enumerate(scores)]


def test_the_auc_is_that_of_mann_and_whitney_and_its_interval_that_of_pairs():
    scores = [(4.0, 1.0), (3.0, 3.0), (2.0, 5.0), (5.0, 0.5)]
    of_detail = graded(scores)
    statistic = mannwhitneyu(*zip(*scores)).statistic
    assert auc(of_detail) == pytest.approx(statistic / 16)
    every_draw = sorted(auc([of_detail[n] for n in draw]) for draw in product(range(4), repeat=4))
    low, high = auc_interval(of_detail)
    assert every_draw[0] <= low <= auc(of_detail) <= high <= every_draw[-1]
    row = order_row(of_detail, total=5)
    assert (row["right"], row["ties"], row["scored"], row["pairs"]) == (0.625, 1, 4, 5)
    assert order_row([], total=2) == {"pairs": 2, "scored": 0}


def plan(request):
    """Grade by length, as a judge that likes long texts does, with a spread of probabilities."""
    text = request["messages"][-1]["content"]
    length = len(text.split("<prediction>")[-1])
    top = min(0.9, length / 1000)
    return Answer("5", first_token={"5": top, "0": 1 - top, **{str(n): 1e-9 for n in (1, 2, 3, 4)}})


@pytest.mark.slow
def test_a_judge_is_measured_and_the_same_command_asks_nothing_again(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("ski_lvlm.recognition.intervals.DRAWS", 100)
    monkeypatch.setattr(judge_order, "SIMILARITY", "openai:llama3.1")  # loads no encoder
    words = ["--metrics", "detail", "--pairs", "4", "--score", "expected", "--out", str(tmp_path)]
    with chat_double(plan=plan) as double:
        flags = [*words, "--judge", "openai:llama3.1", "--base_url", f"{double.url}/v1"]
        assert judge_order.main(flags) == 0
        count = len(double.requests)
        assert judge_order.main(flags) == 0
        assert len(double.requests) == count
    result = json.loads((tmp_path / "order.json").read_text())
    row = result["judges"]["openai:llama3.1"]["detail"]["all"]
    assert row["right"] == row["auc"] == 1 and not math.isnan(row["good"])
    assert "| detail | all | 4 of 4 | 1.00" in capsys.readouterr().out
