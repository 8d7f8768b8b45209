"""Question and prediction files as they come: ours, Video-ChatGPT's, LLAVIDAL's, lmms-eval's; lists, or dicts by video.

    ours, and Video-ChatGPT's generic and temporal files   {video_name, Q, A}, with pred once answered
    ours, and Video-ChatGPT's consistency file             {video_name, Q1, Q2, A}, with pred1 and pred2
    LLAVIDAL's descriptions                                {video_name, Q, A, cons_Q1, cons_Q2, cons_A}
    lmms-eval's sets, exported to .json or .jsonl          {video_name, question, answer, question_1, question_2}

Whoever reads such a file gets the names of the first two; cons_A, a reference for the consistency metric alone, stays.
"""

import json
import re
from pathlib import Path
from typing import Any

from ski_lvlm.servers.protocol import whole_characters
from ski_lvlm.storage.json_files import NestingError, read_json

Item = dict[str, Any]
TEXTS = ("Q", "A", "Q1", "Q2", "cons_A", "pred", "pred1", "pred2")
_LLAVIDAL = {"cons_Q1": "Q1", "cons_Q2": "Q2"}
_LMMS_EVAL = {"question": "Q", "answer": "A", "question_1": "Q1", "question_2": "Q2"}
_HALF = re.compile("[\ud800-\udfff]")
_UNUSED = "None"  # what lmms-eval writes into a question that a record does not have


class RecordsError(ValueError):
    """A file is missing, or does not hold records; the message names the file and the record."""


def read_records(path: Path) -> list[Item]:
    """All records of a file in order, under our names, each with its `video_name`.

    Raises:
        RecordsError: no such file, not JSON, not records, or a record without a video or with something else than text.
    """
    content = _content(path)
    if not isinstance(content, list | dict):
        raise RecordsError(f"{path} holds {content!r:.60}; expected a list of records, or records keyed by video")
    entries = _by_video(content) if isinstance(content, dict) else [(None, entry) for entry in content]
    return [_record(entry, video, f"{path}: item {number}") for number, (video, entry) in enumerate(entries)]


def _content(path: Path) -> Any:  # noqa: ANN401
    """JSON in which halves of characters, which no file could hold again, are replaced by the character for that."""
    if not path.exists():
        raise RecordsError(f"{path} does not exist; expected a JSON file of records")
    try:
        content = read_json(path)
    except NestingError as error:
        raise RecordsError(f"{path} {str(error).removeprefix(f'{path}: ')}") from error
    except ValueError as error:
        raise RecordsError(
            f"{path} is no JSON ({str(error).removeprefix(f'{path}: ')}); expected a list of records"
        ) from error
    text = json.dumps(content, ensure_ascii=False)
    return json.loads(whole_characters(text)) if _HALF.search(text) else content


def _by_video(content: dict[str, Any]) -> list[tuple[str | None, Any]]:
    if "video_name" in content:  # one record on its own
        return [(None, content)]
    return [(v, entry) for v, value in content.items() for entry in (value if isinstance(value, list) else [value])]


def _record(entry: Any, video: str | None, where: str) -> Item:  # noqa: ANN401
    if not isinstance(entry, dict):
        raise RecordsError(f"{where} is {entry!r:.60}; expected an object {{video_name, Q, A}}")
    try:
        record = renamed({"video_name": video, **entry} if video is not None else entry)
    except ValueError as error:
        raise RecordsError(f"{where}: {error}") from error
    if not record.get("video_name"):
        raise RecordsError(f"{where} has no video_name; found {sorted(entry)}")
    for name in ("video_name", *TEXTS):
        if not isinstance(value := record.get(name), str | None):
            raise RecordsError(f"{where}: {name} is {value!r:.60}; expected a text")
    return record


def renamed(entry: Item) -> Item:
    """A record under our names; questions that it does not have are left out.

    >>> renamed({"video_name": "v", "question": "None", "answer": "x", "question_1": "a?", "question_2": "b?"})
    {'video_name': 'v', 'A': 'x', 'Q1': 'a?', 'Q2': 'b?'}

    Raises:
        ValueError: the same field under two names, with different contents.
    """
    record: Item = {}
    for theirs, value in entry.items():
        name = (_LLAVIDAL | _LMMS_EVAL).get(theirs, theirs)
        if theirs in _LMMS_EVAL and value == _UNUSED and name != "A":
            continue
        if record.get(name, value) != value:
            raise ValueError(f"{name} is given twice, by {theirs} as well; expected it once")
        record[name] = value
    return record
