"""The judges: a real LLM over HTTP, one that talks nonsense, the offline one."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from eval.judges.judge import JudgeSettings
from eval.judges.llm_judge import LlmJudge
from eval.judges.open_judge import open_judge
from eval.judges.rubrics import OWN, messages
from eval.judges.similarity_judge import SimilarityJudge, sentences
from eval.metrics import METRICS
from ski_lvlm.servers.client import ChatClient, ChatError, ServerNotRunning, Stopped
from ski_lvlm.servers.pace import Pace
from tests.cases.command_case import HANG
from tests.cases.llm_server import Answer, chat_double

CORRECTNESS, DETAIL, CONTEXT, _, CONSISTENCY = OWN.metrics
FIELDS = {"Q": "what?", "A": "A man waves. He sits down.", "pred": "A man waves."}


def judge_of(double, **settings):
    settings = {"timeout": HANG, "max_wait": 0.01, "attempts": 2, **settings}
    return LlmJudge(ChatClient("llama3.1", base_url=double.url, **settings))


@pytest.mark.slow
def test_a_real_model_bound_to_the_schema_always_gives_a_score(llm_url):
    judge = LlmJudge(ChatClient("openai:smollm2", base_url=llm_url, timeout=HANG))
    judgement = judge(CORRECTNESS, FIELDS)
    assert judgement.score in range(6) and judgement.reason is None
    assert judgement.replies == judge(CORRECTNESS, FIELDS).replies, "temperature 0 and a seed"


def test_an_unreadable_reply_is_asked_again_in_the_same_conversation():
    with chat_double() as double:
        double.plan = lambda _: Answer("Lovely!" if len(double.requests) < 3 else '{"score": 2}')
        said = ("Lovely!", "Lovely!", '{"score": 2}')
        judgement = judge_of(double)(CORRECTNESS, FIELDS)
    assert (judgement.score, judgement.replies, judgement.reason) == (2.0, said, None), "all that was said is kept"
    assert judgement.prompt == tuple(messages(CORRECTNESS, FIELDS)) and judgement.last.model == "m"
    roles = [[m["role"] for m in request["messages"]] for request in double.requests]
    assert roles[2] == ["system", "user", "assistant", "user", "assistant", "user"]
    assert all(r["format"] and r["options"]["temperature"] == 0 for r in double.requests)


def test_nonsense_for_ever_ends_unscored():
    with chat_double(plan=lambda _: Answer("Lovely!")) as double:
        judgement = judge_of(double)(CORRECTNESS, FIELDS)
    assert judgement.score is None and judgement.replies == ("Lovely!",) * 3 and judgement.reason.startswith("unparsed")
    assert len(double.requests) == 3


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Answer(status=500), "Busy"),
        (Answer(status=400, body=b"{}"), "Refused"),
        (Answer(body=b'{"mess'), "BadReply"),
        (Answer(after=threading.Event()), "TimedOut"),
    ],
)
def test_a_failing_server_gives_a_reason_not_a_score(answer, kind):
    with chat_double(plan=lambda _: answer) as double:
        judgement = judge_of(double, timeout=0.1 if kind == "TimedOut" else HANG)(CORRECTNESS, FIELDS)
    assert judgement.score is None and judgement.reason.startswith(f"failed: {kind}")


def test_a_judge_that_is_gone_stops_the_run():
    with chat_double() as double:
        judge = judge_of(double)
    with pytest.raises(ServerNotRunning, match="ollama serve"):
        judge(CORRECTNESS, FIELDS)


def test_a_reply_that_was_cut_names_the_remedy():
    with chat_double(plan=lambda _: Answer("", cut=True)) as double:
        judgement = judge_of(double)(CORRECTNESS, FIELDS)
    assert judgement.reason.startswith("unparsed: cut at --max_tokens 200") and judgement.last.cut


@pytest.mark.slow
def test_every_attempt_keeps_the_pace(monkeypatch):
    pace, waits = Pace(requests_per_minute=6000, tokens_per_minute=None), []
    monkeypatch.setattr(pace, "wait", waits.append)
    with chat_double() as double:
        double.plan = lambda _: Answer(status=500) if len(double.requests) % 2 else Answer("Lovely!")
        client = ChatClient("llama3.1", base_url=double.url, max_wait=0.01)
        LlmJudge(client, pace=pace)(CORRECTNESS, FIELDS)
    assert len(waits) == len(double.requests) == 6, "three questions, each of them twice"


def test_a_stop_ends_the_wait_for_the_pace():
    with chat_double(plan=lambda _: Answer('{"score": 2}')) as double, ThreadPoolExecutor() as pool:
        judge = open_judge("llama3.1", JudgeSettings(base_url=double.url, requests_per_minute=1))
        assert judge(CORRECTNESS, FIELDS).score == 2
        waiting = pool.submit(judge, DETAIL, FIELDS)
        judge.stop()
        with pytest.raises(Stopped, match="told to stop"):
            waiting.result(timeout=HANG)
        assert len(double.requests) == 1


@pytest.mark.parametrize("name", ["", " ", "hf:", "openai:", "ollama: "])
def test_names_of_no_judge(name):
    with pytest.raises(ChatError, match="expected one of MODEL, ollama:MODEL, openai:MODEL, hf:MODEL, similarity"):
        open_judge(name)


_VECTORS = {
    "A man waves.": [1, 0, 0],
    "He sits down.": [0, 1, 0],
    "A cat.": [-1, 0, 0],
    "A man waves. He sits down.": [3, 4, 0],
}


def known_vectors():
    """A sentence encoder whose vectors are known, so that the metrics can be worked out by hand."""

    def encode(texts):
        return torch.tensor([_VECTORS[text] for text in texts], dtype=torch.float32)

    encode.digest = "d"
    return SimilarityJudge(encode)


def test_similarity_metrics_worked_by_hand():
    judge = known_vectors()
    assert judge(CORRECTNESS, FIELDS).score == pytest.approx(5 * 0.6), "cosine of (1,0,0) and (3,4,0)"
    assert judge(DETAIL, FIELDS).score == pytest.approx(5 * 0.5), "one of two reference sentences is covered"
    both = {**FIELDS, "pred": "A man waves. He sits down."}
    assert judge(CORRECTNESS, both).score == pytest.approx(5)
    assert judge(DETAIL, both).score == pytest.approx(5)
    assert judge(CONTEXT, both).score == pytest.approx(5 * (0.6 + 0.8) / 2)
    assert judge(CORRECTNESS, {**FIELDS, "A": "A cat."}).score == 0, "a negative cosine is 0"
    two = {"Q1": "?", "Q2": "?", "A": FIELDS["A"], "pred1": "A man waves.", "pred2": "He sits down."}
    assert judge(CONSISTENCY, two).score == 0, "the two answers contradict each other"
    assert judge(CONSISTENCY, {**two, "pred2": "A man waves."}).score == pytest.approx(5 * 0.6)


@pytest.mark.parametrize("rubric", [CORRECTNESS, DETAIL, CONTEXT])
def test_an_empty_prediction_has_nothing_in_common(rubric):
    assert known_vectors()(rubric, {**FIELDS, "pred": " \n"}).score == 0


def test_similarity_does_not_claim_to_see_time():
    assert [m for m in METRICS if known_vectors().not_measured(m)] == ["temporal"]


def test_sentences():
    assert sentences("One. Two?\nthree\n\n") == ["One.", "Two?", "three"]
    assert sentences(" ") == []


def test_a_text_longer_than_the_encoder_reads_is_unscored():
    def encode(texts):
        raise ValueError("600 tokens, but minilm reads at most 512")

    encode.digest = "d"
    judgement = SimilarityJudge(encode)(CORRECTNESS, FIELDS)
    assert judgement.score is None and "at most 512" in judgement.reason
