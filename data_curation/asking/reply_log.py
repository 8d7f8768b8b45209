"""The log of replies of language models. Each is saved before it is used, so that nothing is paid for twice.

A request's identity is a digest of its content and of its clip. After a crash the same requests are made again, and the
log answers those that had a reply.
"""

import hashlib
import threading
from pathlib import Path
from typing import NamedTuple

from data_curation.ledger import Record, read_manifest
from ski_lvlm.servers.client import ChatRequest, Reply
from ski_lvlm.storage.digests import digest
from ski_lvlm.storage.files import append_jsonl
from ski_lvlm.storage.shards import WHOLE, Shard

STEP = "replies"


class ClipRequest(NamedTuple):
    """A request to a model, and the clip it is about."""

    clip: str
    chat: ChatRequest

    def digest(self, model: str) -> str:
        """Return the identity of the request."""
        chat = self.chat
        turns = [(m.role, m.text, *(hashlib.sha256(image).hexdigest() for image in m.images)) for m in chat.messages]
        return digest(self.clip, model, turns, chat.schema, chat.max_tokens, chat.temperature, chat.seed)


class ReplyLog:
    """The replies of all shards by request, to which one shard appends. Safe to share between threads."""

    def __init__(self, folder: Path, *, shard: Shard = WHOLE) -> None:
        self._path = folder / f"{STEP}{shard.suffix}.jsonl"
        self._lock = threading.Lock()
        self.records: list[Record] = read_manifest(folder, STEP)
        self._by_request = {record["request"]: record for record in self.records}

    def find(self, request: str) -> Reply | None:
        """Return the reply to an earlier request, or None."""
        record = self._by_request.get(request)
        if record is None:
            return None
        fields = ("text", "prompt_tokens", "completion_tokens", "seconds", "cut")
        return Reply(**{field: record[field] for field in fields})

    def append(self, record: Record) -> None:
        """Save a reply."""
        with self._lock:
            append_jsonl(self._path, record)
            self.records.append(record)
            self._by_request[record["request"]] = record
