"""Scoring end to end: what is counted, what is kept through a kill, what a broken judge or file gets."""

import json
import random
import sys
from collections import Counter
from pathlib import Path

import pytest

import eval.score as score
import eval.scoring.grade as grade_mode
from eval.items.predictions import NO_ANSWER, NO_REFERENCE, all_tasks, read_predictions, tasks_for
from eval.judges.grading import judgement_id
from eval.metrics import METRICS
from eval.pages.score_report import write_score_report
from eval.results.aggregate import round_half_up, summarise, too_many_unscored
from eval.results.graded_run import read_run
from eval.results.score_json import GradesError
from ski_lvlm.servers.client import ChatClient, ChatError
from ski_lvlm.storage.files import read_jsonl
from tests.cases.command_case import kill_at, run
from tests.cases.llm_server import Answer, chat_double

pytestmark = pytest.mark.slow


SCRIPT = Path(score.__file__)
QUICK = ["--no_reference_metrics"]


def record(number, **more):
    return {"video_name": f"v{number}", "Q": "what?", "A": f"He waves {number}.", "pred": f"He sits {number}.", **more}


def both(number, **more):
    return record(number, Q1="one?", Q2="two?", pred1=f"He sits {number}.", pred2=f"He stands {number}.", **more)


def predictions(tmp_path, records, name="predictions.json"):
    path = tmp_path / name
    path.write_text(json.dumps(records))
    return path


def grade(tmp_path, double, path, *more, judge="llama3.1"):
    return score.main(
        ["--predictions", str(path), "--judge", judge, "--base_url", double.url, "--out", str(tmp_path / "out"), *more]
        + QUICK
    )


def score_command(path, out, *, workers):
    return [sys.executable, str(SCRIPT), "--predictions", str(path), "--out", str(out), "--workers", str(workers)]


def table(tmp_path):
    return json.loads((tmp_path / "out" / "scores.json").read_text())


def digits(request):
    """The test double's grade for a record: the digit that its texts end in, 0 to 5."""
    text = request["messages"][1]["content"]
    return Answer(json.dumps({"score": int(text.split("He waves ")[1][0])}))


def test_mean_times_20_over_what_was_scored(tmp_path, capsys):
    path = predictions(tmp_path, [both(n) for n in range(6)])
    with chat_double(plan=digits) as double:
        assert grade(tmp_path, double, path) == 0
    found = table(tmp_path)
    assert [found["metrics"][m]["mean"] for m in METRICS] == [50.0] * 5  # (0+1+2+3+4+5)/6 * 20
    assert found["metrics"]["detail"]["histogram"] == [1] * 6
    assert (found["average"], found["judge"], found["digest"], found["quantisation"]) == (
        50.0,
        "ollama:llama3.1",
        "d1" * 32,
        "Q4_0",
    )
    assert "43.5" not in capsys.readouterr().out, "the paper's numbers are not ours"


def test_a_metric_without_its_fields_is_not_run(tmp_path, capsys):
    with chat_double(plan=digits) as double:
        assert grade(tmp_path, double, predictions(tmp_path, [record(n) for n in (2, 4)])) == 0
    found = table(tmp_path)
    assert found["metrics"]["consistency"] == {"status": "not run", "reason": "no record has pred1, pred2"}
    assert found["average"] is None and found["average_of_run"] == 60.0 and found["metrics_run"] == 4
    assert "not run" in capsys.readouterr().out


def test_the_server_stands_in_the_table_where_it_tells_judges_apart(tmp_path):
    path = predictions(tmp_path, [record(1)])
    with chat_double(plan=lambda _: Answer('{"score": 3}')) as double:
        assert grade(tmp_path, double, path) == 0 and table(tmp_path)["server"] is None
        double.url += "/v1"
        assert grade(tmp_path, double, path, judge="openai:llama3.1") == 0
        assert double.url in table(tmp_path)["server"]
    assert read_run(tmp_path / "out").judge["server"] == table(tmp_path)["server"]


