"""The log of answers of eval/describe.py: saved one by one, asked for once, shared between machines."""

import glob
import json
from pathlib import Path
from typing import NamedTuple

from eval.items.questions import questions_of
from eval.items.records import Item
from ski_lvlm.storage.digests import digest
from ski_lvlm.storage.files import append_jsonl, read_jsonl
from ski_lvlm.storage.shards import WHOLE, Shard

_FIELDS = {"key", "video_name", "question", "answer", "error"}
_PREFIX = b'{"key": "'


class Answer(NamedTuple):
    """The answer to one question about one video, or the reason why there is none."""

    video: str
    question: str
    text: str | None
    error: str | None = None
    cut: bool = False  # at --max_new_tokens


def answer_key(video: str, question: str, settings: str) -> str:
    """Return the key of an answer. `settings` covers the model, the folder of videos and the sampling."""
    return digest(json.dumps([settings, video, question]))


def logged_answers(out: Path) -> dict[str, Item]:
    """Return the records of all answers beside the predictions file `out`, by key, also those of its shards.

    Raises:
        ValueError: one of the files holds something else.
    """
    parts = sorted(out.parent.glob(f"{glob.escape(out.stem)}.*-of-*.jsonl"))
    records = [record for file in (out.with_suffix(".jsonl"), *parts) for record in _records(file)]
    return {record["key"]: record for record in records if record["answer"] is not None}


def _records(file: Path) -> list[Item]:
    # Checked before the records, since a line torn by a crash is no record, but begins like one.
    if file.exists() and not _PREFIX.startswith(prefix := file.read_bytes()[: len(_PREFIX)]):
        raise _foreign(file, f"it begins with {prefix!r}")
    records = read_jsonl(file)
    for number, record in enumerate(records):
        if missing := _FIELDS - set(record):
            raise _foreign(file, f"record {number} has no {', '.join(sorted(missing))}")
    return records


def _foreign(file: Path, content: str) -> ValueError:
    return ValueError(
        f"{file}, where answers are saved, holds something else: {content}, expected records with "
        f"{', '.join(sorted(_FIELDS))}; choose another --out or move that file"
    )


class AnswerLog:
    """The answers under one set of settings, saved beside the predictions file `out`.

    A shard appends to its own file (`predictions.2-of-8.jsonl`) and reads the files of all shards. Failures are kept
    for this run only, so that the next one tries again.

    Raises:
        ValueError: as `logged_answers`.
    """

    def __init__(self, out: Path, settings: str, *, shard: Shard = WHOLE) -> None:
        self.file = out.with_name(f"{out.stem}{shard.suffix}.jsonl")
        self._settings = settings
        self._records = logged_answers(out)

    def add(self, answer: Answer) -> None:
        """Save an answer."""
        record: Item = {
            "key": answer_key(answer.video, answer.question, self._settings),
            "video_name": answer.video,
            "question": answer.question,
            "answer": answer.text,
            "error": answer.error,
        }
        if answer.cut:
            record["cut"] = True
        append_jsonl(self.file, record)
        self._records[record["key"]] = record

    def unanswered(self, items: list[Item]) -> dict[str, list[str]]:
        """Return the unanswered questions of each video, each wording once."""
        todo: dict[str, list[str]] = {}
        for item in items:
            video = item["video_name"]
            for question in questions_of(item).values():
                if self._key(video, question) not in self._records and question not in todo.get(video, []):
                    todo.setdefault(video, []).append(question)
        return todo

    def answered(self, item: Item) -> Item:
        """Return the item with pred, pred1, pred2, or null and a reason where the video could not be read."""
        records = self._of(item)
        errors = {record["error"] for record in records.values() if record["error"]}
        # The item may come from a predictions file with an error of an earlier run.
        question = {name: value for name, value in item.items() if name != "error"}
        answered = question | {field: record["answer"] for field, record in records.items()}
        return answered | {"error": "; ".join(sorted(errors))} if errors else answered

    def cut(self, items: list[Item]) -> list[tuple[str, str]]:
        """Return (video, question) of each answer that was cut at its maximum length, each once."""
        cut = ((r["video_name"], r["question"]) for item in items for r in self._of(item).values() if r.get("cut"))
        return list(dict.fromkeys(cut))

    def _of(self, item: Item) -> dict[str, Item]:
        return {f: self._records[self._key(item["video_name"], question)] for f, question in questions_of(item).items()}

    def _key(self, video: str, question: str) -> str:
        return answer_key(video, question, self._settings)
