"""Expected scores: means of digits by their probabilities, from every server that tells them and in this process."""

import json

import pytest
import torch

import eval.score as score
from eval.judges.hf_chat import HfChat
from eval.judges.judge import JudgeSettings
from eval.judges.open_judge import open_judge
from eval.judges.rubrics import OWN, load_rubrics
from eval.judges.score_reading import ExpectedScore, SampledScore
from eval.results.compare_runs import compare_runs
from eval.results.score_json import GradesError
from ski_lvlm.llm.candidate_tokens import candidate_probabilities
from ski_lvlm.servers.client import ChatError, ChatRequest, Message, Reply
from ski_lvlm.servers.first_token import first_token
from ski_lvlm.storage.files import read_jsonl
from tests.cases.llm_server import Answer, chat_double
from tests.cases.tiny_llm import tiny_llm, tiny_tokenizer

FIELDS = {"Q": "what?", "A": "A man waves.", "pred": "A man sits."}
SURE = {"4": 0.5, " 4": 0.125, "5": 0.25, "0": 0.0625, "The": 0.03125, "4.5": 0.015625, "\n": 0.0078125}
MASS = 0.9375
EXPECTATION = (4 * 0.625 + 5 * 0.25) / MASS


def expected_judge(double, name="openai:llama3.1"):
    url = double.url if ":" not in name else f"{double.url}/v1"
    rubrics = load_rubrics(scores="digit")
    return open_judge(name, JudgeSettings(base_url=url, rubrics=rubrics, score_kind="expected")), rubrics


@pytest.mark.parametrize("name", ["openai:llama3.1", "llama3.1"])
def test_the_score_is_the_mean_of_the_digits_by_their_probabilities(name):
    with chat_double(plan=lambda _: Answer("4", first_token=SURE)) as double:
        judge, rubrics = expected_judge(double, name)
        judge.ping()
        judgement = judge(rubrics.metrics[0], FIELDS)
    assert judgement.score == pytest.approx(EXPECTATION) and judgement.replies == ("4",)
    assert judgement.facts["digits"] == pytest.approx([0.0625, 0, 0, 0, 0.625, 0.25])
    assert judgement.facts["mass"] == pytest.approx(MASS)
    last = double.requests[-1]
    assert (last["logprobs"], last["top_logprobs"]) == (True, 20)
    assert not last.get("response_format") and not last.get("format"), "a schema would bend the probabilities"
    texts = [message["content"] for message in last["messages"]]
    assert "one digit from 0 to 5 and nothing else" in texts[0] and "JSON" not in " ".join(texts)


@pytest.mark.parametrize(
    ("tokens", "reason"),
    [
        ({"The": 0.9, "4": 0.05}, "a mass of 0.05 as first token, expected 0.5 or more"),
        ({"1": 0.9, "2": 0.9}, "a mass of 1.8"),
        (None, "no probabilities in the reply"),
    ],
)
def test_a_mass_too_small_is_unparsed_and_never_a_score(tokens, reason):
    def plan(request):
        return Answer("4", first_token=SURE if "Say yes" in str(request) else tokens)

    with chat_double(plan=plan) as double:
        judge, rubrics = expected_judge(double)
        judge.ping()
        judgement = judge(rubrics.metrics[0], FIELDS)
    assert judgement.score is None and judgement.reason.startswith("unparsed") and reason in judgement.reason
    assert len(double.requests) == 3, "the same question is not asked again"


REFUSAL = b'{"error": {"message": "logprobs is not supported by this model"}}'


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (Answer("4"), "the judge tells none"),
        (Answer("4", first_token={"4": 0.9, "5": 0.1}), "the judge tells 2"),
        (Answer(status=400, body=REFUSAL), "logprobs is not supported"),
    ],
)
@pytest.mark.parametrize("name", ["openai:llama3.1", "llama3.1"])
def test_a_server_without_probabilities_is_refused_before_the_first_grade(tmp_path, name, answer, message):
    def plan(request):
        return answer if request.get("logprobs") else Answer("yes")

    with chat_double(plan=plan) as double:
        judge, _ = expected_judge(double, name)
        with pytest.raises(ChatError, match=message) as error:
            judge.ping()
        assert "--score sampled" in str(error.value)
        with pytest.raises(ChatError, match=message):
            graded(tmp_path, double, "--score", "expected", judge=name)
    assert not (tmp_path / "out" / "judgements.jsonl").exists()


def test_nothing_that_a_server_sends_breaks_the_reading():
    for tokens in (None, [], "4", [3], [{}], [{"token": 4, "logprob": -1}], [{"token": "4", "logprob": float("nan")}]):
        assert first_token(tokens) is None
    odd = {"token": "4", "logprob": 3.0, "top_logprobs": [None, {"token": "5"}, {"token": "5", "logprob": -1e9}]}
    assert first_token([odd]) == (("5", 0.0), ("4", 1.0))


def test_a_written_score_and_an_expected_one_are_asked_for_differently():
    turns = [Message("Rules.", role="system"), Message("?")]
    request = SampledScore(temperature=0.5, max_tokens=9).request(turns, OWN.schema, seed=3)
    assert request == ChatRequest(turns, OWN.schema, 9, 0.5, 3)
    assert ExpectedScore().request(turns, OWN.schema).schema is None
    assert "score_kind" not in SampledScore().settings, "grades of earlier versions count on"


def test_the_default_rubrics_are_those_of_earlier_versions():
    assert (OWN.digest, load_rubrics(scores="decimal").digest) == ("effb46c4dbb1c9ef", "2ad1f880529bf4fc")


