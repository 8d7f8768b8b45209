"""The file of grades, in JSON lines: each grade with the conversation that led to it."""

import json
import threading
from collections.abc import Collection
from pathlib import Path
from typing import Any

from ski_lvlm.storage.files import append_jsonl, atomic_path, read_jsonl

Record = dict[str, Any]


def is_score(value: object) -> bool:
    """Return whether a value is a score: a number from 0 to 5, but neither NaN nor a boolean.

    >>> [is_score(value) for value in (0, 4.8, 7, -1, float("nan"), True, "4", None)]
    [True, True, False, False, False, False, False, False]
    """
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 5


class GradeFile:
    """The grades of one run, shared by the threads of one process.

    Grades of other runs in the same folder (other predictions, judge, rubrics or settings) move to
    `earlier_judgements.jsonl`, and come back when they are needed again.

    Args:
        path: the file.
        ids: the ids of this run's grades.

    Raises:
        OSError: a file cannot be written.
    """

    def __init__(self, path: Path, ids: Collection[str]) -> None:
        self._path, self._lock = path, threading.Lock()
        earlier_path = path.with_name(f"earlier_{path.name}")
        records, earlier = _records(path), _records(earlier_path)
        current = [record for record in records if _id(record) in ids]
        foreign = [record for record in records if _id(record) not in ids]
        current_ids = set(map(_id, current))
        back = [record for record in earlier if _id(record) in ids and _id(record) not in current_ids]
        if foreign or back:
            lines = set(map(_line, earlier))
            append_jsonl(earlier_path, *[record for record in foreign if _line(record) not in lines])
            with atomic_path(path) as temporary:
                append_jsonl(temporary, *current, *back)
        self._records = current + back

    def settled(self, *, again: bool = False) -> dict[str, Record]:
        """Return the last grades by id, without failures, which are to be asked for again.

        Args:
            again: whether to leave out also unreadable replies at temperature 0. The same question then brings the same
                reply, as far as the judge respects its temperature.
        """
        last = {record["id"]: record for record in self._records if isinstance(record.get("digest"), str | None)}
        return {
            key: r for key, r in last.items() if is_score(r.get("score")) or (not again and _is_unreadable_for_ever(r))
        }

    def append(self, record: Record) -> None:
        """Save a grade.

        Raises:
            OSError: the file cannot be written.
        """
        try:
            with self._lock:
                append_jsonl(self._path, record)
        except OSError as error:
            raise OSError(
                f"cannot write {self._path} ({error}); make room there and run the same command again to resume"
            ) from error


def _records(path: Path) -> list[Record]:
    return [record for record in read_jsonl(path) if isinstance(record, dict)]


def _id(record: Record) -> str | None:
    value = record.get("id")
    return value if isinstance(value, str) else None  # a hand-edited file may hold anything


def _is_unreadable_for_ever(record: Record) -> bool:
    unparsed = record.get("score") is None and str(record.get("reason")).startswith("unparsed")
    return unparsed and record.get("temperature") == 0 and "temperature" not in (record.get("not_told") or ())


def _line(record: Record) -> str:
    return json.dumps(record, sort_keys=True)
