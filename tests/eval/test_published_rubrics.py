"""Published prompts out of code: made-up files in the shape of Video-ChatGPT's, the words of which are not ours."""

import json
from pathlib import Path

import pytest

from eval import score
from eval.judges.llm_judge import LlmJudge
from eval.judges.published_rubrics import NAME
from eval.judges.rubrics import load_rubrics, messages
from eval.metrics import METRICS
from ski_lvlm.servers.client import ChatClient
from tests.cases.llm_server import Answer, chat_double

ABOUT = {
    "correctness": "factual accuracy",
    "detail": "detail orientation",
    "context": "contextual understanding",
    "temporal": "temporal understanding",
    "consistency": "consistency",
}
SOURCE = """
raise SystemExit("this file must not be run")
def annotate(rows):
    for row in rows:
        completion = ask(messages=[
            {{"role": "system", "content": "A robot for evaluating the {about} of films. "
                                           "Compare.\\n- Strictly."}},
            {{"role": "user", "content": "Look:\\n\\n"
                {texts}
                "Like this: {{{{''score': 4.8}}}}."}},
        ])
"""
GENERIC = '''f"Asked: {question}\\nTrue: {answer}\\nSaid: {pred}\\n"'''
PAIR = '''f"{question1} {question2}\\n" f"True: {answer}\\nSaid: {pred1}, {lvlm_pred2}\\n"'''
OTHER = """
messages = [{"role": "system", "content": "A robot for evaluating the correctness of films."},
            {"role": "user", "content": f"{question} {answer} {pred}"}]
extras = [{"role": "system"}, {"role": "user", "content": open("x").read()}, {**messages[0]}]
"""
FIELDS = {"Q": "what?", "A": "the truth", "pred": "a {A}"}


def source(metric):
    texts = PAIR if metric == "consistency" else GENERIC
    return SOURCE.format(about=ABOUT[metric], texts=texts).replace("{{", "{").replace("}}", "}")


@pytest.fixture
def clone(tmp_path):
    folder = tmp_path / "Video-ChatGPT" / "quantitative_evaluation"
    folder.mkdir(parents=True)
    for number, metric in enumerate(METRICS, start=1):
        (folder / f"evaluate_benchmark_{number}.py").write_text(source(metric))
    (folder / "evaluate_activitynet_qa.py").write_text(OTHER)
    return tmp_path / "Video-ChatGPT"


def test_the_prompts_of_a_clone_are_said_to_the_letter(clone):
    rubrics = load_rubrics(clone)
    assert tuple(rubric.metric for rubric in rubrics.metrics) == METRICS and rubrics.schema is None
    assert rubrics.digest == load_rubrics(clone / "quantitative_evaluation").digest
    system, user = messages(rubrics.metrics[0], FIELDS)
    assert system.text == "A robot for evaluating the factual accuracy of films. Compare.\n- Strictly."
    expected = "Look:\n\nAsked: what?\nTrue: the truth\nSaid: a {A}\nLike this: {''score': 4.8}."
    assert user.text == expected
    assert rubrics.metrics[4].fields == ("Q1", "Q2", "A", "pred1", "pred2")
    assert "a whole number from 0 to 5" in rubrics.again and "{scale}" not in rubrics.again


def test_one_file_may_hold_them_all(clone, tmp_path):
    file = tmp_path / "scoring.py"
    file.write_text("\n".join(map(source, METRICS)))
    assert load_rubrics(file).digest == load_rubrics(clone).digest


@pytest.mark.slow
@pytest.mark.parametrize(
    "reply", ["{'score': 4}", "{''score': 4}", '{"score": 4}', "{'score': 4.0}", "```python\n{'score': 4}\n```"]
)
def test_a_judge_grades_by_them_in_their_reply_format(clone, reply):
    with chat_double(plan=lambda _: Answer(reply)) as double:
        judge = LlmJudge(ChatClient("openai:llama3.1", base_url=f"{double.url}/v1"), load_rubrics(clone))
        assert judge(judge.rubrics.metrics[0], FIELDS).score == 4
        assert "response_format" not in double.requests[0]


@pytest.mark.slow
def test_score_grades_by_a_clone(clone, tmp_path):
    record = {"video_name": "v", "Q": "What?", "A": "It.", "pred": "That."}
    (tmp_path / "p.json").write_text(json.dumps([record]))
    with chat_double(plan=lambda _: Answer("{'score': 3}")) as double:
        words = ["--predictions", str(tmp_path / "p.json"), "--judge", "llama3.1", "--base_url", double.url]
        score.main([*words, "--rubrics", str(clone), "--no_reference_metrics", "--metrics", "detail"])
    table = json.loads((tmp_path / "scores" / "scores.json").read_text())
    assert table["metrics"]["detail"]["mean"] == 60 and table["rubrics"] == load_rubrics(clone).digest


def test_the_name_alone_says_where_they_stand(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"not shipped.*`git clone https://github.com/mbzuai-oryx/Video-ChatGPT`"):
        load_rubrics(Path(NAME))


def test_what_holds_no_prompts_or_several_is_refused(clone, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="found none of Video-ChatGPT's prompts"):
        load_rubrics(tmp_path / "empty")
    (tmp_path / "broken.py").write_text("def (")
    with pytest.raises(ValueError, match=r"broken.py is no Python file"):
        load_rubrics(tmp_path / "broken.py")
    other = clone / "quantitative_evaluation" / "evaluate_benchmark_9.py"
    other.write_text(source("detail").replace("Look", "See"))
    with pytest.raises(ValueError, match="a second, different prompt for detail"):
        load_rubrics(clone)
