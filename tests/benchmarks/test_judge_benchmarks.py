"""The benchmarks of judging measure what they say: both sides ask the same, and the hostile judge fails."""

import pytest

from benchmarks import hostile_judge
from benchmarks.judge import bare, made_up_records, made_up_tasks, take_turns
from eval.judges.grading import GradingSettings, grade_all
from eval.judges.judge import JudgeSettings
from eval.judges.llm_judge import LlmJudge
from eval.judges.open_judge import open_judge
from eval.judges.rubrics import OWN
from eval.metrics import METRICS
from ski_lvlm.servers.client import ChatClient
from ski_lvlm.storage.files import append_jsonl, write_json
from tests.cases.llm_server import Answer, chat_double


def test_made_up_items_serve_every_metric_and_none_is_like_another():
    tasks = made_up_tasks(60)
    assert [task.metric for task in tasks[:5]] == list(METRICS) and len(tasks) == 300
    assert len({tuple(sorted(record.items())) for record in made_up_records(60)}) == 60


@pytest.mark.slow
def test_both_sides_send_the_same_requests(tmp_path):
    import openai

    tasks = made_up_tasks(2)
    with chat_double(plan=lambda _: Answer('{"score": 4}'), models=("smollm2",)) as double:
        judge = open_judge("openai:smollm2", JudgeSettings(base_url=f"{double.url}/v1", max_tokens=16))
        judge.ping()
        double.requests.clear()
        grade_all(tasks, judge, GradingSettings(tmp_path / "judgements.jsonl", workers=1))
        judged = [request for request in double.requests if "Say yes." not in str(request["messages"])]
        double.requests.clear()
        client = openai.OpenAI(api_key="none", base_url=f"{double.url}/v1")
        bare(client, tasks, workers=1, max_tokens=16)
    assert judged == double.requests and len(judged) == 10


def test_the_sides_take_turns_in_beginning(capsys):
    order = []
    sides = {name: lambda turn, name=name: order.append((name, turn)) for name in ("a", "b")}
    assert take_turns(sides, [[1], [2]]).keys() == {"a", "b"}
    assert order == [("a", [1]), ("b", [1]), ("b", [2]), ("a", [2])] and "turn 2 of 2" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("way", hostile_judge.WAYS)
def test_every_way_to_fail_ends_unscored_with_a_reason(way):
    (task, *_) = made_up_tasks(1)
    with chat_double(plan=lambda _: hostile_judge.WAYS[way](), models=("hostile",)) as double:
        judge = LlmJudge(ChatClient("openai:hostile", base_url=f"{double.url}/v1", max_wait=0.02))
        judgement = judge(OWN.of(task.metric), task.fields)
    assert 1 <= len(double.requests) <= hostile_judge.SampledScore.asks * hostile_judge.ATTEMPTS
    if way == "a true grade as prose":
        assert judgement.score == 3 and judgement.reason is None
    else:
        assert judgement.score is None and judgement.reason


def test_counts_that_do_not_add_up_are_found(tmp_path):
    row = {"n_total": 2, "n_scored": 1, "histogram": [0, 0, 0, 1, 0, 0], "unscored": {"unparsed": 1}}
    write_json(tmp_path / "scores.json", {"metrics": {"detail": row}})
    grades = [{"id": k, "metric": "detail", "score": s, "reason": r} for k, s, r in (("a", 3, None), ("b", None, "no"))]
    append_jsonl(tmp_path / "judgements.jsonl", *grades)
    assert hostile_judge.check(tmp_path, items=2, code=1) == 1
    with pytest.raises(AssertionError):
        hostile_judge.check(tmp_path, items=2, code=0)
    append_jsonl(tmp_path / "judgements.jsonl", {**grades[0], "score": None, "reason": "no"})
    with pytest.raises(AssertionError, match="detail"):
        hostile_judge.check(tmp_path, items=2, code=1)