def test_consistency_really_asks_both_wordings(tmp_path):
    with chat_double(plan=digits) as double:
        grade(tmp_path, double, predictions(tmp_path, [both(1)]))
    texts = [r["messages"][1]["content"] for r in double.requests]
    assert len(texts) == 5
    (consistency,) = [text for text in texts if "<second_question>" in text]
    assert "one?" in consistency and "two?" in consistency and "He stands 1." in consistency


def test_an_unreadable_reply_is_unscored_and_counted_never_0(tmp_path, capsys):
    def plan(request):
        return Answer("no idea") if "He waves 5" in request["messages"][1]["content"] else digits(request)

    path = predictions(tmp_path, [record(n) for n in (3, 4, 5)])
    with chat_double(plan=plan) as double:
        assert grade(tmp_path, double, path) == 1
        metric = table(tmp_path)["metrics"]["correctness"]
        assert (metric["mean"], metric["n_scored"], metric["n_total"]) == (70.0, 2, 3)
        assert metric["mean_unscored_as_0"] == pytest.approx(140 / 3)
        assert sum(metric["unscored"].values()) == 1
        assert "1 %" in capsys.readouterr().err
        double.plan = digits
        double.requests.clear()
        assert grade(tmp_path, double, path) == 1 and double.requests == [], "the same reply would come"
        assert grade(tmp_path, double, path, "--again") == 0, "unscored ones are asked again, and only those"
    assert table(tmp_path)["metrics"]["correctness"]["mean"] == 80.0
    assert Counter(r["score"] is None for r in read_jsonl(tmp_path / "out" / "judgements.jsonl")) == {
        False: 12,
        True: 4,
    }


def test_missing_predictions_are_unscored_not_left_out(tmp_path):
    incomplete = {k: v for k, v in record(4).items() if k != "pred"}
    with chat_double(plan=digits) as double:
        assert grade(tmp_path, double, predictions(tmp_path, [record(2), incomplete])) == 1
    metric = table(tmp_path)["metrics"]["detail"]
    assert (metric["mean"], metric["n_scored"], metric["n_total"]) == (40.0, 1, 2)
    assert metric["unscored"] == {"no answer of the model in the predictions": 1}


def test_records_that_lack_a_question_are_unscored_and_those_of_other_kinds_are_none_of_it(tmp_path, capsys):
    lacking = [{k: v for k, v in record(n).items() if k != "Q"} for n in range(2)]
    half = {k: v for k, v in both(4).items() if k not in ("Q", "pred", "Q2")}
    consistency = {k: v for k, v in both(5).items() if k not in ("Q", "pred")}
    records = [*lacking, record(2), record(3), half, consistency, {"video_name": "v", "A": "x"}]
    with chat_double(plan=digits) as double:
        assert grade(tmp_path, double, predictions(tmp_path, records)) == 1
    metrics = table(tmp_path)["metrics"]
    assert metrics["detail"]["unscored"] == {"no question (Q) in the predictions": 2}
    assert metrics["consistency"]["unscored"] == {"no question (Q2) in the predictions": 1}
    assert [metrics[m]["n_total"] for m in ("detail", "consistency")] == [4, 2]
    printed = " ".join(capsys.readouterr().out.split())
    assert "left out of all metrics: 1 records that have neither a question nor an answer" in printed
    assert "detail: 2 unscored: no question (Q) in the predictions" in printed


def test_questions_that_nobody_answered_are_said(tmp_path, capsys):
    with chat_double(plan=digits) as double:
        grade(tmp_path, double, predictions(tmp_path, [record(n, Q1="one?", Q2="two?") for n in range(3)]))
    reason = "no record has pred1, pred2, but 3 have Q1 or Q2: they are not answered yet"
    assert table(tmp_path)["metrics"]["consistency"] == {"status": "not run", "reason": reason}
    assert f"consistency: {reason}" in " ".join(capsys.readouterr().out.split())


