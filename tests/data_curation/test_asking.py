from types import SimpleNamespace

import pytest

from data_curation.asking.asker import sender
from data_curation.asking.budget import BudgetSpent
from data_curation.asking.prices import Price
from data_curation.asking.reply_log import ReplyLog
from data_curation.ledger import Failed, Rejected, read_manifest
from ski_lvlm.servers.client import ChatClient, ChatError, ChatRequest, Message
from ski_lvlm.storage.shards import Shard
from tests.cases.asking_case import asker_of
from tests.cases.llm_server import Answer, chat_double

QUESTION = [Message("What?")]
PNG = b"\x89PNG\r\n\x1a\n"


def after_ping(answer):
    """A server that greets politely (`ping`) and then answers so."""
    return lambda request: Answer("yes") if "Say yes." in str(request["messages"]) else answer


def test_nothing_is_asked_twice_even_by_another_run(tmp_path):
    with chat_double(plan=lambda request: Answer("this")) as double:
        first = asker_of(double.url, tmp_path).ask("clip", ChatRequest(QUESTION, max_tokens=9))
        again = asker_of(double.url, tmp_path).ask("clip", ChatRequest(QUESTION, max_tokens=9))
        assert (first.text, again.text, len(double.requests)) == ("this", "this", 1)
        assert first.prompt_tokens == again.prompt_tokens == 3


@pytest.mark.slow
def test_whatever_differs_is_another_request(tmp_path):
    image = [Message("What?", images=(PNG + b"1",))]
    requests = [
        ("clip", ChatRequest(QUESTION)),
        ("other", ChatRequest(QUESTION)),
        ("clip", ChatRequest([Message("Who?")])),
        ("clip", ChatRequest([Message("What?", role="system")])),
        ("clip", ChatRequest(image)),
        ("clip", ChatRequest([Message("What?", images=(PNG + b"2",))])),
        ("clip", ChatRequest(QUESTION, max_tokens=9)),
        ("clip", ChatRequest(QUESTION, temperature=0.7)),
        ("clip", ChatRequest(QUESTION, seed=1)),
        ("clip", ChatRequest(QUESTION, schema={"type": "object"})),
    ]
    with chat_double(plan=lambda request: Answer("this")) as double:
        asker = asker_of(double.url, tmp_path)
        for _ in range(2):
            for clip, request in requests:
                asker.ask(clip, request)
        assert len(double.requests) == len(requests)
        assert double.requests[8]["seed"] == 1


def test_a_reply_is_on_the_disk_with_its_price_before_it_is_given_out(tmp_path):
    with chat_double(plan=lambda request: Answer("this")) as double:
        asker_of(double.url, tmp_path, price=Price(1e6, 2e6)).ask("clip", ChatRequest(QUESTION))
    (record,) = read_manifest(tmp_path, "replies")
    assert record["dollars"] == 3 * 1 + 2 * 2
    assert {"name", "step", "model", "request", "text", "cut", "seconds", "at"} <= set(record)
    assert (record["name"], record["step"], record["text"]) == ("clip", "qa", "this")


def test_the_log_of_every_shard_is_read(tmp_path):
    numbers = {"max_tokens": 9, "prompt_tokens": 1, "completion_tokens": 1, "seconds": 0.1}
    ReplyLog(tmp_path, shard=Shard(1, 2)).append({"request": "a", "text": "x", "cut": False, "at": "1", **numbers})
    assert ReplyLog(tmp_path, shard=Shard(2, 2)).find("a").text == "x"
    assert ReplyLog(tmp_path).find("b") is None


def test_no_request_is_sent_that_the_budget_might_not_pay(tmp_path):
    with chat_double(plan=lambda request: Answer("this")) as double:
        asker = asker_of(double.url, tmp_path, price=Price(1e6, 1e6), budget=20.0)
        for clip in ("a", "b"):
            asker.ask(clip, ChatRequest(QUESTION, max_tokens=5))
        with pytest.raises(BudgetSpent, match="raise --budget"):
            asker.ask("c", ChatRequest(QUESTION, max_tokens=9))
        assert len(double.requests) == 2
        asker.ask("a", ChatRequest(QUESTION, max_tokens=5))  # what is in the log costs nothing


def test_every_attempt_keeps_the_pace_and_a_long_pause_is_for_all(tmp_path):
    waits, holds = [], []
    pace = SimpleNamespace(wait=waits.append, hold=holds.append)
    busy = Answer(status=429, body=b"{}", headers={"Retry-After": "0.01"})
    with chat_double(plan=lambda request: busy if len(double.requests) < 3 else Answer("at last")) as double:
        client = ChatClient("openai:llama3.1", base_url=f"{double.url}/v1", attempts=4)
        asker = asker_of(double.url, tmp_path, send=sender(client, pace))
        assert asker.ask("clip", ChatRequest(QUESTION, max_tokens=10)).text == "at last"
        assert (len(waits), holds) == (3, [])
        busy.headers["Retry-After"] = "300"
        double.plan = lambda request: Answer("yes") if "Say yes." in str(request["messages"]) else busy
        with pytest.raises(Failed, match="Busy"):
            asker.ask("other", ChatRequest(QUESTION, max_tokens=10))
        assert holds == [300.0]


def test_a_refusal_of_one_clip_rejects_it_but_a_refusal_of_all_stops_the_run(tmp_path):
    no = Answer(status=400, body=b'{"error": {"message": "content policy"}}')
    with chat_double(plan=after_ping(no)) as double, pytest.raises(Rejected, match="content policy"):
        asker_of(double.url, tmp_path).ask("clip", ChatRequest(QUESTION))
    with (
        chat_double(plan=lambda request: Answer(status=401)) as double,
        pytest.raises(ChatError, match="key or the permission"),
    ):
        asker_of(double.url, tmp_path).ask("clip", ChatRequest(QUESTION))


def test_what_may_pass_is_left_to_the_next_run(tmp_path):
    with chat_double(plan=after_ping(Answer(body=b'{"choices": ['))) as double, pytest.raises(Failed, match="BadReply"):
        asker_of(double.url, tmp_path).ask("clip", ChatRequest(QUESTION))
    assert read_manifest(tmp_path, "replies") == []
