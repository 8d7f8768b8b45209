"""The file of grades, JSON lines: each grade with all that led to it, on the disk before it counts."""

import json
import threading
from collections.abc import Collection
from pathlib import Path
from typing import Any

from ski_lvlm.storage.files import append_jsonl, atomic_path, read_jsonl

Record = dict[str, Any]


def is_score(value: object) -> bool:
    """Whether a value of a file is a score: a number from 0 to 5, which neither NaN nor a truth value is.

    >>> [is_score(value) for value in (0, 4.8, 7, -1, float("nan"), True, "4", None)]
    [True, True, False, False, False, False, False, False]
    """
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 5


class Judgements:
    """The grades of one run. Those of other runs in the same folder (other predictions, judge, rubrics or settings)
    are put aside into `earlier_judgements.jsonl`, and come back when they are wanted again. Safe to share between
    threads of one process.

    Raises:
        OSError: a file cannot be written.
    """

    def __init__(self, path: Path, wanted: Collection[str]) -> None:
        self._path, self._lock = path, threading.Lock()
        aside = path.with_name(f"earlier_{path.name}")
        here, earlier = _records(path), _records(aside)
        own = [record for record in here if _id(record) in wanted]
        foreign = [record for record in here if _id(record) not in wanted]
        ids = set(map(_id, own))
        back = [record for record in earlier if _id(record) in wanted and _id(record) not in ids]
        if foreign or back:
            known = set(map(_line, earlier))
            append_jsonl(aside, *[record for record in foreign if _line(record) not in known])
            _rewrite(path, own + back)
        self._here = own + back

    def settled(self, *, again: bool = False) -> dict[str, Record]:
        """The last grades by id, without those that are to be asked for again: what failed, always.

        Args:
            again: whether unread replies at temperature 0 are asked for again as well. The same question then brings
                the same reply, as far as the judge keeps to its temperature.
        """
        last = {record["id"]: record for record in self._here if isinstance(record.get("digest"), str | None)}
        return {key: r for key, r in last.items() if is_score(r.get("score")) or (not again and _unread_for_ever(r))}

    def append(self, record: Record) -> None:
        """Keep a grade.

        Raises:
            OSError: the file cannot be written.
        """
        try:
            with self._lock:
                append_jsonl(self._path, record)
        except OSError as error:
            raise OSError(f"cannot write {self._path} ({error}); make room there, the same command goes on") from error


def _records(path: Path) -> list[Record]:
    return [record for record in read_jsonl(path) if isinstance(record, dict)]


def _id(record: Record) -> str | None:
    """The id of a record; None where there is none, or what somebody's hand wrote there is no text."""
    found = record.get("id")
    return found if isinstance(found, str) else None


def _unread_for_ever(record: Record) -> bool:
    unparsed = record.get("score") is None and str(record.get("reason")).startswith("unparsed")
    return unparsed and record.get("temperature") == 0 and "temperature" not in (record.get("not_told") or ())


def _line(record: Record) -> str:
    return json.dumps(record, sort_keys=True)


def _rewrite(path: Path, records: list[Record]) -> None:
    with atomic_path(path) as temporary:
        append_jsonl(temporary, *records)