def test_the_reason_is_the_same_on_the_terminal_the_page_and_in_the_aggregate(tmp_path, capsys):
    records = [record(0), {k: v for k, v in record(1).items() if k != "A"}]
    with chat_double(plan=digits) as double:
        grade(tmp_path, double, predictions(tmp_path, records))
    score.main(["--aggregate", str(tmp_path / "out")])
    for text in (capsys.readouterr().out, (tmp_path / "out" / "report.html").read_text()):
        assert NO_REFERENCE in text and NO_ANSWER not in text


def test_some_metrics_only(tmp_path):
    path = predictions(tmp_path, [record(n) for n in range(3)])
    with chat_double(plan=digits) as double:
        assert grade(tmp_path, double, path, "--metrics", "temporal", "detail") == 0
        assert len(double.requests) == 6
    metrics = table(tmp_path)["metrics"]
    assert [m for m in METRICS if metrics[m]["status"] == "run"] == ["detail", "temporal"]
    assert metrics["consistency"]["reason"] == metrics["context"]["reason"] == "not asked for (--metrics)"


def test_folders_that_are_none_are_said_before_any_work(tmp_path):
    path = predictions(tmp_path, [record(0)])
    command = ["--predictions", str(path), "--judge", "llama3.1", "--out"]
    with pytest.raises(NotADirectoryError, match=r"--out .*predictions\.json is a file"):
        score.main([*command, str(path)])
    with pytest.raises(NotADirectoryError, match="--videos .*none is no folder"):
        score.main([*command, str(tmp_path / "out"), "--videos", str(tmp_path / "none")])
    with pytest.raises(ValueError, match="is a folder; expected a file of predictions"):
        score.main(["--predictions", str(tmp_path), "--out", str(tmp_path / "out")])


def test_a_file_of_scores_given_as_predictions_gets_a_hint(tmp_path):
    path = predictions(tmp_path, {"v_0": [{"score": 4}, {"q": "?", "a": "x", "pred": "y"}]})
    with pytest.raises(ValueError, match="looks like a file of scores, .* see --aggregate"):
        read_predictions([path])


def test_a_second_run_asks_the_judge_nothing_not_even_whether_it_runs(tmp_path):
    path = predictions(tmp_path, [both(n) for n in range(4)])
    with chat_double(plan=digits) as double:
        grade(tmp_path, double, path)
        assert len(double.requests) == 20
    before = table(tmp_path)["metrics"]
    assert grade(tmp_path, double, path) == 0, "the judge is gone by now"
    assert table(tmp_path)["metrics"] == before


def test_changed_inputs_or_other_weights_are_judged_again(tmp_path):
    with chat_double(plan=digits) as double:
        grade(tmp_path, double, predictions(tmp_path, [record(1), record(2)]))
        double.requests.clear()
        grade(tmp_path, double, predictions(tmp_path, [record(1), {**record(2), "pred": "He runs 2."}]))
        assert len(double.requests) == 4
        for file in (tmp_path / "out").glob("*judgements.jsonl"):
            file.write_text(file.read_text().replace("d1" * 32, "d2" * 32))
        double.requests.clear()
        grade(tmp_path, double, predictions(tmp_path, [record(1), record(2), record(3)]))
        assert len(double.requests) == 12, "grades of other weights under the same name are not mixed in"


def test_a_judge_that_is_not_running_is_said_before_any_work(tmp_path):
    with chat_double() as double:
        pass
    with pytest.raises(ChatError, match=r"`ollama serve`.*`ollama pull llama3.1`"):
        grade(tmp_path, double, predictions(tmp_path, [record(1)]))
    assert not (tmp_path / "out" / "judgements.jsonl").exists()
    with chat_double(models=("mistral",)) as double, pytest.raises(ChatError, match="`ollama pull llama3.1`"):
        grade(tmp_path, double, predictions(tmp_path, [record(1)]))


def test_a_judge_that_loses_its_model_midway_keeps_what_it_gave(tmp_path):
    def plan(request):
        if len(double.requests) > 3:
            double.models = ()
        return digits(request)

    with chat_double(plan=plan) as double:
        path = predictions(tmp_path, [record(n % 6, Q=f"q{n}?") for n in range(20)])
        with pytest.raises(ChatError, match="run the same command again to resume"):
            grade(tmp_path, double, path, "--workers", "1")
        kept = len(read_jsonl(tmp_path / "out" / "judgements.jsonl"))
        assert 3 <= kept < 80
        double.plan, double.models = digits, ("llama3.1",)
        double.requests.clear()
        assert grade(tmp_path, double, path) == 0
        assert len(double.requests) == 80 - kept


