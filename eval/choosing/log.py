"""The log of evidence of eval/choose.py: saved one by one, asked for once, shared between machines."""

import json
from pathlib import Path
from typing import Any

from eval.choosing.model import ChoiceTask, Evidence
from eval.items.answers import answer_key, logged_answers
from ski_lvlm.storage.files import append_jsonl
from ski_lvlm.storage.shards import WHOLE, Shard

Record = dict[str, Any]


class ChoiceLog:
    """The evidence under one set of settings, saved beside the results file `out`.

    A shard appends to its own file and reads the files of all shards. Failures are kept for this run only, so that the
    next one tries again.

    Raises:
        ValueError: as `logged_answers`.
    """

    def __init__(self, out: Path, settings: str, *, shard: Shard = WHOLE) -> None:
        self.file = out.with_name(f"{out.stem}{shard.suffix}.jsonl")
        self._settings = settings
        self._records = logged_answers(out)

    def add(self, task: ChoiceTask, evidence: Evidence | None, error: str) -> None:
        """Save the evidence for a task, or the reason why there is none."""
        record: Record = {
            "key": self._key(task),
            "video_name": task.item.video,
            "question": task.item.question,
            "answer": evidence.reply if evidence else None,
            "error": error or None,
            "order": list(task.order),
            "options": evidence.options if evidence else None,
            "letters": evidence.letters if evidence else None,
        }
        if evidence and evidence.is_cut:
            record["cut"] = True
        append_jsonl(self.file, record)
        self._records[record["key"]] = record

    def open_tasks(self, tasks: list[ChoiceTask]) -> dict[str, list[ChoiceTask]]:
        """Return the tasks of each video without evidence, each once."""
        todo: dict[str, dict[str, ChoiceTask]] = {}
        for task in tasks:
            if (key := self._key(task)) not in self._records:
                todo.setdefault(task.item.video, {})[key] = task
        return {video: list(by_key.values()) for video, by_key in todo.items()}

    def record(self, task: ChoiceTask) -> Record:
        """Return the record of a task."""
        return self._records[self._key(task)]

    def _key(self, task: ChoiceTask) -> str:
        return answer_key(task.item.video, json.dumps([task.prompt, *task.options]), self._settings)
