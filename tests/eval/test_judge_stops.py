"""How a run of the judge ends early: by Ctrl-C, by kills, by a judge that is gone, refuses or fails: what is kept."""

import itertools
import logging
import re
import threading
import time

import pytest

from benchmarks import judge_kills
from benchmarks.judge import made_up_tasks
from eval.items.predictions import Task
from eval.judges.grading import GradingSettings, grade_all
from eval.judges.judge import Judgement, JudgeSettings
from eval.judges.llm_judge import LlmJudge
from eval.judges.open_judge import open_judge
from eval.judges.rubrics import OWN
from ski_lvlm.servers.client import ChatClient, ChatError, ModelInfo, ModelMissing
from ski_lvlm.storage.files import read_jsonl
from tests.cases.command_case import HANG
from tests.cases.llm_server import Answer, chat_double


def four(_):
    return Answer('{"score": 4}')


def interrupt(count):
    if count:
        raise KeyboardInterrupt


@pytest.fixture
def stopping():
    """An event that is set when the run says that it stops."""
    event, logger, listener = threading.Event(), logging.getLogger("eval.judges.grading"), logging.Handler()
    listener.emit = lambda record: event.set() if "stopping" in record.getMessage() else None
    logger.addHandler(listener)
    yield event
    logger.removeHandler(listener)


def in_turn(number_and_request):
    """A plan that knows which request it is, from 1."""
    numbers = itertools.count(1)
    return lambda request: number_and_request(next(numbers), request)


def first_after_third(later):
    """A plan that answers the first request once the third is there, so that three workers are at work."""
    third = threading.Event()

    def plan(number, _):
        if number == 3:
            third.set()
        return Answer('{"score": 4}', after=third) if number == 1 else later

    return in_turn(plan)


def test_at_ctrl_c_it_says_what_it_waits_for_keeps_that_and_asks_nothing_more(tmp_path, caplog, stopping):
    file = tmp_path / "judgements.jsonl"
    with chat_double(plan=first_after_third(Answer('{"score": 4}', after=stopping))) as double:
        judge = open_judge("llama3.1", JudgeSettings(base_url=double.url))
        with pytest.raises(KeyboardInterrupt):
            grade_all(made_up_tasks(8), judge, GradingSettings(file, workers=3), advance=interrupt)
        assert len(read_jsonl(file)) == len(double.requests) <= 4, "what was under way is kept"
    (told,) = [record.getMessage() for record in caplog.records if "stopping" in record.getMessage()]
    assert re.search("waiting for [23] answers", told)


def test_at_ctrl_c_nobody_waits_for_another_attempt(tmp_path):
    busy = Answer(status=503, headers={"Retry-After": "60"})
    with chat_double(plan=first_after_third(busy)) as double:
        started, judge = time.monotonic(), open_judge("llama3.1", JudgeSettings(base_url=double.url))
        with pytest.raises(KeyboardInterrupt):
            grade_all(made_up_tasks(8), judge, GradingSettings(tmp_path / "j.jsonl", workers=3), advance=interrupt)
        assert time.monotonic() - started < 60 and len(double.requests) <= 4
    assert [record["score"] for record in read_jsonl(tmp_path / "j.jsonl")] == [4.0], "no failure is made up"


@pytest.mark.slow
def test_a_judge_that_only_fails_stops_the_run_which_then_goes_on(tmp_path, stopping):
    tasks, file = made_up_tasks(8), tmp_path / "judgements.jsonl"
    with chat_double() as double:
        client = ChatClient("llama3.1", base_url=double.url, attempts=1)
        failure, last = Answer(status=500, body=b"no memory"), Answer(status=500, after=stopping)
        double.plan = in_turn(lambda n, _: four(_) if n <= 5 else failure if n <= 25 else last)
        with pytest.raises(ChatError, match=r"(?s)20 grades in a row failed.*no memory.*5 of 40 grades are saved"):
            grade_all(tasks, LlmJudge(client), GradingSettings(file, workers=2))
        assert 25 <= len(double.requests) <= 5 + 20 + 2, "two may be under way"
        double.plan = four
        double.requests.clear()
        grade_all(tasks, open_judge("llama3.1", JudgeSettings(base_url=double.url)), GradingSettings(file, workers=2))
        assert len(double.requests) == 35


