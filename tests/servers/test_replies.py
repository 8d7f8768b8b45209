"""Replies as the servers really send them: errors with status 200, no choice, content in parts, pages."""

import json

import pytest

from ski_lvlm.servers.client import BadReply, Busy, ChatClient, ChatError, ChatRequest, Message, ModelMissing, Refused
from ski_lvlm.servers.replies import error_of, openai_reply
from tests.cases.llm_server import Answer, chat_double


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch):
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OLLAMA_HOST", "OLLAMA_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def client_of(double, protocol="openai", **settings):
    url = double.url if protocol == "ollama" else f"{double.url}/v1"
    return ChatClient(f"{protocol}:llama3.1", base_url=url, **{"attempts": 1, "max_wait": 0.01, **settings})


ERRORS = [
    ({"error": {"message": "No credits left", "code": 402}}, Refused, "answered 402: No credits left"),
    ({"error": {"message": "No credits left", "code": "402"}}, Refused, "402"),
    ({"error": {"message": "Slow down", "code": 429}}, Busy, "429: Slow down"),
    ({"error": {"message": "Slow down", "type": "rate_limit_exceeded"}}, Busy, "Slow down"),
    ({"error": {"message": "Upstream is down", "code": 502}, "choices": []}, Busy, "502"),
    ({"error": {"message": "Overloaded", "type": "overloaded_error"}}, Busy, "Overloaded"),
    ({"error": {"message": "Bad question"}}, Refused, "Bad question"),
    ({"error": "No such thing"}, Refused, "No such thing"),
    ({"error": {"message": "no such model", "code": 404}}, ModelMissing, "no such model"),
    ({"error": {"message": "wrong api key sk-1", "code": 401}}, Refused, "check OPENAI_API_KEY"),
    ({"error": {"message": "You exceeded your quota", "type": "insufficient_quota"}}, Refused, "402"),
    ({"object": "error", "message": "too long", "code": 400}, Refused, "400: too long"),
    ({"detail": "Not now", "status": 503}, Busy, "503: Not now"),
    ({"success": False, "errors": ["bad account"]}, Refused, "bad account"),
    ([{"error": {"message": "Location is not supported", "code": 400}}], Refused, "Location"),
    ({"choices": [{"error": {"message": "Provider broke", "code": 502}, "finish_reason": "error"}]}, Busy, "Provider"),
]


@pytest.mark.parametrize(("body", "kind", "message"), ERRORS, ids=range(len(ERRORS)))
def test_an_error_with_status_200_is_told(body, kind, message):
    answer = Answer(body=json.dumps(body).encode())
    with chat_double(plan=lambda _: answer) as double, pytest.raises(ChatError, match=message) as raised:
        client_of(double).chat(ChatRequest([Message("hi")]))
    assert type(raised.value) is kind


def test_an_error_of_ollama_with_status_200_is_told():
    answer = Answer(body=b'{"error": "llama runner process has terminated"}')
    with chat_double(plan=lambda _: answer) as double, pytest.raises(Refused, match="runner process"):
        client_of(double, "ollama").chat(ChatRequest([Message("hi")]))


def body_of(message=None, finish="stop", **body):
    return {"choices": [{"message": message, "finish_reason": finish}], "usage": None, **body}


PARTS = [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}, {"type": "text", "text": "A cat."}]
READ = [
    (body_of({"content": "A cat."}), "A cat."),
    (body_of({"content": PARTS}), "A cat."),
    (body_of({"content": [{"type": "output_text", "text": "A "}, "cat."]}), "A cat."),
    (body_of({"content": [{"type": "image_url", "image_url": {}}]}), ""),
    (body_of({"content": None, "reasoning_content": "A cat?"}), ""),
    (body_of({"content": None, "tool_calls": []}), ""),
    (body_of({}), ""),
    (body_of({"content": "A cat.", "refusal": None}, error=None), "A cat."),
    (body_of({"content": "A cat."}, usage={"prompt_tokens": None}), "A cat."),
]


@pytest.mark.parametrize(("body", "text"), READ, ids=range(len(READ)))
def test_the_text_of_a_reply(body, text):
    reply = openai_reply(body, server="it", seconds=0.0)
    assert (reply.text, reply.prompt_tokens, reply.completion_tokens) == (text, 0, 0)


@pytest.mark.parametrize("finish", ["length", "max_tokens"])
def test_a_reply_that_was_cut(finish):
    assert openai_reply(body_of({"content": "A"}, finish), server="it", seconds=0.0).cut


@pytest.mark.parametrize("body", [None, 3, "text", [], [1], {}, {"choices": []}, {"choices": None}, {"choices": [None]},
                                  {"choices": [{}]}, {"choices": [{"message": None}]}, {"hello": "world"},
                                  body_of({"content": "half"}, "error")])  # fmt: skip
def test_a_body_without_an_answer_may_pass(body):
    with pytest.raises(BadReply, match="expected choices with a message"):
        openai_reply(body, server="it", seconds=0.0)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (body_of({"content": None, "refusal": "I cannot help with that."}), "declined to answer: I cannot help"),
        (body_of({"content": ""}, "content_filter"), "declined to answer: its content filter"),
    ],
)
def test_a_model_that_declines_is_a_refusal(body, message):
    with pytest.raises(Refused, match=message):
        openai_reply(body, server="it", seconds=0.0)


def test_nothing_told_is_no_error():
    assert error_of({"choices": []}, server="it") is None and error_of("x", server="it") is None


PAGE = b"\n<!doctype html><html><head><title>Open\n WebUI</title></head></html>"


@pytest.mark.parametrize("status", [200, 404, 405])
def test_a_web_page_is_told_with_the_address_to_try(status):
    page = Answer(status=status, body=PAGE)
    with chat_double(plan=lambda _: page) as double:
        client = ChatClient("openai:llama3.1", base_url=double.url)
        with pytest.raises(ChatError, match=rf"web page 'Open WebUI', .* try --base_url {double.url}/v1") as raised:
            client.ping()
        assert not raised.value.is_transient and len(double.requests) == 1
        with pytest.raises(ChatError, match="a login, a proxy or another program"):
            client_of(double).ping()
        with pytest.raises(ChatError, match="web page 'Open WebUI', expected Ollama.*port is 11434"):
            client_of(double, "ollama").chat(ChatRequest([Message("hi")]))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "listed"),
    [
        ("llama3.1:8b-instruct-q4_k_m", "llama3.1:8b-instruct-q4_K_M"),
        ("Llama3.1", "llama3.1:latest"),
        ("library/llama3.1", "llama3.1:latest"),
        ("hf.co/lab/Model-GGUF:q4_k_m", "hf.co/lab/Model-GGUF:Q4_K_M"),
        ("hf.co/lab/Model-GGUF", "hf.co/lab/model-gguf:latest"),
    ],
)
def test_a_tag_of_ollama_in_letters_of_another_size_has_its_digest(name, listed):
    with chat_double(models=(listed, name)) as double:
        info = ChatClient(f"ollama:{name}", base_url=double.url).ping()
        double.models = ("another:latest", name.upper())
        assert info.digest == ChatClient(f"ollama:{name}", base_url=double.url).ping().digest == "d1" * 32
