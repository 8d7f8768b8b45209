"""Reading judges' replies, and the judges: a real LLM over HTTP, one that talks nonsense, the offline one."""

import pytest
import torch

from eval.judge import Judgement, LlmJudge, SimilarityJudge, open_judge, sentences
from eval.parse_score import parse_score
from eval.rubrics import METRICS, RUBRICS
from ski_lvlm.chat_client import ChatClient, ChatError, ServerNotRunning
from tests.llm_server import Answer, chat_double

CORRECTNESS, DETAIL, CONTEXT, _, CONSISTENCY = RUBRICS
FIELDS = {"Q": "what?", "A": "A man waves. He sits down.", "pred": "A man waves."}

READ = {
    "4": 4,
    " 4.\n": 4,
    "0": 0,
    "5.0": 5,
    "**3**": 3,
    "[2]": 2,
    '{"score": 4}': 4,
    "{'score': 4.8}": 4.8,
    "{''score': 4.8}": 4.8,
    '{"score": "4"}': 4,
    '{ "Score" : 0 }': 0,
    '{"score": 3, "reason": "2 of 4 events"}': 3,
    '{"max_score": 5, "score": 2}': 2,
    "Score: 4/5": 4,
    "Score = 3.5": 3.5,
    "**Score:** 4": 4,
    "score is 2.": 2,
    "The score is 4 out of 5.": 4,
    "Rating: 1": 1,
    "4 out of 5": 4,
    "I'd give it 3/5, since two things are missing": 3,
    "Score (0-5): 4": 4,
    "On a scale from 0 to 5 my score: 2": 2,
    '```json\n{"score": 3}\n```': 3,
    "```\n3\n```": 3,
    'Sure! Here it is:\n{"score": 5}\nAnything else?': 5,
    "<think>score: 1? or 2?</think>\n{\"score\": 3}": 3,
    "score: 4 ... so my final score: 4": 4,
}  # fmt: skip
UNREAD = [
    "", "   ", "I cannot judge this.", "five", "score:", "score: five", "score: 45", "45", "-1", "score: -1", "6",
    "score: 5.1", "score: 8/10", "8 out of 10", "80%", "score: 4%", "score: 4,5", "score: 3-4", "score: 3 or 4",
    "3 or 4", "score: 0-5", "score: 2. No, score: 4", "2/5 or 3/5", "1 2 3", "NaN", '{"score": NaN}',
    '{"score": Infinity}', '{"score": null}', '{"score": true}', '{"score": {}}', '{"score": []}', '{"score": ', "{",
    '{"points": 4}', "score: 1e3", "score 4th", "There are 3 people.", "<think>score: 4", "\x00", "score: ٤",
    "underscore 4", "9" * 400, "score: " + "9" * 400, '{"score": 4}' + ' {"score": 3}',
]  # fmt: skip


@pytest.mark.parametrize("reply", READ)
def test_replies_with_a_score(reply):
    assert parse_score(reply) == READ[reply]


@pytest.mark.parametrize("reply", UNREAD)
def test_replies_without_a_score_are_none_not_zero(reply):
    assert parse_score(reply) is None


@pytest.mark.parametrize("piece", ["score: ", "0 to 5 ", "<think>", "4/", "{[\"'", "9", "score of is of "])
def test_long_nonsense_is_read_in_no_time(piece):
    assert parse_score(piece * 100_000) is None


def judge_of(double, **settings):
    settings = {"timeout": 5.0, "max_wait": 0.01, "attempts": 2, **settings}
    return LlmJudge(ChatClient("llama3.1", base_url=double.url, **settings))


def test_a_real_model_bound_to_the_schema_always_gives_a_score(llm_url):
    judge = LlmJudge(ChatClient("openai:smollm2", base_url=llm_url, timeout=60.0))
    judgement = judge(CORRECTNESS, FIELDS)
    assert judgement.score in range(6) and judgement.reason is None
    assert judgement == judge(CORRECTNESS, FIELDS), "temperature 0 and a seed"


def test_an_unreadable_reply_is_asked_again_in_the_same_conversation():
    with chat_double() as double:
        double.plan = lambda _: Answer("Lovely!" if len(double.requests) < 3 else '{"score": 2}')
        assert judge_of(double)(CORRECTNESS, FIELDS) == Judgement(2.0, '{"score": 2}')
    roles = [[m["role"] for m in request["messages"]] for request in double.requests]
    assert roles[2] == ["system", "user", "assistant", "user", "assistant", "user"]
    assert all(r["format"] and r["options"]["temperature"] == 0 for r in double.requests)


def test_nonsense_for_ever_ends_unscored():
    with chat_double(plan=lambda _: Answer("Lovely!")) as double:
        judgement = judge_of(double)(CORRECTNESS, FIELDS)
    assert judgement.score is None and judgement.reply == "Lovely!" and judgement.reason.startswith("unparsed")
    assert len(double.requests) == 3


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Answer(status=500), "Busy"),
        (Answer(status=400, body=b"{}"), "Refused"),
        (Answer(body=b'{"mess'), "BadReply"),
        (Answer(pause=0.3), "TimedOut"),
    ],
)
def test_a_failing_server_gives_a_reason_not_a_score(answer, kind):
    with chat_double(plan=lambda _: answer) as double:
        judgement = judge_of(double, timeout=0.1 if kind == "TimedOut" else 5.0)(CORRECTNESS, FIELDS)
    assert judgement.score is None and judgement.reason.startswith(f"failed: {kind}")


def test_a_judge_that_is_gone_stops_the_run():
    with chat_double() as double:
        judge = judge_of(double)
    with pytest.raises(ServerNotRunning, match="ollama serve"):
        judge(CORRECTNESS, FIELDS)


@pytest.mark.parametrize("name", ["", "hf:org/model", "openai:"])
def test_names_of_no_judge(name):
    with pytest.raises(ChatError, match="expected"):
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
