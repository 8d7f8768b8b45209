"""The chat client against a real LLM server, and against one that misbehaves in every way that servers do."""

import json
import logging
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from ski_lvlm.servers.client import (
    BadReply,
    Busy,
    ChatClient,
    ChatError,
    ChatRequest,
    Message,
    ModelMissing,
    Refused,
    ServerNotRunning,
    TimedOut,
    split_model,
)
from ski_lvlm.servers.protocol import retry_after_seconds
from tests.cases.command_case import HANG, until
from tests.cases.llm_server import Answer, chat_double

PNG = b"\x89PNG\r\n\x1a\n" + b"\x00" * 8
JPEG = b"\xff\xd8\xff\xe0" + b"\x00" * 8
SCORE = {
    "type": "object",
    "properties": {"score": {"type": "integer", "minimum": 0, "maximum": 5}},
    "required": ["score"],
    "additionalProperties": False,
}


@pytest.fixture(autouse=True)
def _own_key(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OLLAMA_HOST", raising=False)


def client_of(double, protocol, **settings):
    settings = {"max_wait": 0.05, "timeout": HANG, **settings}
    url = double.url if protocol == "ollama" else f"{double.url}/v1"
    return ChatClient(f"{protocol}:llama3.1", base_url=url, **settings)


both_protocols = pytest.mark.parametrize("protocol", ["ollama", "openai"])


@pytest.mark.slow
def test_real_server_constrained_json_is_the_same_twice(llm_url):
    client = ChatClient("openai:smollm2", base_url=llm_url, timeout=HANG)
    assert client.ping().name == "openai:smollm2"
    # The first one fills the server's cache of prompts. The others are computed in the same way, to the last bit.
    _, *replies = [
        client.chat(ChatRequest([Message("Score this from 0 to 5.")], schema=SCORE, max_tokens=40)) for _ in range(3)
    ]
    assert 0 <= json.loads(replies[0].text)["score"] <= 5
    assert replies[0].text == replies[1].text
    assert replies[0].prompt_tokens > 5 and replies[0].completion_tokens > 2 and replies[0].seconds > 0


@pytest.mark.slow
def test_real_server_says_when_an_answer_was_cut(llm_url):
    reply = ChatClient("openai:smollm2", base_url=llm_url, timeout=HANG).chat(
        ChatRequest([Message("Tell me a long story.")], max_tokens=2)
    )
    assert reply.cut and reply.completion_tokens == 2


@pytest.mark.slow
def test_ollama_protocol_forwarded_to_the_real_server(llm_url):
    with chat_double(forward_to=llm_url) as double:
        assert (
            client_of(double, "ollama", timeout=HANG)
            .chat(ChatRequest([Message("Say hello.")], max_tokens=8))
            .text.strip()
        )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("llama3.1", ("ollama", "llama3.1")),
        ("llama3.1:8b-q8_0", ("ollama", "llama3.1:8b-q8_0")),
        ("ollama:llava:13b", ("ollama", "llava:13b")),
        ("openai:gpt-3.5-turbo", ("openai", "gpt-3.5-turbo")),
    ],
)
def test_model_names(name, expected):
    assert split_model(name) == expected


@pytest.mark.parametrize("name", ["", " ", "openai:", "ollama: ", "hf:some/model"])
def test_names_that_name_no_server(name):
    with pytest.raises(ChatError, match="ollama:MODEL"):
        split_model(name)


@both_protocols
def test_request_carries_temperature_seed_limit_and_schema(protocol):
    with chat_double() as double:
        reply = client_of(double, protocol).chat(
            ChatRequest([Message("hi", role="system")], SCORE, max_tokens=9, seed=7)
        )
    request = double.requests[0]
    options = request["options"] if protocol == "ollama" else request
    assert (options["temperature"], options["seed"]) == (0.0, 7)
    assert 9 in (options.get("num_predict"), options.get("max_tokens"))
    schema = request["format"] if protocol == "ollama" else request["response_format"]["json_schema"]["schema"]
    assert schema == SCORE
    assert request["messages"][0]["role"] == "system"
    assert (reply.text, reply.prompt_tokens, reply.completion_tokens, reply.cut) == ("ok", 3, 2, False)


def test_images_travel_in_both_protocols():
    with chat_double() as double:
        for protocol in ("ollama", "openai"):
            client_of(double, protocol).chat(ChatRequest([Message("what?", images=(PNG, JPEG))]))
    ollama, openai = (request["messages"][0] for request in double.requests)
    assert len(ollama["images"]) == 2 and ollama["images"][0].startswith("iVBORw0KGgo")
    assert openai["content"][1]["image_url"]["url"].startswith("data:image/png;base64,iVBORw0KGgo")
    assert openai["content"][2]["image_url"]["url"].startswith("data:image/jpeg;base64,/9j/")


