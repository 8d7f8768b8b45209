"""Servers to test LLM clients against: a real one (llama.cpp with SmolLM2), and a test double that misbehaves on order.

llama.cpp does not speak Ollama's own protocol, so the `ollama` client meets `TestDouble`, which answers `/api/chat`,
`/api/tags` and `/api/show` with canned text, or with text from the real server (`forward_to`).
"""

import json
import math
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


@contextmanager
def llama_server(*, parallel: int = 2, context: int = 4096, threads: int = 1) -> Iterator[str]:
    """llama.cpp's server in this process on a free port of the loopback; yields the base URL (ending in /v1)."""
    from scripts.serve_gguf import serve
    from ski_lvlm.encoders.offline import resolve_model

    model = Path(resolve_model("smollm2"))
    server = serve(model, port=0, context=context, parallel=parallel, threads=threads)
    yield f"{server.listening_address}/v1"


@dataclass
class Answer:
    """What the double does with one request: status, headers, body, after a pause."""

    text: str = "ok"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None  # sent as it is instead of a well-formed reply
    pause: float = 0.0
    after: threading.Event | None = None  # waits for it; nobody need ever set it
    hangs_up: bool = False  # closes the connection without a word
    cut: bool = False  # says that the text ran into the limit
    first_token: dict[str, float] | None = None  # texts with their probabilities, told where a request wants them


@dataclass
class TestDouble:
    """A stand-in for Ollama and for OpenAI-compatible servers; `plan(request)` says how a chat request is answered."""

    __test__ = False
    url: str = ""
    models: tuple[str, ...] = ("llama3.1:latest",)
    template: str | None = None  # of Ollama's model
    capabilities: list[str] | None = None  # of Ollama's model
    plan: Callable[[dict[str, Any]], Answer] = lambda _: Answer()
    forward_to: str | None = None
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    stop: Callable[[], None] = lambda: None  # from then on nobody listens


@contextmanager
def chat_double(handler: type["ChatHandler"] | None = None, **settings: Any) -> Iterator[TestDouble]:
    """Run a `TestDouble` on a free port; for the OpenAI protocol its base URL is `double.url + "/v1"`."""
    double = TestDouble(**settings)
    handler = type("Handler", (handler or ChatHandler,), {"double": double})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    double.url = f"http://127.0.0.1:{server.server_port}"
    serving = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    serving.start()

    def stop() -> None:
        server.shutdown()
        server.server_close()

    double.stop = stop
    try:
        yield double
    finally:
        stop()


class ChatHandler(BaseHTTPRequestHandler):
    double: TestDouble
    protocol_version = "HTTP/1.1"
    is_curious = False  # whether the request wants probabilities

    def log_message(self, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        models = [{"model": m, "name": m, "digest": "d1" * 32} for m in self.double.models]
        self.send(Answer(body=json.dumps({"models": models}).encode()))

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not any(
            request["model"].lower() in (m.lower(), m.lower().removesuffix(":latest")) for m in self.double.models
        ):
            self.send(Answer(status=404, body=b'{"error": "model not found, try pulling it first"}'))
        elif self.path.partition("?")[0] == "/api/show":
            details = {"format": "gguf", "quantization_level": "Q4_0"}
            shown: dict[str, Any] = {
                "template": self.double.template,
                "capabilities": self.double.capabilities,
                "model_info": {},
            }
            self.send(Answer(body=json.dumps({"details": details, **shown}).encode()))
        else:
            self.double.requests.append(request)
            self.double.paths.append(self.path)
            self.double.headers.append({name.lower(): value for name, value in self.headers.items()})
            answer = self.double.plan(request)
            self.is_curious = bool(request.get("logprobs"))
            if self.double.forward_to:
                answer.text = _forward(self.double.forward_to, request)
            self.send(answer)

    def send(self, answer: Answer) -> None:
        time.sleep(answer.pause)
        if answer.after:
            answer.after.wait()
        if answer.hangs_up:
            self.close_connection = True
            return
        body = self.well_formed(answer) if answer.body is None else answer.body
        try:
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the client did not wait

    def well_formed(self, answer: Answer) -> bytes:
        message = {"role": "assistant", "content": answer.text}
        ended = "length" if answer.cut else "stop"
        top = [{"token": t, "logprob": math.log(p)} for t, p in (answer.first_token or {}).items()]
        tokens = [{**top[0], "top_logprobs": top}] if top and self.is_curious else None
        if self.path.partition("?")[0] == "/api/chat":
            counts = {"done": True, "done_reason": ended, "prompt_eval_count": 3, "eval_count": 2}
            logprobs = {"logprobs": tokens} if tokens else {}
            return json.dumps({"model": "m", "message": message, **counts, **logprobs}).encode()
        choice = {"index": 0, "message": message, "finish_reason": ended}
        if tokens:
            choice["logprobs"] = {"content": tokens}
        usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
        head = {"id": "1", "object": "chat.completion", "created": 0, "model": "m"}
        return json.dumps({**head, "choices": [choice], "usage": usage}).encode()


def _forward(base_url: str, request: dict[str, Any]) -> str:
    options = request["options"]
    asked = {"model": "m", "messages": request["messages"], "max_tokens": options["num_predict"], "temperature": 0}
    body = json.dumps(asked).encode()
    message = urllib.request.Request(f"{base_url}/chat/completions", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(message) as reply:
        return json.load(reply)["choices"][0]["message"]["content"]
