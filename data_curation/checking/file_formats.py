"""Reading of question and answer files in several formats, which are recognised by their content.

conversations    ours, LLaVA's, Video-ChatGPT's, LLAVIDAL's, SKI-Models': {id, video, conversations} and more
question lists   {video_name, Q, A, Q1, Q2}: ours, also with pred, and LLAVIDAL's with cons_Q1, cons_Q2, cons_A
raw pairs        {q, a, video_id} (Video-ChatGPT), [{Q, A}, …, {id}] a video (LLAVIDAL, SKI-Models), or by video
Parquet          as data_curation/results/dataset.py writes it
"""

import itertools
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from data_curation.checking.question_records import Entry, QuestionPair, Record, broken, question_entry
from data_curation.results.dataset import read_dataset
from ski_lvlm.datasets.instruction_file import Conversation, examine
from ski_lvlm.storage.clip_names import clip_name
from ski_lvlm.storage.json_files import load_json

_SAMPLE = 1000  # records by which a format is recognised
_CLIP_KEYS = ("video_name", "video_id", "clip")
_EXPECTED = "conversations, or video_name with Q and A, or video_id with q and a, or lists of {Q, A} by video"


class QuestionTable(NamedTuple):
    """A file: the name of its format, its records, errors of the file itself, and notes."""

    format: str
    entries: list[Entry]
    faults: list[str]
    notes: list[str] = []  # noqa: RUF012 (never changed)


def read_table(file: Path, *, drop: Collection[str] = ()) -> QuestionTable:
    """Read a file in any of the formats. `drop` names modalities of conversations to ignore.

    Raises:
        ValueError: the file cannot be read, is empty, or is in none of the formats.
        ImportError: a Parquet file, but pyarrow is missing.
    """
    if file.suffix == ".parquet" and file.is_file():
        rows = read_dataset(file)
        _check_filled(rows, file)
        return QuestionTable("Parquet", [_row(number, row) for number, row in enumerate(rows)], [])
    content, faults, notes = load_json(file)
    if isinstance(content, dict) and {"conversations", *_CLIP_KEYS} & set(content):
        content, faults = [content], [*faults, "holds one record; expected a list of records"]
    _check_filled(content, file)
    try:
        name, entries = _recognised(content, drop)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
    return QuestionTable(name, list(entries), faults, notes)


def _check_filled(content: Any, file: Path) -> None:  # noqa: ANN401
    if not isinstance(content, list | dict) or not content:
        raise ValueError(f"{file}: found {content!r:.40}, expected a list of records that is not empty")


def _recognised(content: Any, drop: Collection[str]) -> tuple[str, Iterator[Entry]]:  # noqa: ANN401
    if isinstance(content, dict):
        keys = _keys(itertools.chain.from_iterable(map(_items, content.values())))
        if {"Q", "q", "question", "Q1", "cons_Q1"} & keys:
            return f"{_question_list(keys)}, keyed by video", _grouped(content.items())
        raise ValueError(f"found an object with keys such as {next(iter(content))!r:.60}; expected {_EXPECTED}")
    keys = _keys(content)
    if "conversations" in keys:
        return f"{_dialect(content[:_SAMPLE], keys)} conversations", _conversations(content, drop)
    if set(_CLIP_KEYS) & keys:
        return _question_list(keys), itertools.starmap(_flat, enumerate(content))
    if any(isinstance(record, list) for record in content[:_SAMPLE]):
        return "LLAVIDAL/SKI-Models raw pairs", _grouped(map(_video_of, content))
    sample = f"the keys {', '.join(sorted(keys))}" if keys else f"{content[0]!r:.40}"
    raise ValueError(f"found records with {sample:.200}; expected {_EXPECTED}")


def _keys(records: Iterable[Any]) -> set[str]:
    return {key for record in itertools.islice(records, _SAMPLE) if isinstance(record, dict) for key in record}


def _dialect(records: list[Any], keys: set[str]) -> str:
    """Return the project of conversations, by its keys and placeholders."""
    text = "".join(str(record.get("conversations")) for record in records if isinstance(record, dict))
    if "object" in keys or "<human_pose>" in text or "<object>" in text:
        return "LLAVIDAL"
    if "skeleton" in keys or "<skeleton>" in text:
        return "SKI-LVLM"
    return "SKI-Models" if "pose" in keys or "<pose>" in text else "LLaVA/Video-ChatGPT"


def _question_list(keys: set[str]) -> str:
    if any(key.startswith("cons_") for key in keys):
        return "LLAVIDAL descriptions"
    if "video_id" in keys:
        return "Video-ChatGPT raw pairs"
    if {"pred", "pred1", "pred2"} & keys:
        return "predictions"
    return "questions" if {"video_name", "Q1"} & keys else "raw pairs"


def _conversations(records: list[Any], drop: Collection[str]) -> Iterator[Entry]:
    for record, examined in zip(records, examine(records, drop=drop), strict=True):
        record_id = record.get("id") if isinstance(record, dict) else None
        name = None if record_id is None else str(record_id)
        talk = examined.conversation
        if talk is None:
            yield broken(examined.number, examined.problems, name=name)
        else:
            video, skeleton = (clip_name(clip) if clip else None for clip in (talk.video, talk.skeleton))
            yield Entry(examined.number, name, video, skeleton, _turn_pairs(talk), ())


def _turn_pairs(talk: Conversation) -> tuple[QuestionPair, ...]:
    texts = [turn.text.replace("<video>", "").replace("<skeleton>", "").strip() for turn in talk.turns]
    return tuple(map(QuestionPair, texts[::2], texts[1::2]))


def _row(number: int, row: Record) -> Entry:
    entry = _flat(number, row)
    return entry._replace(skeleton=entry.video if row.get("has_skeleton") else None)


def _flat(number: int, record: Any) -> Entry:  # noqa: ANN401
    if not isinstance(record, dict):
        return broken(number, [f"found {record!r:.40}; expected an object"])
    video = next((record[key] for key in _CLIP_KEYS if record.get(key) is not None), None)
    return question_entry(number, video, record)


def _items(group: Any) -> list[Any]:  # noqa: ANN401
    return group if isinstance(group, list) else [group]


def _video_of(group: Any) -> tuple[Any, Any]:  # noqa: ANN401
    """Return the video in the last element of a list, and the list without that element."""
    if isinstance(group, list) and group and isinstance(group[-1], dict) and set(group[-1]) == {"id"}:
        return group[-1]["id"], group[:-1]
    return None, group


def _grouped(groups: Iterable[tuple[Any, Any]]) -> Iterator[Entry]:
    for number, (video, group) in enumerate(groups):
        key = video if isinstance(video, str) else number
        for index, item in enumerate(_items(group)):
            if isinstance(item, dict):
                yield question_entry(f"{key}[{index}]", video, item)
            else:
                yield broken(f"{key}[{index}]", [f"found {item!r:.40}; expected an object with Q and A"])
        if group == []:
            yield broken(f"{key}[]", ["the video has no pairs"])