def test_other_rubrics_are_asked_for_the_digit_too(tmp_path):
    metrics = {"detail": {"prompt": "{A} {pred} Write a dictionary."}, "context": {"prompt": "{answer} {A} {pred}"}}
    file = tmp_path / "r.json"
    file.write_text(json.dumps({"metrics": metrics, "schema": {"type": "object"}, "scales": {}}))
    rubrics = load_rubrics(file, scores="digit")
    request = "Answer with one digit from 0 to 5 and nothing else."
    prompts = {rubric.metric: rubric.prompt for rubric in rubrics.metrics}
    assert prompts["detail"] == f"{{A}} {{pred}} Write a dictionary.\n{request}"
    assert prompts["context"] == f"{request} {{A}} {{pred}}" and rubrics.schema is None
    file.write_text(json.dumps({"metrics": metrics, "scales": {"integer": {"words": "x", "schema": None}}}))
    with pytest.raises(ValueError, match="nothing is known to stand for {answer}"):
        load_rubrics(file)


def test_tokens_with_and_without_white_space_are_one_digit():
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens([" 4", "4\n", "44", "\u0664"])
    logits = torch.randn(len(tokenizer))
    tokens = candidate_probabilities(logits, tokenizer, ("4", "5"))
    ids = {text: tokenizer.convert_tokens_to_ids(text) for text in ("4", " 4", "4\n", "5")}
    expected = logits.softmax(-1)
    assert dict(tokens) == pytest.approx({text: float(expected[token]) for text, token in ids.items()})
    total = sum(float(expected[ids[text]]) for text in ("4", " 4", "4\n"))
    assert Reply("", 0, 0, 0.0, first_token=tokens).probability("4") == pytest.approx(total)


def test_a_model_in_this_process_gives_the_probabilities_of_its_logits(tmp_path):
    chat = HfChat(str(tiny_llm(tmp_path)))
    request = ExpectedScore().request([Message("Be brief.", role="system"), Message("What?")], None)
    reply = chat.chat(request)
    ids = chat._prompt(request.messages)["input_ids"]
    logits = chat._llm.model(input_ids=ids).logits[0, -1].float()
    digit = chat._llm.tokenizer.convert_tokens_to_ids("3")
    assert reply.probability("3") == pytest.approx(float(logits.softmax(-1)[digit]), rel=1e-3)
    assert reply.completion_tokens == 1 and chat.chat(ChatRequest(request.messages, max_tokens=1)).first_token is None


def predictions(tmp_path):
    path = tmp_path / "p.json"
    texts = {"Q1": "one?", "Q2": "two?", "pred1": "He sits.", "pred2": "He stands."}
    path.write_text(json.dumps([{"video_name": f"v{n}", **FIELDS, **texts} for n in range(3)]))
    return path


def graded(tmp_path, double, *words, judge="openai:llama3.1", out="out"):
    url = double.url if ":" not in judge else f"{double.url}/v1"
    flags = ["--predictions", str(predictions(tmp_path)), "--judge", judge, "--base_url", url]
    return score.main([*flags, "--out", str(tmp_path / out), "--no_reference_metrics", "--metrics", "detail", *words])


def plan_for_both(request):
    return Answer("4" if request.get("logprobs") else '{"score": 4}', first_token=SURE)


@pytest.mark.slow
def test_the_command_grades_resumes_and_tells_the_two_kinds_apart(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("ski_lvlm.recognition.intervals.DRAWS", 100)
    with chat_double(plan=plan_for_both) as double:
        assert graded(tmp_path, double, "--score", "expected", "--repeats", "2") == 0
        count = len(double.requests)
        assert graded(tmp_path, double, "--score", "expected", "--repeats", "2") == 0
        assert len(double.requests) == count, "all grades are on disk"
        assert graded(tmp_path, double, out="sampled") == 0
        assert graded(tmp_path, double, "--score", "expected", out="again") == 0
    printed = capsys.readouterr()
    assert "expected scores" in printed.out and "mass of the digits" in printed.out
    assert "an expectation has no chance in it" in printed.err
    table = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert table["metrics"]["detail"]["mean"] == pytest.approx(20 * EXPECTATION)
    assert table["score_kind"] == "expected" and table["decimals"] is None
    assert table["mass"]["least"] == pytest.approx(MASS)
    assert json.loads((tmp_path / "out" / "plan.json").read_text())["score_kind"] == "expected"
    records = read_jsonl(tmp_path / "out" / "judgements.jsonl")
    assert all(record["mass"] == pytest.approx(MASS) and record["score_kind"] == "expected" for record in records)
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Scores are expected ones" in page and "probabilities of 0 to 5" in page
    sampled = json.loads((tmp_path / "sampled" / "scores.json").read_text())
    assert sampled["score_kind"] == "sampled" and sampled["mass"] is None
    assert "expected ones" not in (tmp_path / "sampled" / "report.html").read_text()
    with pytest.raises(GradesError, match="score_kind 'expected' and 'sampled'"):
        compare_runs(tmp_path / "again", tmp_path / "sampled")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--temperature", "0.5"], "does not use --temperature"),
        (["--max-tokens=9", "--scores", "decimal"], "does not use --max_tokens, --scores"),
        (["--judge", "similarity"], "asks no questions"),
    ],
)
def test_flags_of_a_written_reply_are_refused(words, message, capsys):
    with pytest.raises(SystemExit):
        score.main(["--score", "expected", *words])
    assert message in capsys.readouterr().err
