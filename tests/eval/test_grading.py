"""How a run of the judge goes on: what is kept of each grade, repeats, limits, other runs in the same folder, kills."""

import json
import sys
import time
from collections import Counter

import pytest
import torch

import eval.score as score
import eval.scoring.grade as grade_mode
from benchmarks.judge import made_up_tasks
from eval.items.predictions import Task
from eval.judges.grade_file import GradeFile
from eval.judges.grading import GradingSettings, grade_all, judgement_id
from eval.judges.judge import Judgement, JudgeSettings
from eval.judges.open_judge import open_judge
from eval.judges.rubrics import OWN
from eval.judges.similarity_judge import SimilarityJudge
from ski_lvlm.servers.client import ModelInfo
from ski_lvlm.storage.files import append_jsonl, read_jsonl
from ski_lvlm.storage.shards import only_process
from tests.cases.llm_server import Answer, chat_double

QUICK = ["--no_reference_metrics"]


def records(number, **more):
    return [
        {"video_name": f"a_clip{n}", "Q": "what?", "A": f"He waves {n}.", "pred": f"He sits {n}.", **more}
        for n in range(number)
    ]


def write(tmp_path, content, name="predictions.json"):
    path = tmp_path / name
    path.write_text(json.dumps(content))
    return path


def grade(tmp_path, double, *more, number=2, judge="llama3.1", **fields):
    path = write(tmp_path, records(number, **fields))
    return score.main(
        ["--predictions", str(path), "--judge", judge, "--base_url", double.url, "--out", str(tmp_path / "out"), *QUICK]
        + [*more]
    )


def ledger(tmp_path):
    return read_jsonl(tmp_path / "out" / "judgements.jsonl")


def table(tmp_path):
    return json.loads((tmp_path / "out" / "scores.json").read_text())


def four(_):
    return Answer('{"score": 4}')


@pytest.mark.slow
def test_a_grade_is_kept_with_all_that_led_to_it(tmp_path):
    with chat_double() as double:
        double.plan = lambda _: Answer("Hm." if len(double.requests) == 1 else '{"score": 4}')
        grade(tmp_path, double, "--workers", "1", number=1)
    kept = next(record for record in ledger(tmp_path) if len(record["replies"]) == 2)
    assert {
        "video_name": "a_clip0",
        "key": "a_clip0_0",
        "repeat": 0,
        "score": 4.0,
        "reason": None,
    }.items() <= kept.items()
    assert kept["fields"] == {"Q": "what?", "A": "He waves 0.", "pred": "He sits 0."}
    assert [role for role, _ in kept["prompt"]] == ["system", "user"] and "He sits 0." in kept["prompt"][1][1]
    assert (kept["replies"], kept["reply"]) == (["Hm.", '{"score": 4}'], '{"score": 4}')
    assert (kept["judge"], kept["digest"], kept["quantisation"]) == ("ollama:llama3.1", "d1" * 32, "Q4_0")
    assert kept["rubrics"] == OWN.digest and kept["seconds"] >= 0 and kept["time"].endswith("Z")
    assert len({record["id"] for record in ledger(tmp_path)}) == 4
    assert "He sits 0." in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.slow
def test_grades_of_two_servers_are_not_taken_for_those_of_one(tmp_path):
    judged = {"number": 1, "judge": "openai:llama3.1"}
    with chat_double(plan=four) as first, chat_double(plan=four) as second:
        for double in (first, second):
            double.url += "/v1"
            assert grade(tmp_path, double, **judged) == 0
            assert len(double.requests) == 1 + 4, "a ping and four grades"
        assert {record["server"] for record in ledger(tmp_path)} == {second.url} == {table(tmp_path)["server"]}
        first.requests.clear()
        first.url += "/"  # another spelling of the same address
        grade(tmp_path, first, **judged)
        assert first.requests == [], "the first server's grades come back"


@pytest.mark.slow
def test_an_ollama_server_may_move_since_its_digests_tell_the_weights(tmp_path):
    with chat_double(plan=four) as first, chat_double(plan=four) as second:
        for double in (first, second):
            grade(tmp_path, double, number=1)
    assert second.requests == [] and "server" not in ledger(tmp_path)[0]


@pytest.mark.slow
def test_what_a_reply_says_of_its_model_is_kept(tmp_path):
    body = {"id": "1", "object": "chat.completion", "created": 0, "model": "qwen3-8b", "system_fingerprint": "fp_1"}
    choice = {"index": 0, "message": {"role": "assistant", "content": '{"score": 4}'}, "finish_reason": "stop"}
    with chat_double(plan=lambda _: Answer(body=json.dumps({**body, "choices": [choice]}).encode())) as double:
        double.url += "/v1"
        grade(tmp_path, double, number=1, judge="openai:llama3.1")
    kept = ledger(tmp_path)[0]
    assert (kept["model"], kept["system_fingerprint"], kept["cut"]) == ("qwen3-8b", "fp_1", False)


