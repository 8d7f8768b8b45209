"""Question writing through OpenAI's Batch API: half the price, within a day, and resumable across days.

Requests that the log cannot answer are deferred and submitted in batches. When these are collected, the clips are
processed again, until no request is deferred. `batches.jsonl` records every batch before and after it is submitted.
"""

import logging
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from itertools import islice
from pathlib import Path

from data_curation.asking.asker import Asker
from data_curation.asking.budget import BudgetSpent
from data_curation.asking.reply_log import ClipRequest
from data_curation.ledger import Ledger, Record, attempt, now, read_manifest, stamped
from ski_lvlm.servers.client import Busy, ChatClient, ChatError, ModelMissing, Reply
from ski_lvlm.servers.openai_batches import BatchFailed
from ski_lvlm.storage.files import append_jsonl
from ski_lvlm.storage.shards import WHOLE, Shard

STEP = "batches"
MAX_REQUESTS = 50_000
TRIES = 3  # batches of one request before its clip counts as failed
logger = logging.getLogger(__name__)


class Deferred(Exception):
    """A request waits for a batch."""


class StillRunning(ValueError):
    """Batches are under way. The same command collects them later."""


class BatchQueue:
    """A queue that defers requests, submits them in batches, and adds the replies to an asker's log.

    Args:
        client: a client of a server that has the Batch API.
        folder: the folder of `batches.jsonl`.
        shard: the shard whose file is written.
        requests: the number of requests in a batch (OpenAI takes at most 50,000).
        poll: seconds between two checks of a batch, or None to check once and raise `StillRunning`.

    Raises:
        ValueError: the batch size is out of range.
        ChatError: the server has no Batch API.
    """

    def __init__(
        self, client: ChatClient, folder: Path, *, shard: Shard = WHOLE, requests: int = 10_000, poll: float | None = 60
    ) -> None:
        if not 1 <= requests <= MAX_REQUESTS:
            raise ValueError(f"--batch_requests is {requests}; expected 1 to {MAX_REQUESTS}, as many as OpenAI takes")
        self._client, self._api, self._poll, self._batch_size = client, client.batches(), poll, requests
        self._path = folder / f"{STEP}{shard.suffix}.jsonl"
        self._folder = folder
        self._waiting: dict[str, ClipRequest] = {}
        self._errors: dict[str, ChatError] = {}
        self._tries: Counter[str] = Counter()
        self._reserved = ExitStack()

    def send(self, request: ClipRequest) -> Reply:
        """Defer a request, as an `Asker`'s `send`.

        Raises:
            Deferred: always, unless batches had no answer.
            ChatError: batches had no answer.
        """
        key = request.digest(self._client.name)
        if key in self._errors:
            raise self._errors[key]
        if self._tries[key] >= TRIES:
            raise Busy(f"{TRIES} batches ended without an answer")
        self._waiting[key] = request
        raise Deferred

    def work_off(
        self,
        ledger: Ledger,
        keys: Mapping[str, str],
        work: Callable[[str], Record],
        *,
        asker: Asker,
        enough: Callable[[Record], bool],
        progress: Callable[[], object],
    ) -> None:
        """Work on every clip that is not final, batch after batch.

        Raises:
            StillRunning: batches are not finished, and waiting is not allowed.
            BudgetSpent: the budget does not cover the next batch.
        """
        self.collect(asker)
        todo = ledger.unfinished(keys, enough=enough)
        for _ in range(len(keys) - len(todo)):
            progress()
        while todo:
            stopped = None
            for name in list(todo):
                try:
                    result = attempt(work, name)
                except Deferred:
                    self._reserve(asker)
                    continue
                except BudgetSpent as stop:
                    stopped = stop
                    break
                ledger.append(stamped(name, keys[name], result))
                todo.remove(name)
                progress()
            self._submit()
            self.collect(asker)
            if stopped:
                raise stopped

    def _reserve(self, asker: Asker) -> None:
        """Reserve the cost of the newest request until its batch is collected."""
        request = next(reversed(self._waiting.values()))
        self._reserved.enter_context(asker.budget.reserve(asker.maximum_cost(request.chat)))

    def _submit(self) -> None:
        waiting = iter(self._waiting.items())
        while part := dict(islice(waiting, self._batch_size)):
            mark = uuid.uuid4().hex
            facts = {
                "requests": list(part),
                "clips": [request.clip for request in part.values()],
                "max_tokens": [request.chat.max_tokens for request in part.values()],
            }
            self._note(mark, "intended", model=self._client.name, **facts)
            bodies = {key: self._api.body(request.chat) for key, request in part.items()}
            self._note(mark, "submitted", id=self._client.retry(self._submit_once, bodies, mark))
        self._tries.update(list(self._waiting))
        self._waiting = {}

    def _submit_once(self, bodies: Mapping[str, dict[str, object]], mark: str) -> str:
        # An attempt whose answer was lost may have succeeded.
        return self._api.find(mark) or self._api.submit(bodies, mark=mark)

    def collect(self, asker: Asker) -> None:
        """Wait for every batch of this run or an earlier one, and log its replies.

        Raises:
            ChatError: a whole batch failed. The others are collected, and the next run submits its requests again.
            StillRunning: a batch is not finished, and waiting is not allowed.
        """
        failure: ChatError | None = None
        for mark, batch in open_batches(self._folder, self._path.stem, model=self._client.name).items():
            batch_id = batch.get("id") or self._client.retry(self._api.find, mark)
            if batch_id is None:  # a crash before the server had it
                self._note(mark, "never submitted")
                continue
            try:
                self._wait(batch_id)
                self._keep(batch_id, batch, asker)
            except (BatchFailed, ModelMissing) as error:  # other refusals, for example of a key, lose nothing
                failure = error
                self._note(mark, "lost", id=batch_id, reason=str(error))
                continue
            self._note(mark, "collected", id=batch_id)
        self._reserved.close()
        if failure:
            raise failure

    def _wait(self, batch_id: str) -> None:
        while True:
            state = self._client.retry(self._api.state, batch_id)
            if state.ended:
                return
            progress = f"batch {batch_id} is {state.status}: {state.finished} of {state.total} requests are answered"
            if self._poll is None:
                raise StillRunning(f"{progress}; run the same command again to collect it")
            logger.warning("%s; checking again in %g s", progress, self._poll)
            time.sleep(self._poll)

    def _keep(self, batch_id: str, batch: Record, asker: Asker) -> None:
        rows = zip(batch["requests"], batch["clips"], batch["max_tokens"], strict=True)
        requests = {key: (clip, max_tokens) for key, clip, max_tokens in rows}
        for key, answer in self._client.retry(lambda: list(self._api.results(batch_id))):
            if isinstance(answer, ChatError):
                if not answer.is_transient:
                    self._errors[key] = answer
            elif key in requests and asker.log.find(key) is None:
                clip, max_tokens = requests[key]
                asker.keep(clip, key, answer, max_tokens=max_tokens)

    def _note(self, mark: str, status: str, **facts: object) -> None:
        append_jsonl(self._path, {"name": mark, "status": status, **facts, "at": now()})


def open_batches(folder: Path, step: str = STEP, *, model: str) -> dict[str, Record]:
    """Return the uncollected batches of a model, by mark, of all shards or of one that `step` names."""
    batches: dict[str, Record] = {}
    for record in read_manifest(folder, step):
        batches[record["name"]] = batches.get(record["name"], {}) | record
    return {m: b for m, b in batches.items() if b["status"] in ("intended", "submitted") and b["model"] == model}