def stopping_after(double, count):
    """A judge that loses its model after so many replies: what is on the disk then is what a kill leaves."""

    def plan(request):
        if len(double.requests) >= count:
            double.models = ()
        return digits(request)

    return plan


def test_a_stopped_run_is_no_result_until_the_same_command_has_ended(tmp_path, capsys):
    path, out = predictions(tmp_path, [record(n, Q=f"q{n}?") for n in range(6)]), tmp_path / "out"
    with chat_double() as double:
        double.plan = stopping_after(double, 5)
        with pytest.raises(ChatError, match="run the same command again to resume"):
            grade(tmp_path, double, path, "--workers", "1")
        assert not (out / "scores.json").exists()
        capsys.readouterr()
        assert score.main(["--aggregate", str(out)]) == 1
        printed = capsys.readouterr()
        assert (
            "is unfinished: 5 of 24 grades; run the same command again to resume" in printed.err
            and "not judged" in printed.out
        )
        for command in ("--compare", "--agreement"):
            with pytest.raises(GradesError, match="unfinished: 5 of 24"):
                score.main([command, str(out), str(out)])
        with pytest.raises(GradesError, match="unfinished: 5 of 24"):
            write_score_report(out, videos=None)
        double.plan, double.models = digits, ("llama3.1",)
        assert grade(tmp_path, double, path) == 0
    assert score.main(["--aggregate", str(out)]) == 0
    assert "unfinished" not in capsys.readouterr().err


def test_other_predictions_in_the_folder_of_a_finished_run_do_not_pass_for_it_when_stopped(tmp_path, capsys):
    old, out = predictions(tmp_path, [record(n) for n in range(6)], "old.json"), tmp_path / "out"
    other = predictions(tmp_path, [record(n, pred="He runs.") for n in range(6)], "other.json")
    with chat_double(plan=digits) as double:
        assert grade(tmp_path, double, old) == 0
        before = table(tmp_path)
        double.requests.clear()
        double.plan = stopping_after(double, 5)
        with pytest.raises(ChatError):
            grade(tmp_path, double, other, "--workers", "1")
    assert score.main(["--aggregate", str(out)]) == 1
    printed = capsys.readouterr()
    assert "unfinished: 5 of 24 grades" in printed.err and "no answer" not in printed.out
    assert not (out / "scores.json").exists() and json.loads((out / "earlier_scores.json").read_text()) == before
    assert grade(tmp_path, double, old) == 0, "the first command asks nobody"
    assert table(tmp_path) == before, "and neither its numbers nor its time have moved"


def test_failures_of_every_kind_add_up_and_end(tmp_path, monkeypatch):
    chance = random.Random(1)
    bad = [
        Answer(status=500),
        Answer(status=429, headers={"Retry-After": "9999"}),
        Answer(body=b'{"mes'),
        Answer(status=400, body=b"{}"),
        Answer("five"),
        Answer("score: 45"),
        Answer(body=b"{}"),
    ]
    path = predictions(tmp_path, [record(n % 6, Q=f"q{n}?") for n in range(25)])
    monkeypatch.setattr(ChatClient, "_pause", lambda *_: 0.0)
    with chat_double(plan=lambda r: digits(r) if chance.random() < 0.6 else chance.choice(bad)) as double:
        assert grade(tmp_path, double, path) == 1
    for metric in list(table(tmp_path)["metrics"].values())[:4]:
        assert metric["n_total"] == 25 == metric["n_scored"] + sum(metric["unscored"].values())
        assert 10 < metric["n_scored"] < 25
    assert len(double.requests) <= 100 * 3 * 4, "no call beyond the bounds"


