"""Addresses as people write them, and the proxies that the environment puts in between."""

import socket

import pytest

from scripts.tables.jobs import Step
from ski_lvlm.servers.address import read_address, without_secrets
from ski_lvlm.servers.client import ChatClient, ChatError, ChatRequest, Refused
from ski_lvlm.servers.proxies import PROXY_VARIABLES, proxy_for
from tests.cases.llm_server import Answer, chat_double


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch):
    for name in (*PROXY_VARIABLES, "no_proxy", "NO_PROXY", "OPENAI_API_KEY", "OPENAI_BASE_URL", "OLLAMA_HOST"):
        monkeypatch.delenv(name, raising=False)


OPENAI = {
    "http://host:8000/v1": "http://host:8000/v1",
    "http://HOST:8000/v1/": "http://host:8000/v1",
    "  http://host:8000/v1\r\n": "http://host:8000/v1",
    "'http://host/v1'": "http://host/v1",
    "http://host:80/v1": "http://host/v1",
    "https://host:443//v1//": "https://host/v1",
    "http://host:8000/v1/chat/completions": "http://host:8000/v1",
    "http://host:8000/v1/models?x=1#part": "http://host:8000/v1",
    "localhost:8000/v1": "http://localhost:8000/v1",
    "10.0.0.7:8000": "http://10.0.0.7:8000",
    "gpu07:8000/v1": "http://gpu07:8000/v1",
    "api.example.com/v1": "https://api.example.com/v1",
    "0.0.0.0:8000/v1": "http://127.0.0.1:8000/v1",
    "http://[::1]:8000/v1": "http://[::1]:8000/v1",
    "[::1]:8000/v1": "http://[::1]:8000/v1",
    "::1/v1": "http://[::1]/v1",
    "https://me:secret@host/openai/deployments/m/?api-version=1": "https://host/openai/deployments/m",
}
OLLAMA = {
    "127.0.0.1": "http://127.0.0.1:11434",
    "0.0.0.0": "http://127.0.0.1:11434",
    "0.0.0.0:8080": "http://127.0.0.1:8080",
    "http://0.0.0.0:11434": "http://127.0.0.1:11434",
    ":11435": "http://127.0.0.1:11435",
    '"host"': "http://host:11434",
    "example.com": "http://example.com:11434",
    "http://example.com": "http://example.com",
    "https://example.com/": "https://example.com",
    "example.com:56789/ollama/": "http://example.com:56789/ollama",
    "http://host:11434/v1": "http://host:11434",
    "http://host:11434/v1/": "http://host:11434",
    "http://host:11434/api": "http://host:11434",
    "http://host:11434/api/chat": "http://host:11434",
    "http://host:3000/ollama/v1/chat/completions": "http://host:3000/ollama",
    "::": "http://[::1]:11434",
    "[::]:11434": "http://[::1]:11434",
    "fd00::1": "http://[fd00::1]:11434",
    "me:secret@host": "http://host:11434",
}


@pytest.mark.parametrize("text", OPENAI)
def test_addresses_of_openais_protocol(text):
    assert read_address(text, protocol="openai", source="--base_url").url == OPENAI[text]


@pytest.mark.parametrize("text", OLLAMA)
def test_addresses_of_ollama(text):
    assert read_address(text, protocol="ollama", source="OLLAMA_HOST").url == OLLAMA[text]


WRONG = ["", " ", "http://", "http:/host/v1", "http//host", "ftp://host", "ws://host/v1", "http://host:port/v1",
         "http://host:99999/v1", "http://host:0/v1", "http://my host/v1", "http://[::1/v1"]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("text", WRONG)
@pytest.mark.parametrize("protocol", ["openai", "ollama"])
def test_what_is_no_address_is_refused_by_the_flags_name(text, protocol):
    with pytest.raises(ChatError, match=r"--base_url is .*, expected an address such as http://HOST:"):
        ChatClient(f"{protocol}:m", base_url=text)


@pytest.mark.slow
@pytest.mark.parametrize("text", ["me:hush hush@host", "http://me:hush@host:x", "http://me:hu/sh@host/v1", "me:hush@"])
def test_a_wrong_address_is_not_quoted_with_its_password(text):
    with pytest.raises(ChatError) as raised:
        ChatClient("openai:m", base_url=text)
    assert "hu" not in str(raised.value)


def test_a_wrong_variable_is_named(monkeypatch):
    monkeypatch.setenv("OLLAMA_HOST", "host:99999")
    with pytest.raises(ChatError, match="OLLAMA_HOST is 'host:99999'"):
        ChatClient("llama3.1")
    monkeypatch.setenv("OPENAI_BASE_URL", "http//host")
    with pytest.raises(ChatError, match="OPENAI_BASE_URL is 'http//host'"):
        ChatClient("openai:m")