@pytest.mark.slow
def test_a_judge_that_takes_no_temperature_is_told_as_such(tmp_path, caplog):
    said = b'{"error": {"message": "Unsupported value: \'temperature\' does not support 0 with this model."}}'
    plan = lambda request: Answer(status=400, body=said) if "temperature" in request else four(request)  # noqa: E731
    with chat_double(plan=plan) as double:
        double.url += "/v1"
        assert grade(tmp_path, double, number=1, judge="openai:llama3.1") == 0
    assert all(record["not_told"] == ["temperature"] for record in ledger(tmp_path))
    assert sum("replies may differ" in record.getMessage() for record in caplog.records) == 1


def test_similarity_records_what_it_compared_and_no_prompt(tmp_path):
    def encode(texts):
        return torch.ones(len(texts), 2)

    encode.digest = "d"
    judge, texts = SimilarityJudge(encode), {"Q": "?", "A": "He waves.", "pred": "x"}
    grade_all([Task("detail", "v_0", texts)], judge, GradingSettings(tmp_path / "judgements.jsonl", workers=1))
    (kept,) = read_jsonl(tmp_path / "judgements.jsonl")
    assert (kept["prompt"], kept["fields"], kept["score"]) == ([], texts, pytest.approx(5))
    assert kept["rubrics"] == judge.rubrics.digest != OWN.digest and "model" not in kept


@pytest.mark.slow
def test_repeats_have_seeds_and_ids_of_their_own(tmp_path):
    with chat_double(plan=four) as double:
        assert grade(tmp_path, double, "--repeats", "3", "--seed", "7", "--temperature", "0.5") == 0
        options = [request["options"] for request in double.requests]
        assert Counter(o["seed"] for o in options) == {7: 8, 8: 8, 9: 8} and {o["temperature"] for o in options} == {
            0.5
        }
        assert Counter(record["repeat"] for record in ledger(tmp_path)) == {0: 8, 1: 8, 2: 8}
        assert len({record["id"] for record in ledger(tmp_path)}) == 24
        double.requests.clear()
        grade(tmp_path, double, "--repeats", "4", "--seed", "7", "--temperature", "0.5")
        assert {request["options"]["seed"] for request in double.requests} == {10}, "the first three are there"
    assert (table(tmp_path)["seed"], table(tmp_path)["temperature"]) == (7, 0.5)


@pytest.mark.slow
def test_the_scale_and_other_rubrics_reach_the_judge_and_the_results(tmp_path):
    hashes = []
    rubrics = write(tmp_path, {"metrics": {"detail": {"prompt": "How full is {pred}, given {A}?"}}}, "r.json")
    with chat_double(plan=lambda _: Answer('{"score": 3.5}')) as double:
        for flags in ([], ["--scores", "decimal"], ["--rubrics", str(rubrics)]):
            double.requests.clear()
            assert grade(tmp_path, double, *flags) == 0
            hashes.append(table(tmp_path)["rubrics"])
            assert {record["rubrics"] for record in ledger(tmp_path)} == {hashes[-1]}
            assert table(tmp_path)["metrics"]["detail"]["mean"] == 70.0, "a decimal is never cut"
            kind = double.requests[0]["format"]["properties"]["score"]["type"]
            assert (kind, table(tmp_path)["decimals"]) == (
                ("number", None) if "decimal" in flags else ("integer", len(double.requests))
            )
    assert len(set(hashes)) == 3 and len(double.requests) == 2
    assert double.requests[0]["messages"][0]["content"].startswith("How full is He sits ")
    assert table(tmp_path)["metrics"]["context"] == {"status": "not run", "reason": "the rubrics do not ask for it"}


@pytest.mark.slow
def test_nothing_scored_is_no_success(tmp_path, capsys):
    rubrics = write(tmp_path, {"metrics": {"consistency": {"prompt": "{pred1} {pred2}"}}}, "r.json")
    with chat_double(plan=four) as double:
        assert grade(tmp_path, double, "--rubrics", str(rubrics)) == 1
    assert double.requests == [] and "no item was scored" in capsys.readouterr().err


