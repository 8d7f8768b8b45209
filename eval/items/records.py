"""Question and prediction files in the formats of several projects, as lists or as dicts by video.

    ours, and Video-ChatGPT's generic and temporal files   {video_name, Q, A}, with pred once answered
    ours, and Video-ChatGPT's consistency file             {video_name, Q1, Q2, A}, with pred1 and pred2
    LLAVIDAL's descriptions                                {video_name, Q, A, cons_Q1, cons_Q2, cons_A}
    lmms-eval's sets, exported to .json or .jsonl          {video_name, question, answer, question_1, question_2}

All are read into the names of the first two. cons_A, a reference for the consistency metric alone, stays.
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
_SURROGATE = re.compile("[\ud800-\udfff]")
_UNUSED = "None"  # in lmms-eval's files a question that a record does not have


def read_records(path: Path) -> list[Item]:
    """Read all records of a file in order, under our names, each with its `video_name`.

    Raises:
        ValueError: the message names the file and the record.
    """
    content = json_content(path)
    if not isinstance(content, list | dict):
        raise ValueError(f"{path} holds {content!r:.60}; expected a list of records, or records keyed by video")
    entries = _by_video(content) if isinstance(content, dict) else [(None, entry) for entry in content]
    return [_record(entry, video, f"{path}: item {number}") for number, (video, entry) in enumerate(entries)]


def json_content(path: Path) -> Any:  # noqa: ANN401
    """Read JSON and replace lone surrogates, which no file could hold again, by the replacement character.

    Raises:
        ValueError: no such file, or no JSON.
    """
    if not path.exists():
        raise ValueError(f"{path} does not exist; expected a JSON file of records")
    try:
        content = read_json(path)
    except NestingError as error:
        raise ValueError(f"{path} {str(error).removeprefix(f'{path}: ')}") from error
    except ValueError as error:
        raise ValueError(
            f"{path} is no JSON ({str(error).removeprefix(f'{path}: ')}); expected a list of records"
        ) from error
    text = json.dumps(content, ensure_ascii=False)
    return json.loads(whole_characters(text)) if _SURROGATE.search(text) else content


def _by_video(content: dict[str, Any]) -> list[tuple[str | None, Any]]:
    if "video_name" in content:  # one record on its own
        return [(None, content)]
    return [(v, entry) for v, value in content.items() for entry in (value if isinstance(value, list) else [value])]


def _record(entry: Any, video: str | None, source: str) -> Item:  # noqa: ANN401
    if not isinstance(entry, dict):
        raise ValueError(f"{source} is {entry!r:.60}; expected an object {{video_name, Q, A}}")
    try:
        record = renamed({"video_name": video, **entry} if video is not None else entry)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error
    if not record.get("video_name"):
        raise ValueError(f"{source} has no video_name; found {sorted(entry)}")
    for name in ("video_name", *TEXTS):
        if not isinstance(value := record.get(name), str | None):
            raise ValueError(f"{source}: {name} is {value!r:.60}; expected a text")
    return record


def renamed(entry: Item) -> Item:
    """Return a record under our names, without the questions that it does not have.

    >>> renamed({"video_name": "v", "question": "None", "answer": "x", "question_1": "a?", "question_2": "b?"})
    {'video_name': 'v', 'A': 'x', 'Q1': 'a?', 'Q2': 'b?'}

    Raises:
        ValueError: the same field under two names, with different contents.
    """
    record: Item = {}
    for source_name, value in entry.items():
        name = (_LLAVIDAL | _LMMS_EVAL).get(source_name, source_name)
        if source_name in _LMMS_EVAL and value == _UNUSED and name != "A":
            continue
        if record.get(name, value) != value:
            raise ValueError(f"{name} is given twice, by {source_name} as well; expected it once")
        record[name] = value
    return record
