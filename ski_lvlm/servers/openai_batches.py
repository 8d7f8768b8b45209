"""OpenAI's Batch API: many requests in one file, answered within a day for half the price.

A batch carries a mark in its metadata. By it a batch whose submission was interrupted is found again, not paid twice.
"""

import io
import json
import logging
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple, TypeVar

from ski_lvlm.servers.limits import reply_in_refusal
from ski_lvlm.servers.openai_server import OpenAiServer
from ski_lvlm.servers.protocol import BadReply, ChatError, ChatRequest, Refused, Reply, status_error
from ski_lvlm.servers.replies import error_of, openai_reply

ENDPOINT: Final = "/v1/chat/completions"
_ENDED = frozenset({"completed", "failed", "expired", "cancelled"})
_MARK = "ski_lvlm"
logger = logging.getLogger(__name__)
Entry = TypeVar("Entry")


class BatchState(NamedTuple):
    """State of a batch: the server's word for it, and the number of requests that are answered."""

    status: str
    finished: int
    total: int

    @property
    def ended(self) -> bool:
        """Return whether no more replies will come."""
        return self.status in _ENDED


class BatchFailed(Refused):
    """The server has rejected a batch as a whole, so no reply will come."""


class OpenAiBatches:
    """Batches of one model. All calls raise `ChatError`s, as the server's other calls do."""

    def __init__(self, server: OpenAiServer) -> None:
        self._server, self._client = server, server.client

    def body(self, request: ChatRequest) -> dict[str, Any]:
        """Return the body of one request."""
        return self._server.body(request)

    def submit(self, bodies: Mapping[str, dict[str, Any]], *, mark: str) -> str:
        """Send request bodies by name, and return the batch's id."""
        lines = (
            json.dumps({"custom_id": name, "method": "POST", "url": ENDPOINT, "body": body}, ensure_ascii=False)
            for name, body in bodies.items()
        )
        content = io.BytesIO("\n".join(lines).encode() + b"\n")
        with self._server.errors():
            file = self._checked(self._client.files.create(file=(f"{mark}.jsonl", content), purpose="batch"))
            batch = self._client.batches.create(
                input_file_id=file.id, endpoint=ENDPOINT, completion_window="24h", metadata={_MARK: mark}
            )
            return str(self._checked(batch).id)

    def _checked(self, entry: Entry) -> Entry:
        """Return a file or batch that has an id. An error with status 200 has none, and is raised."""
        if not getattr(entry, "id", None):
            error = error_of(getattr(entry, "model_extra", None), server=self._server.label)
            raise error or BadReply(f"{self._server.label} sent no valid reply: {str(entry)[:200]}")
        return entry

    def find(self, mark: str) -> str | None:
        """Return the id of the batch with this mark, None if there is none."""
        with self._server.errors():
            for batch in self._client.batches.list(limit=100):
                if (batch.metadata or {}).get(_MARK) == mark:
                    return str(batch.id)
        return None

    def state(self, batch_id: str) -> BatchState:
        """Return the state of a batch.

        Raises:
            BatchFailed: the server rejected the batch as a whole, for example for too many tokens at a time.
        """
        with self._server.errors():
            batch = self._checked(self._client.batches.retrieve(batch_id))
            counts = batch.request_counts
            state = BatchState(
                batch.status, counts.completed + counts.failed if counts else 0, counts.total if counts else 0
            )
        if state.status == "failed":
            errors = batch.errors.data or [] if batch.errors else []
            reason = "; ".join(str(error.message) for error in errors) if batch.errors else "no reason"
            raise BatchFailed(
                f"{self._server.label} failed batch {batch_id}: {reason[:300]}; try fewer with --batch_requests"
            )
        return state

    def results(self, batch_id: str) -> Iterator[tuple[str, Reply | ChatError]]:
        """Yield the reply or the error of each request of a batch that has ended, without requests never begun."""
        with self._server.errors():
            batch = self._checked(self._client.batches.retrieve(batch_id))
            files = [file for file in (batch.output_file_id, batch.error_file_id) if file]
            contents = [self._client.files.content(file).content for file in files]
        for content in contents:
            for line in content.split(b"\n"):  # not splitlines: JSON need not escape other line separators
                if line.strip():
                    yield from self._result(line)

    def _result(self, line: bytes) -> Iterator[tuple[str, Reply | ChatError]]:
        """Yield the result in a line, none if it is damaged: the next batch asks for that reply again."""
        server = self._server.label
        try:
            entry = json.loads(line.removeprefix(b"\xef\xbb\xbf"), strict=False)
        except (ValueError, RecursionError) as problem:
            logger.warning("%s sent a damaged line in a batch, which is skipped (%s)", server, problem)
            return
        if isinstance(entry, dict) and "custom_id" not in entry and (error := error_of(entry, server=server)):
            with self._server.errors():
                raise error  # instead of the whole file
        if not isinstance(entry, dict) or "custom_id" not in entry:
            logger.warning("%s sent a line in a batch that names no request, which is skipped", server)
            return
        yield str(entry["custom_id"]), self._answer(entry.get("response"), entry.get("error"))

    def _answer(self, response: Any, error: Any) -> Reply | ChatError:  # noqa: ANN401
        server = self._server.label
        if not isinstance(response, dict) or not response:
            return BadReply(f"{server} did not answer a request of a batch: {json.dumps(error)[:300]}")
        status, body = response.get("status_code", 200), response.get("body")
        try:
            with self._server.errors():
                if str(status) == "200":
                    return openai_reply(body, server=server, seconds=0.0)
                raise status_error(int(status), json.dumps(body), server=server, retry_after=None)
        except ChatError as problem:
            return reply_in_refusal(problem.body) or problem