@pytest.mark.slow
@pytest.mark.parametrize("answer", [Answer("Lovely!"), Answer(status=400, body=b'{"error": "too long"}')])
def test_replies_without_a_score_and_refused_questions_stop_nothing(tmp_path, answer):
    with chat_double(plan=lambda _: answer) as double:
        judge = open_judge("llama3.1", JudgeSettings(base_url=double.url))
        found = grade_all(made_up_tasks(5), judge, GradingSettings(tmp_path / "j.jsonl", workers=2))
    assert len(found) == 25 and all(record["score"] is None for record in found.values())


@pytest.mark.slow
def test_a_judge_that_refuses_everybody_stops_the_run(tmp_path, stopping):
    with chat_double() as double:
        refusal, last = Answer(status=401), Answer(status=401, after=stopping)
        double.plan = in_turn(lambda n, _: four(_) if n < 5 else refusal if n <= 4 + 20 + 1 else last)
        judge = open_judge("openai:llama3.1", JudgeSettings(base_url=f"{double.url}/v1"))
        with pytest.raises(ChatError, match="the key or the permission is wrong"):
            grade_all(made_up_tasks(8), judge, GradingSettings(tmp_path / "j.jsonl", workers=1))
        assert len(double.requests) <= 4 + 20 + 2


class OneFails:
    """A judge that loses its model at the first item, while it is at three others."""

    name, rubrics, settings = "fake", OWN, {}

    def __init__(self):
        self.given, self.at_work, self.stopped = 0, threading.Barrier(4, timeout=HANG), threading.Event()

    def ping(self):
        return ModelInfo("fake", "d")

    def not_measured(self, metric):
        return None

    def stop(self):
        self.stopped.set()

    def __call__(self, rubric, fields, *, seed=0):
        if fields["A"] in [f"He waves {n}." for n in range(4)]:  # a fifth may begin before the stop is known
            self.at_work.wait()
        if fields["A"] == "He waves 0.":
            raise ModelMissing("gone")
        self.stopped.wait(HANG)
        self.given += 1
        return Judgement(3.0, ("3",))


def test_grades_that_are_under_way_when_the_judge_stops_are_kept(tmp_path):
    judge, file = OneFails(), tmp_path / "judgements.jsonl"
    tasks = [Task("detail", f"v_{n}", {"Q": "?", "A": f"He waves {n}.", "pred": "x"}) for n in range(40)]
    with pytest.raises(ChatError, match="of 40 grades are saved") as caught:
        grade_all(tasks, judge, GradingSettings(file, workers=4))
    assert judge.given == len(read_jsonl(file)) in (3, 4) and f"{judge.given} of 40" in str(caught.value)


class BrokenPipe(OneFails):
    """A judge that fails with an error of the operating system."""

    def __call__(self, rubric, fields, *, seed=0):
        raise OSError("the judge's own trouble")


def test_a_judges_own_error_is_not_told_as_one_of_the_file(tmp_path):
    tasks = [Task("detail", "v_0", {"Q": "?", "A": "He waves.", "pred": "x"})]
    with pytest.raises(OSError, match="^the judge's own trouble$"):
        grade_all(tasks, BrokenPipe(), GradingSettings(tmp_path / "judgements.jsonl", workers=1))


@pytest.mark.slow
def test_killed_at_random_moments_it_asks_nothing_twice_and_ends_as_if_it_had_not_been(tmp_path, capsys):
    assert judge_kills.main(["--items", "24", "--kills", "2", "--seed", "1", "--out", str(tmp_path / "kills")]) == 0
    assert "no grade on disk was requested again" in capsys.readouterr().out