def test_bytes_that_are_no_image_are_the_callers_mistake():
    with chat_double() as double, pytest.raises(ValueError, match="PNG or JPEG"):
        client_of(double, "ollama").chat(ChatRequest([Message("what?", images=(b"GIF89a..",))]))
    assert double.requests == []


@pytest.mark.slow
@both_protocols
@pytest.mark.parametrize(
    "failure",
    [
        Answer(status=429, headers={"Retry-After": "0.01"}, body=b"slow down"),
        Answer(status=500, body=b"oops"),
        Answer(status=503, body=b'{"error": "loading model"}'),
        Answer(body=b'{"choices": [{"mess'),
        Answer(body=b'{"hello": "world"}'),
        Answer(body=b"[1, 2]"),
        Answer(body=b""),
        Answer(hangs_up=True),
    ],
)
def test_passing_failures_are_repeated_and_end(protocol, failure, caplog):
    with chat_double() as double:
        double.plan = lambda _: failure if len(double.requests) <= 2 else Answer("at last")
        assert client_of(double, protocol).chat(ChatRequest([Message("hi")])).text == "at last"
        assert len(double.requests) == 3 and caplog.text.count("; asked again in ") == 2
        double.plan = lambda _: failure
        with pytest.raises((Busy, BadReply)):
            client_of(double, protocol, attempts=4).chat(ChatRequest([Message("hi")]))
        assert len(double.requests) == 3 + 4, "no call beyond the bound"


@pytest.mark.slow
@both_protocols
def test_retry_after_is_waited_for_or_given_up(protocol):
    pause = Answer(status=429, headers={"Retry-After": "0.3"}, body=b"later")
    with chat_double() as double:
        double.plan = lambda _: pause if len(double.requests) == 1 else Answer()
        with pytest.raises(Busy) as raised:
            client_of(double, protocol, max_wait=0.2).chat(ChatRequest([Message("hi")]))
        assert raised.value.retry_after == 0.3 and len(double.requests) == 1
        double.requests.clear()
        started = time.monotonic()
        client_of(double, protocol, max_wait=5.0).chat(ChatRequest([Message("hi")]))
        assert time.monotonic() - started >= 0.3