@pytest.mark.slow
def test_grades_of_other_runs_are_put_aside_and_come_back(tmp_path):
    with chat_double(plan=four) as double:
        grade(tmp_path, double)
        first = {record["id"] for record in ledger(tmp_path)}
        grade(tmp_path, double, pred="He runs.")
        assert not first & {record["id"] for record in ledger(tmp_path)}, "only this run's grades stand in the file"
        double.requests.clear()
        grade(tmp_path, double)
        assert double.requests == [] and {record["id"] for record in ledger(tmp_path)} == first
        grade(tmp_path, double, pred="He runs.")
        assert double.requests == []
    aside = read_jsonl(tmp_path / "out" / "earlier_judgements.jsonl")
    assert Counter(record["id"] for record in aside).most_common(1)[0][1] == 1, "each is put aside once"


def test_the_last_grade_counts_and_what_is_no_grade_is_left_out(tmp_path):
    path = tmp_path / "judgements.jsonl"
    grades = [("a", 3), ("b", None), ("b", 2), ("c", 4), ("c", None), ("d", "4")]
    append_jsonl(path, *({"id": key, "score": score} for key, score in grades))
    path.write_text(path.read_text() + '{"score": 3}\n{"id": "a", "sco')
    assert {key: r["score"] for key, r in GradeFile(path, set("abcd")).settled().items()} == {"a": 3, "b": 2}
    assert [record.get("id") for record in read_jsonl(path)] == list("abbccd")


@pytest.mark.parametrize("score", [float("nan"), 7, -1, True, "4"])
def test_what_is_no_score_is_graded_again(tmp_path, score):
    path = tmp_path / "judgements.jsonl"
    append_jsonl(path, {"id": "a", "score": score}, {"id": "b", "score": 5})
    assert set(GradeFile(path, {"a", "b"}).settled()) == {"b"}


def test_a_line_whose_id_is_no_text_is_put_aside(tmp_path):
    path = tmp_path / "judgements.jsonl"
    append_jsonl(path, {"id": ["x"], "score": 3}, {"id": "a", "score": 4})
    assert set(GradeFile(path, {"a"}).settled()) == {"a"}
    assert [record["id"] for record in read_jsonl(path)] == ["a"]
    assert read_jsonl(tmp_path / "earlier_judgements.jsonl") == [{"id": ["x"], "score": 3}]


@pytest.mark.parametrize(
    ("more", "asked"),
    [
        ({}, False),
        ({"reason": "failed: Busy: 500"}, True),
        ({"temperature": 0.5}, True),
        ({"not_told": ["temperature"]}, True),
        ({"score": 7}, True),
    ],
)
def test_an_unread_reply_at_temperature_0_is_asked_for_again_on_request_alone(tmp_path, more, asked):
    path = tmp_path / "judgements.jsonl"
    unread = {"id": "a", "score": None, "reason": "unparsed: no score", "temperature": 0.0}
    append_jsonl(path, {**unread, **more})
    file = GradeFile(path, {"a"})
    assert (set(file.settled(again=False)) == set()) == asked and file.settled(again=True) == {}


@pytest.mark.slow
def test_a_second_run_does_not_ask_again_what_could_not_be_read(tmp_path):
    tasks, file = made_up_tasks(1), tmp_path / "judgements.jsonl"
    with chat_double(plan=lambda _: Answer("Lovely!")) as double:
        judge = open_judge("llama3.1", JudgeSettings(base_url=double.url))
        first = grade_all(tasks, judge, GradingSettings(file, workers=1))
        double.requests.clear()
        second = grade_all(tasks, judge, GradingSettings(file, workers=1, again=False))
        assert double.requests == [] and second == first and len(first) == 5
        grade_all(tasks, judge, GradingSettings(file, workers=1, again=True))
        assert len(double.requests) == 5 * 3


def test_grades_of_a_run_differ_by_judge_item_text_and_repeat():
    task = Task("detail", "v_0", {"A": "x"})
    others = [Task("context", "v_0", {"A": "x"}), Task("detail", "v_1", {"A": "x"}), Task("detail", "v_0", {"A": "y"})]
    ids = {judgement_id(t, "j") for t in (task, *others)} | {judgement_id(task, "k"), judgement_id(task, "j", 1)}
    assert len(ids) == 6 and judgement_id(task, "j") == judgement_id(task, "j", 0)


@pytest.mark.slow
def test_the_metrics_without_a_judge_stand_beside_its_own(tmp_path, monkeypatch, capsys):
    seen = []
    found = {"BLEU-4": {"value": 0.25, "interval": [0.2, 0.3], "n": 2}, "METEOR": {"value": None, "reason": "no data"}}
    monkeypatch.setattr(grade_mode, "reference_metrics", lambda records: seen.extend(records) or found)
    monkeypatch.setattr(sys.modules[__name__], "QUICK", [])
    with chat_double(plan=four) as double:
        grade(tmp_path, double, "--repeats", "2")
    assert [record["pred"] for record in seen] == ["He sits 0.", "He sits 1."]
    assert table(tmp_path)["reference_metrics"] == found and table(tmp_path)["metrics"]["detail"]["repeats"] == 2
    shown = " ".join(capsys.readouterr().out.split())
    assert "BLEU-4, without a judge: 0.250 (0.2 to 0.3), 2 captions" in shown and "no data" in shown
    assert "80.0 ± 0.0" in shown