def test_an_address_in_the_environment_needs_no_key(monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", "http://host:8000/v1")
    client = ChatClient("openai:m")
    assert client.server == "http://host:8000/v1" and not client.is_openai


def test_the_query_goes_behind_every_path(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "hush-hush")
    with chat_double() as double:
        url = f"{double.url}/openai/deployments/gpt/?api-version=2024-06-01"
        ChatClient("openai:llama3.1", base_url=url).ping()
        assert double.paths == ["/openai/deployments/gpt/chat/completions?api-version=2024-06-01"]
    azure = ChatClient("openai:m", base_url="https://lab.openai.azure.com/openai/deployments/gpt?api-version=1")
    assert azure._server.client.default_headers["api-key"] == "hush-hush"


@pytest.mark.parametrize("protocol", ["openai", "ollama"])
def test_a_password_in_the_address_is_sent_and_not_shown(protocol):
    with chat_double(plan=lambda _: Answer(status=400, body=b"no me:hush%2Fhush, bWU6aHVzaC9odXNo")) as double:
        url = double.url.replace("//", "//me:hush%2Fhush@") + ("/v1" if protocol == "openai" else "")
        with pytest.raises(Refused) as raised:
            ChatClient(f"{protocol}:llama3.1", base_url=url).chat(ChatRequest([]))
        assert double.headers[0]["authorization"] == "Basic bWU6aHVzaC9odXNo"
    assert "hush" not in str(raised.value) and "bWU6" not in str(raised.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "127.1.2.3", "a.localhost", socket.gethostname()])
@pytest.mark.parametrize("proxy", ["http://127.0.0.1:9", "socks://127.0.0.1:9", "nonsense://x"])
def test_this_machine_is_asked_without_a_proxy(monkeypatch, host, proxy):
    for name in ("http_proxy", "all_proxy"):
        monkeypatch.setenv(name, proxy)
    assert proxy_for(read_address(f"http://{host}:8000/v1", protocol="openai", source="x")) is None


@pytest.mark.parametrize("protocol", ["openai", "ollama"])
@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])
def test_a_proxy_that_fails_is_named_with_its_variable(monkeypatch, protocol, name):
    with chat_double() as double:  # nobody listens there afterwards
        closed = double.url.replace("//", "//me:hush@")
    with chat_double(plan=lambda _: Answer(status=503, body=b"<html><title>Squid</title></html>")) as double:
        for proxy in (closed, double.url):
            monkeypatch.setenv(name, proxy)
            with pytest.raises(ChatError, match=rf"asked through {name}, http://") as raised:
                ChatClient(f"{protocol}:llama3.1", base_url="http://judge.invalid/v1", attempts=1).chat(ChatRequest([]))
            assert "hush" not in str(raised.value)
    assert "Squid" in str(raised.value)


@pytest.mark.parametrize("exempt", ["judge.invalid", ".invalid", "*", "other, judge.invalid"])
def test_no_proxy_is_obeyed(monkeypatch, exempt):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", exempt)
    assert proxy_for(read_address("http://judge.invalid/v1", protocol="openai", source="x")) is None


def test_no_proxy_may_name_a_network(monkeypatch):
    monkeypatch.setenv("http_proxy", "proxy.invalid:3128")
    monkeypatch.setenv("no_proxy", "10.0.0.0/8,192.168.0.0/16")
    assert proxy_for(read_address("http://10.1.2.3:8000/v1", protocol="openai", source="x")) is None
    other = proxy_for(read_address("http://172.16.0.1:8000/v1", protocol="openai", source="x"))
    assert other is not None and other.url == "http://proxy.invalid:3128"


@pytest.mark.parametrize(
    ("proxy", "remedy"),
    [
        ("socks5://me:hush@proxy.invalid:1080", "pip install socksio"),
        ("socks://proxy.invalid:1080", "pip install socksio"),
        ("socks4://proxy.invalid:1080", r"expected http://HOST:PORT or socks5://HOST:PORT"),
        ("http://proxy.invalid:port", "expected http://HOST:PORT"),
    ],
)
@pytest.mark.parametrize("protocol", ["openai", "ollama"])
def test_a_proxy_that_cannot_be_used_says_what_to_change(monkeypatch, protocol, proxy, remedy):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setenv("https_proxy", proxy)
    with pytest.raises(Refused, match=rf"https_proxy.*{remedy}.*add judge.invalid to no_proxy") as raised:
        ChatClient(f"{protocol}:m", base_url="https://judge.invalid/v1")
    assert "hush" not in str(raised.value)


@pytest.mark.parametrize("text", ["a question? a=b", "me@host", "python x.py --out a/b", "http://host:8000/v1"])
def test_a_text_without_a_secret_stays_as_it_is(text):
    assert without_secrets(text) == text


@pytest.mark.parametrize(
    "secret", ["//me:hush@host/v1", "//me:hu/sh@host", "//hush@host", "//host/v1?api-key=hush", "//h?a=hush&b=hush"]
)
def test_a_command_is_recorded_without_the_secrets_of_its_addresses(tmp_path, secret):
    step = Step(("eval/score.py", "--base_url", f"https:{secret}"), "scores.json", tmp_path, tmp_path / "a")
    assert "hu" not in step.command_line() and "--base_url" in step.command_line()
