"""A test double of OpenAI's Batch API: files, batches that end when they are looked at often enough, results."""

import json
from dataclasses import dataclass, field
from email import message_from_bytes
from typing import Any

from tests.cases.llm_server import Answer, ChatHandler, chat_double

HEAD = {"object": "batch", "endpoint": "/v1/chat/completions", "completion_window": "24h", "created_at": 0}


@dataclass
class Batches:
    """What the server has of files and batches; a batch ends at the `patience`-th look."""

    patience: int = 1
    files: dict[str, str] = field(default_factory=dict)
    batches: dict[str, dict[str, Any]] = field(default_factory=dict)
    looks: dict[str, int] = field(default_factory=dict)
    ends_as: str = "completed"
    never_begun: int = 0  # requests that the next batch leaves out
    refusal: dict[str, Any] | None = None  # what comes with status 200 instead of a file
    encoding: str = "utf-8"  # of the files that it gives out
    lost_answers: int = 0  # submissions that succeed but whose answer is lost on the way


class BatchHandler(ChatHandler):
    store: Batches

    def do_GET(self) -> None:
        parts = self.path.split("?")[0].strip("/").split("/")
        if parts[1:2] == ["batches"] and len(parts) == 2:
            self.json({"object": "list", "data": list(self.store.batches.values()), "has_more": False})
        elif parts[1:2] == ["batches"]:
            self.json(self.looked_at(parts[2]))
        elif parts[1:2] == ["files"]:
            self.send(Answer(body=self.store.files[parts[2]].encode(self.store.encoding)))
        else:
            super().do_GET()

    def do_POST(self) -> None:
        if self.path == "/v1/files":
            body = self.rfile.read(int(self.headers["Content-Length"]))
            form = message_from_bytes(b"Content-Type: " + self.headers["Content-Type"].encode() + b"\r\n\r\n" + body)
            content = next(part for part in form.get_payload() if part.get_filename())
            self.json(self.store.refusal or self.kept(content.get_payload(decode=True).decode()))
        elif self.path == "/v1/batches":
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            number = f"batch_{len(self.store.batches)}"
            self.store.batches[number] = {**HEAD, "id": number, "status": "in_progress", **asked}
            if self.store.lost_answers:
                self.store.lost_answers -= 1
                self.send(Answer(status=503, body=b"{}"))
            else:
                self.json(self.store.batches[number])
        else:
            super().do_POST()

    def json(self, value: Any) -> None:
        self.send(Answer(body=json.dumps(value).encode()))

    def kept(self, content: str) -> dict[str, Any]:
        number = f"file_{len(self.store.files)}"
        self.store.files[number] = content
        facts = {"bytes": len(content), "created_at": 0, "filename": "x", "purpose": "batch", "status": "processed"}
        return {"id": number, "object": "file", **facts}

    def looked_at(self, number: str) -> dict[str, Any]:
        batch = self.store.batches[number]
        if "error" in batch:
            return batch
        self.store.looks[number] = self.store.looks.get(number, 0) + 1
        if batch["status"] == "in_progress" and self.store.looks[number] >= self.store.patience:
            batch["status"] = self.store.ends_as
            if self.store.ends_as == "failed":
                batch["errors"] = {"object": "list", "data": [{"code": "token_limit", "message": "too many tokens"}]}
            else:
                self.answer_all(batch)
        return batch

    def answer_all(self, batch: dict[str, Any]) -> None:
        lines = self.store.files[batch["input_file_id"]].strip("\n").split("\n")
        good, bad = [], []
        for line in lines[self.store.never_begun :]:
            asked = json.loads(line)
            self.path = asked["url"]
            answer = self.double.plan(asked["body"])
            self.double.requests.append(asked["body"])
            body = self.well_formed(answer) if answer.body is None else answer.body
            reply = {"status_code": answer.status, "body": json.loads(body)}
            (good if answer.status == 200 else bad).append({"custom_id": asked["custom_id"], "response": reply})
        self.store.never_begun = 0
        for key, results in (("output_file_id", good), ("error_file_id", bad)):
            batch[key] = self.kept("\n".join(map(json.dumps, results)))["id"] if results else None
        batch["request_counts"] = {"total": len(lines), "completed": len(good), "failed": len(bad)}


def batch_double(store: Batches, **settings: Any):  # noqa: ANN201
    """Run the double; its base URL is `double.url + "/v1"`."""
    return chat_double(handler=type("BatchHandler", (BatchHandler,), {"store": store}), **settings)
