"""Keys never reach a message or a log, however they are spelled, and a key that cannot be sent is refused at once."""

import json
import logging
import os
import sys
import traceback

import pytest

from ski_lvlm.servers.client import ChatClient, ChatError, ChatRequest, Message, Refused
from ski_lvlm.servers.secret_mask import Mask, read_key
from tests.cases.command_case import ROOT, run
from tests.cases.llm_server import Answer, chat_double

KEY = 'sk-very/hushed+key="1"\\x'
VARIABLES = {"openai": "OPENAI_API_KEY", "ollama": "OLLAMA_API_KEY"}
both_protocols = pytest.mark.parametrize("protocol", VARIABLES)


@pytest.fixture(autouse=True)
def _own_key(monkeypatch):
    for name in (*VARIABLES.values(), "OPENAI_ORG_ID", "OPENAI_CUSTOM_HEADERS", "OLLAMA_HOST", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


def client_of(double, protocol, **settings):
    url = double.url if protocol == "ollama" else f"{double.url}/v1"
    return ChatClient(f"{protocol}:llama3.1", base_url=url, **{"attempts": 2, "max_wait": 0.01, **settings})


@pytest.mark.slow
@both_protocols
@pytest.mark.parametrize("around", ["{}\n", "{}\r", "{}\r\n", " {}\t", "\ufeff{}", "{}\u200b", "\n{}\n\n"])
def test_white_space_around_a_key_is_left_out(monkeypatch, protocol, around):
    monkeypatch.setenv(VARIABLES[protocol], around.format("sk-very-hushed"))
    with chat_double() as double:
        assert client_of(double, protocol).chat(ChatRequest([Message("hi")])).text == "ok"
    assert double.headers[0]["authorization"] == "Bearer sk-very-hushed"


@pytest.mark.slow
@both_protocols
@pytest.mark.parametrize("key", ["sk-very\nhushed", "sk-very hushed", "“sk-hushed”", "sk-hushéd", "sk-hushed\x7f1"])
def test_a_key_that_no_header_carries_is_refused_without_being_quoted(monkeypatch, protocol, key):
    monkeypatch.setenv(VARIABLES[protocol], key)
    with chat_double() as double, pytest.raises(Refused, match=f"{VARIABLES[protocol]} has .* on one line") as raised:
        client_of(double, protocol)
    assert "hush" not in str(raised.value) and double.requests == []


def test_a_blank_key_is_none(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", " \n")
    assert read_key("OPENAI_API_KEY") == ""
    with pytest.raises(Refused, match="OPENAI_API_KEY is not set"):
        ChatClient("openai:m")
    monkeypatch.setenv("OLLAMA_API_KEY", " \n")
    with pytest.raises(Refused, match="OLLAMA_API_KEY holds nothing but white space"):
        ChatClient("m")


SPELLED = [
    KEY,
    repr(KEY),
    repr(KEY.encode()),
    json.dumps(KEY),
    "sk-very%2Fhushed%2Bkey%3D%221%22%5Cx",
    "sk-very/hushed%2Bkey%3D%221%22%5Cx",
    "sk-very/hushed+key=&quot;1&quot;\\x",
    KEY[:14],
]


@pytest.mark.parametrize("spelled", SPELLED)
def test_every_spelling_is_masked(spelled):
    output = Mask(KEY)(f"a {spelled} b")
    assert "hush" not in output and output.startswith("a ") and output.endswith(" b")


def test_a_short_key_is_masked_where_it_stands_alone():
    assert Mask("k", "")("key 'k' of ok") == "key '***' of ok" and Mask("")("key") == "key"


@pytest.mark.slow
@both_protocols
@pytest.mark.parametrize("status", [200, 400, 402, 404, 422, 500])
@pytest.mark.parametrize("spell", [str, repr, json.dumps, lambda key: repr(key.encode())])
def test_what_a_server_repeats_is_masked_in_errors_causes_and_logs(monkeypatch, caplog, protocol, status, spell):
    monkeypatch.setenv(VARIABLES[protocol], KEY)
    caplog.set_level(logging.DEBUG)
    body = json.dumps({"error": f"wrong header Bearer {spell(KEY)}"})
    with chat_double(plan=lambda _: Answer(status=status, body=body.encode())) as double:
        with pytest.raises(ChatError) as raised:
            client_of(double, protocol).chat(ChatRequest([Message("hi")]))
        assert double.headers[0]["authorization"] == f"Bearer {KEY}"
    output = "".join(traceback.format_exception(raised.value)) + caplog.text
    assert "hush" not in output and "hush" not in raised.value.body


def test_a_key_in_the_address_is_in_no_log_of_the_packages_below(caplog):
    caplog.set_level(logging.DEBUG)
    with chat_double() as double:
        for protocol, path in (("openai", "/v1"), ("ollama", "")):
            url = double.url.replace("//", "//me:hush-hush@") + f"{path}?api-key=hush-query"
            ChatClient(f"{protocol}:llama3.1", base_url=url).chat(ChatRequest([Message("hi")]))
        assert all(request.endswith("?api-key=hush-query") for request in double.paths)
    assert "HTTP Request" in caplog.text and "hush" not in caplog.text


def test_a_header_that_cannot_be_sent_is_not_quoted_and_not_sent_again(monkeypatch):
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Token: hush\rhush")
    with chat_double() as double, pytest.raises(Refused, match="line breaks in OPENAI_CUSTOM_HEADERS") as raised:
        client_of(double, "openai").chat(ChatRequest([Message("hi")]))
    assert "hush" not in str(raised.value) and not raised.value.is_transient


def test_custom_headers_are_masked(monkeypatch):
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Token: hush-hush-1")
    with chat_double(plan=lambda _: Answer(status=400, body=b"no hush-hush-1")) as double:
        with pytest.raises(Refused) as raised:
            client_of(double, "openai").chat(ChatRequest([Message("hi")]))
        assert double.headers[0]["x-token"] == "hush-hush-1"
    assert "hush" not in str(raised.value)


@pytest.mark.slow
@pytest.mark.parametrize("end", ["\n", "\r"])
def test_score_pings_with_a_key_out_of_a_file(end):
    with chat_double() as double:
        words = ["--judge", "openai:llama3.1", "--base_url", f"{double.url}/v1", "--ping"]
        line = [sys.executable, str(ROOT / "eval" / "score.py"), *words]
        environment = {**os.environ, "OPENAI_API_KEY": f"sk-very-hushed{end}"}
        result = run(line, env=environment)
    assert result.returncode == 0 and "sk-very-hushed" not in result.stdout + result.stderr