def test_killed_from_outside_nothing_is_lost_and_nothing_judged_twice(tmp_path):
    path = predictions(tmp_path, [record(n % 6, Q=f"q{n}?") for n in range(40)])
    ledger = tmp_path / "out" / "judgements.jsonl"
    command = score_command(path, tmp_path / "out", workers=2)
    with chat_double(plan=digits) as double:
        command += ["--base_url", double.url, *QUICK]
        for kept in (20, 70):
            kill_at(command, ledger.name, 21 if kept == 20 else 51, folder=tmp_path)
            assert len(read_jsonl(ledger)) == kept
        assert run(command).returncode == 0
    ids = Counter(r["id"] for r in read_jsonl(ledger))
    assert len(ids) == 160 and set(ids.values()) == {1}
    assert len(double.requests) <= 160 + 2 * 2, "at most the records in flight are asked twice"
    assert table(tmp_path)["metrics"]["context"]["mean"] == pytest.approx(20 * sum(n % 6 for n in range(40)) / 40)


def test_a_full_disk_is_said_and_what_was_graded_is_kept(tmp_path):
    """A limit on the size of files stands for the full disk: writing fails in the same way, in the middle of a line."""
    path = predictions(tmp_path, [record(n % 6, Q=f"q{n}?") for n in range(6)])
    command = score_command(path, tmp_path / "out", workers=1)
    with chat_double(plan=digits) as double:
        command += ["--base_url", double.url, *QUICK]
        limited = ["bash", "-c", 'ulimit -f 20; exec "$@"', "bash", *command]  # 20 KiB
        full = run(limited)
        kept = len(read_jsonl(tmp_path / "out" / "judgements.jsonl"))
        assert full.returncode == 2 and 0 < kept < 24
        last = full.stderr.splitlines()[-1]
        assert last.startswith("error: cannot write") and "run the same command again to resume" in last
        assert run(command).returncode == 0
    assert len({r["id"] for r in read_jsonl(tmp_path / "out" / "judgements.jsonl")}) == 24


def test_a_real_llm_over_http_scores_every_metric(tmp_path, llm_url):
    path = predictions(tmp_path, [both(1)])
    arguments = ["--predictions", str(path), "--judge", "openai:smollm2", "--base_url", llm_url, *QUICK]
    assert score.main([*arguments, "--out", str(tmp_path / "out"), "--workers", "2"]) == 0
    assert all(m["n_scored"] == 1 for m in table(tmp_path)["metrics"].values())
    assert score.main([*arguments, "--ping"]) == 0


def test_similarity_ranks_good_above_bad_and_says_what_it_is_not(tmp_path, capsys):
    pytest.importorskip("ski_lvlm.encoders.text_encoder")
    truth = "A woman drinks water from a glass. Then she puts the glass on the table."
    means = {}
    for name, said in {"good": "A lady is drinking a glass of water.", "bad": "Two men shake hands."}.items():
        path = predictions(tmp_path, [{**both(0), "A": truth, "pred": said, "pred1": said, "pred2": said}])
        score.main(["--predictions", str(path), "--judge", "similarity", "--out", str(tmp_path / "out"), *QUICK])
        means[name] = {m: v.get("mean") for m, v in table(tmp_path)["metrics"].items()}
    for metric in ("correctness", "detail", "context", "consistency"):
        assert means["good"][metric] > means["bad"][metric] + 15
    found = table(tmp_path)
    assert found["metrics"]["temporal"]["status"] == "not run" and found["average"] is None
    assert "NOT comparable" in found["note"] and "NOT comparable" in " ".join(capsys.readouterr().out.split())


def test_without_predictions_the_quickstarts_are_taken_or_the_command_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(grade_mode, "QUICKSTART", tmp_path / "predictions.json")
    with pytest.raises(ValueError, match="bash scripts/quickstart.sh"):
        score.main(["--judge", "llama3.1"])
    predictions(tmp_path, [record(3)])
    with chat_double(plan=digits) as double:
        score.main(["--judge", "llama3.1", "--base_url", double.url, *QUICK])
    assert str(tmp_path / "predictions.json") in capsys.readouterr().err.replace("\n", "")
    assert (tmp_path / "scores" / "scores.json").exists()