@pytest.mark.slow
def test_finished_grades_are_compared_and_added_up(tmp_path, capsys):
    with chat_double(plan=four) as double:
        grade(tmp_path, double, "--repeats", "2")
        out = str(tmp_path / "out")
        asked = len(double.requests)
        assert score.main(["--compare", out, out]) == 0 and "+0.0" in capsys.readouterr().out
        assert score.main(["--agreement", out, out]) == 0
        assert score.main(["--aggregate", f"{out}/judgements.jsonl", "--out", out]) == 0
    assert "80.0" in capsys.readouterr().out and len(double.requests) == asked


@pytest.mark.slow
def test_grades_of_two_versions_of_a_judge_do_not_stand_side_by_side(tmp_path):
    with chat_double(plan=four) as double:
        grade(tmp_path, double, number=3)
        lines = ledger(tmp_path)
        lines[0]["digest"] = "of another version"
        file = tmp_path / "out" / "judgements.jsonl"
        file.write_text("".join(json.dumps(line) + "\n" for line in lines))
        double.requests.clear()
        assert grade(tmp_path, double, number=3) == 0
        assert len(double.requests) == 1
    assert table(tmp_path)["digest"]


@pytest.mark.slow
def test_a_metric_that_cannot_be_computed_costs_no_grade(tmp_path, monkeypatch):
    monkeypatch.setattr(grade_mode, "reference_metrics", lambda records: 1 / 0)
    path = write(tmp_path, records(2))
    with chat_double(plan=four) as double, pytest.raises(ZeroDivisionError):
        score.main(["--predictions", str(path), "--base_url", double.url, "--out", str(tmp_path / "out")])
    assert table(tmp_path)["metrics"]["correctness"]["mean"] == 80


def test_two_processes_do_not_work_in_one_folder(tmp_path):
    with chat_double(plan=four) as double, only_process(tmp_path / "out"), pytest.raises(ValueError, match="pid"):
        grade(tmp_path, double)
    assert double.requests == []


@pytest.mark.slow
def test_questions_come_no_faster_than_allowed(tmp_path):
    with chat_double(plan=four) as double:
        started = time.monotonic()
        grade(tmp_path, double, "--requests_per_minute", "600", number=3)
        assert time.monotonic() - started > 0.1, "10 at once, the other 2 a tenth of a second later each"
    assert len(double.requests) == 12


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--repeats", "0"], "--repeats 0: expected 1 or more"),
        (["--workers", "0"], "--workers 0"),
        (["--temperature", "-1"], "--temperature -1.0: expected 0 or more"),
        (["--temperature", "nan"], "--temperature nan: expected 0 or more"),
        (["--temperature", "inf"], "--temperature inf"),
        (["--timeout", "nan"], "--timeout nan"),
        (["--scores", "half"], "invalid choice: 'half'"),
        (["--ping", "--aggregate", "x"], "not allowed with"),
    ],
)
def test_flags_that_make_no_sense(flags, said, capsys):
    with pytest.raises(SystemExit) as caught:
        score.main(flags)
    assert caught.value.code == 2 and said in capsys.readouterr().err


class Replaced:
    """A judge whose weights are replaced by others while it grades."""

    name, rubrics, settings = "replaced", OWN, {}

    def __init__(self, *digests):
        self.digests = list(digests)

    def ping(self):
        return ModelInfo("replaced", self.digests.pop(0))

    def __call__(self, rubric, fields, *, seed=0):
        return Judgement(3.0, ("3",))


def test_grades_of_weights_that_changed_on_the_way_are_taken_back_and_asked_for_again(tmp_path):
    file = tmp_path / "judgements.jsonl"
    tasks = [Task("detail", f"v_{n}", {"Q": "?", "A": f"He waves {n}.", "pred": "x"}) for n in range(3)]
    first = grade_all(tasks, Replaced("old", "new"), GradingSettings(file, workers=2))
    assert {grade["score"] for grade in first.values()} == {None}
    assert all("weights changed, old to new" in grade["reason"] for grade in first.values())
    again = grade_all(tasks, Replaced("new", "new"), GradingSettings(file, workers=2))
    assert {(grade["score"], grade["digest"]) for grade in again.values()} == {(3.0, "new")}
    grade_all(tasks, Replaced(), GradingSettings(file, workers=2))  # asks nobody, not even for weights
    assert len(read_jsonl(file)) == 9