def test_retry_after_as_a_date():
    later = datetime.now(UTC) + timedelta(hours=1)
    assert 1800 < retry_after_seconds(format_datetime(later, usegmt=True)) <= 3600
    assert retry_after_seconds("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0
    assert retry_after_seconds(None) is retry_after_seconds("tomorrow") is None


@pytest.mark.slow
@both_protocols
def test_silence_times_out(protocol):
    with chat_double(plan=lambda _: Answer(after=threading.Event())) as double:
        with pytest.raises(TimedOut, match="within 0.1 s"):
            client_of(double, protocol, timeout=0.1, attempts=2).chat(ChatRequest([Message("hi")]))
        until(lambda: len(double.requests) == 2)


@both_protocols
@pytest.mark.parametrize("status", [400, 401, 403, 422])
def test_refusals_are_not_repeated(protocol, status):
    with chat_double(plan=lambda _: Answer(status=status, body=b'{"error": "no"}')) as double:
        with pytest.raises(Refused):
            client_of(double, protocol).chat(ChatRequest([Message("hi")]))
        assert len(double.requests) == 1


def test_an_empty_account_is_not_asked_again():
    body = b'{"error": {"code": "insufficient_quota", "message": "pay"}}'
    with chat_double(plan=lambda _: Answer(status=429, body=body)) as double:
        with pytest.raises(Refused, match="quota"):
            client_of(double, "openai").chat(ChatRequest([Message("hi")]))
        assert len(double.requests) == 1


def test_a_server_without_json_schema_is_asked_without_it_from_then_on():
    def plan(request):
        if "response_format" in request:
            return Answer(status=400, body=b'{"error": {"message": "Invalid parameter: response_format json_schema"}}')
        return Answer("4")

    with chat_double(plan=plan) as double:
        client = client_of(double, "openai")
        assert [client.chat(ChatRequest([Message("hi")], schema=SCORE)).text for _ in range(2)] == ["4", "4"]
        assert ["response_format" in request for request in double.requests] == [True, False, False]


SAYS = {
    "max_tokens": "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' "
    "instead.",
    "temperature": "Unsupported value: 'temperature' does not support 0 with this model. Only the default (1) value is "
    "supported.",
    "seed": "Unrecognized request argument supplied: seed",
}


def refusal(text):
    return Answer(status=400, body=json.dumps({"error": {"message": text, "type": "invalid_request_error"}}).encode())


def test_a_parameter_that_the_model_refuses_is_left_out_from_then_on(caplog):
    def plan(request):
        return next((refusal(text) for name, text in SAYS.items() if name in request), Answer("4"))

    with chat_double(plan=plan) as double:
        client = client_of(double, "openai")
        replies = [client.chat(ChatRequest([Message("hi")], schema=SCORE, max_tokens=9)) for _ in range(2)]
    assert [reply.omitted for reply in replies] == [("seed", "temperature")] * 2 and len(double.requests) == 4 + 1
    assert double.requests[-1]["max_completion_tokens"] == 9 and "response_format" in double.requests[-1]
    warnings = [record.getMessage() for record in caplog.records if "takes no" in record.getMessage()]
    assert len(warnings) == 3 and sum("replies may differ" in line for line in warnings) == 1


@pytest.mark.parametrize(
    "text",
    [
        "'max_tokens' or 'max_completion_tokens' is too large: 200. This model's maximum context length is 100 tokens",
        "content policy: a temperature is not an allowed topic",
        "the seed phrase of a wallet must not be told",
    ],
)
def test_a_refusal_of_the_question_leaves_no_parameter_out(text):
    with chat_double(plan=lambda _: refusal(text)) as double:
        client = client_of(double, "openai")
        for _ in range(2):
            with pytest.raises(Refused):
                client.chat(ChatRequest([Message("hi")], max_tokens=200))
    assert len(double.requests) == 2 and double.requests[0] == double.requests[1]
    assert double.requests[0]["max_tokens"] == 200


def test_nobody_listens():
    with chat_double() as double:
        url = double.url
    with pytest.raises(ServerNotRunning, match=r"`ollama serve`.*`ollama pull llama3.1`"):
        ChatClient("llama3.1", base_url=url).ping()
    with pytest.raises(ServerNotRunning, match="--base_url"):
        ChatClient("openai:m", base_url=f"{url}/v1").ping()


def test_ping_tells_the_weights_apart_and_misses_a_model():
    with chat_double() as double:
        info = client_of(double, "ollama").ping()
        assert (info.name, info.digest, info.quantisation) == ("ollama:llama3.1", "d1" * 32, "Q4_0")
        assert double.requests == [], "no generation for a ping of Ollama"
        double.models = ("other",)
        with pytest.raises(ModelMissing, match="`ollama pull llama3.1`"):
            client_of(double, "ollama").ping()
        with pytest.raises(ModelMissing, match="llama3.1"):
            client_of(double, "openai").ping()


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://LocalHost:8000/v1/", "http://localhost:8000/v1"),
        ("https://me:secret@judge.example:443/v1?key=secret", "https://judge.example/v1"),
    ],
)
def test_an_address_is_spelled_in_one_way_and_without_a_secret(url, address):
    assert ChatClient("openai:m", base_url=url).server == address
    assert ChatClient("m", base_url=url).server is None


def test_openai_itself_needs_a_key():
    with pytest.raises(Refused, match="OPENAI_API_KEY"):
        ChatClient("openai:gpt-3.5-turbo")


@pytest.mark.parametrize("status", [200, 400, 401, 429, 500])
def test_the_key_is_sent_but_never_shown(monkeypatch, caplog, status):
    key = "sk-very-secret-key"
    monkeypatch.setenv("OPENAI_API_KEY", key)
    caplog.set_level(logging.DEBUG)
    with chat_double(plan=lambda _: Answer(status=status, body=f'{{"error": "wrong key {key}"}}'.encode())) as double:
        with pytest.raises(ChatError) as raised:
            client_of(double, "openai", attempts=2).chat(ChatRequest([Message("hi")]))
        assert double.headers[0]["authorization"] == f"Bearer {key}"
    output = "".join(r.getMessage() for r in caplog.records if r.name.startswith("ski_lvlm"))
    assert key not in str(raised.value) + output


@both_protocols
def test_half_a_character_in_a_reply_is_replaced_since_no_file_can_hold_it(protocol):
    with chat_double(plan=lambda _: Answer("wave \ud83d!")) as double:
        assert client_of(double, protocol).chat(ChatRequest([Message("hi")])).text == "wave \ufffd!"