def test_every_file_is_there_before_anything_is_printed(tmp_path, monkeypatch):
    """`score.py … | head` must not cost the table or the page of grades that were paid for."""

    def closed(_):
        raise BrokenPipeError

    monkeypatch.setattr(grade_mode, "show_scores", closed)
    path = predictions(tmp_path, [record(3)])
    with chat_double(plan=digits) as double, pytest.raises(BrokenPipeError):
        score.main(["--predictions", str(path), "--judge", "llama3.1", "--base_url", double.url, *QUICK])
    assert {"scores.json", "report.html"} <= {file.name for file in (tmp_path / "scores").iterdir()}


def test_ping(tmp_path, capsys):
    with chat_double() as double:
        assert score.main(["--ping", "--base-url", double.url]) == 0
    assert "llama3.1" in capsys.readouterr().out and double.requests == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[", "no JSON"),
        ("5", "list of records"),
        ("[]", "no record"),
        ("[1]", "expected an object"),
        ('[{"Q": "?"}]', "video_name"),
        ('[{"video_name": "v", "Q": "?", "A": "a", "pred": 3}]', "pred is 3"),
    ],
)
def test_files_that_are_no_predictions(tmp_path, content, said):
    path = tmp_path / "p.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=said):
        read_predictions([path])


def test_a_missing_file_names_the_command_that_makes_it(tmp_path):
    with pytest.raises(ValueError, match="eval/describe.py"):
        read_predictions([tmp_path / "none.json"])


def test_dicts_keyed_by_video_and_several_files(tmp_path):
    one = predictions(
        tmp_path, {"a": {"Q": "?", "A": "x", "pred": "y"}, "b": [{"Q": "?", "A": "x", "pred": "y"}] * 2}, "1"
    )
    tasks = tasks_for("correctness", read_predictions([one, predictions(tmp_path, [record(1)], "2")]))
    assert [task.key for task in tasks] == ["a_0", "b_0", "b_1", "v1_0"]


def test_llavidal_names_and_its_own_reference_for_consistency(tmp_path):
    llavidal = {"cons_Q1": "one?", "cons_Q2": "two?", "cons_A": "short", "pred1": "p", "pred2": "q"}
    tasks, not_run = all_tasks([record(1, **llavidal)])
    fields = {task.metric: task.fields for task in tasks}
    assert fields["consistency"] == {"Q1": "one?", "Q2": "two?", "A": "short", "pred1": "p", "pred2": "q"}
    assert fields["correctness"]["A"] == "He waves 1." and not_run == {}


def test_generic_and_consistency_records_in_one_file_do_not_mix():
    consistency = {"video_name": "v", "Q1": "one?", "Q2": "two?", "A": "x", "pred1": "p", "pred2": "q"}
    tasks, _ = all_tasks([record(1), consistency])
    assert Counter(task.metric for task in tasks) == dict.fromkeys(METRICS, 1)


def test_the_one_per_cent_limit():
    run = {"status": "run", "n_total": 1000, "n_scored": 990}
    assert not too_many_unscored([run, {"status": "not run"}])
    assert too_many_unscored([{**run, "n_scored": 989}])
    assert [round_half_up(s) for s in (0, 4.5, 5)] == [0, 5, 5]


def test_published_histogram_gives_the_published_number():
    """933/131/219/87/13/480 scores of 0 to 5 aggregate to 35.2."""
    records = [record(n, Q=f"{n}?") for n in range(1863)]
    correctness = tasks_for("correctness", records)
    scores = [s for s, count in enumerate((933, 131, 219, 87, 13, 480)) for _ in range(count)]
    graded = {judgement_id(task, "j"): {"score": s} for task, s in zip(correctness, scores, strict=True)}
    left_out = dict.fromkeys(METRICS, "left out")
    metric = summarise(correctness, left_out, graded, judge="j")["metrics"]["correctness"]
    assert round(metric["mean"], 1) == 35.2 and metric["histogram"] == [933, 131, 219, 87, 13, 480]
