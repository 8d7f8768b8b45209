"""Files of multiple-choice questions: LLAVIDAL's in all their forms, and plain ones of one's own.

    ours                          {video_name, question, options, answer}, or a CSV with A, B, … for the options
    LLAVIDAL, all four benchmarks {video_filename, question, answer_choices, ground_truth_letter}
    LLAVIDAL, first release       Charades-AR   {id, Q, Options, Ground Truth}, options in one text
                                  Smarthome-AR  {video_id, question, choices, ground_truth}, the right text
                                  LEMMA-TC      {video_id, start_frame, end_frame, question, choices, answer}
                                  TSU-TC        {video_path, question, options, correct_answer}

Options are a list, or an object by letter or number. The right one is named by its letter or by its text. An option
that is a list of actions is read as their sequence. A text `kind` groups the questions.
"""

import csv
import io
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from eval.choosing.items import LETTERS, ChoiceItem, same_text
from eval.choosing.option_text import options_in
from eval.items.records import json_content
from ski_lvlm.storage.text_files import read_text

_VIDEO = ("video_name", "video_filename", "video_path", "video_id", "id")
_QUESTION = ("question", "Q")
_OPTIONS = ("options", "answer_choices", "choices", "Options")
_ANSWER = ("answer", "ground_truth_letter", "correct_answer", "ground_truth", "Ground Truth")
_WANT = "expected {video_name, question, options, answer}, or LLAVIDAL's names"

Record = Mapping[str, Any]


def read_choices(path: Path) -> list[ChoiceItem]:
    """Read all questions of a file in order.

    Raises:
        ValueError: the message names the file and the record, with what is wrong and what was expected.
    """
    records = _csv_records(path) if path.suffix.lower() == ".csv" else _json_records(path)
    if not records:
        raise ValueError(f"{path} holds no question; {_WANT} for each")
    return [_item(record, f"{path}: item {number}") for number, record in enumerate(records)]


def _json_records(path: Path) -> list[Any]:
    content = json_content(path)
    if isinstance(content, dict):
        is_single = any(name in content for name in (*_QUESTION, *_OPTIONS))
        return [content] if is_single else list(content.values())
    if not isinstance(content, list):
        raise ValueError(f"{path} holds {content!r:.60}; {_WANT} for each question, in a list")
    return content


def _csv_records(path: Path) -> list[Record]:
    rows = csv.DictReader(io.StringIO(read_text(path), newline=""), strict=True, restkey="", restval="")
    try:
        records = [_csv_record(row, f"{path}: row {number}") for number, row in enumerate(rows)]
    except csv.Error as error:
        raise ValueError(f"{path}: line {rows.line_num} is no CSV ({error}); mend its quotes") from error
    names = list(rows.fieldnames or ())
    letters = [name for name in names if name in LETTERS and name]
    if {"video_name", "question", "answer"} - set(names) or letters != list(LETTERS[: len(letters)]) or not letters:
        raise ValueError(f"{path}: found the columns {names}, expected video_name, question, A, B, … and answer")
    return records


def _csv_record(row: dict[str, Any], source: str) -> Record:
    if "" in row:
        raise ValueError(f"{source} has more cells than columns; put texts with commas in quotes")
    options = [row[letter] for letter in LETTERS if letter in row]
    while options and not options[-1]:  # a question with fewer options than the widest one
        options.pop()
    return {**{name: row.get(name) for name in ("video_name", "question", "answer", "kind")}, "options": options}


def _item(record: Any, source: str) -> ChoiceItem:  # noqa: ANN401
    if not isinstance(record, dict):
        raise ValueError(f"{source} is {record!r:.60}; {_WANT}")
    question = _text(_field(record, _QUESTION, source), "question", source)
    options = _options(_field(record, _OPTIONS, source), source)
    right = _right(_field(record, _ANSWER, source), options, source)
    kind = record.get("kind") or ""
    if not isinstance(kind, str):
        raise ValueError(f"{source}: kind is {kind!r:.60}; expected a text")
    return ChoiceItem(_video(record, source), question, tuple(options.values()), right, kind)


def _field(record: Record, names: tuple[str, ...], source: str) -> Any:  # noqa: ANN401
    """Return the one field that has one of these names."""
    present = [name for name in names if record.get(name) is not None]
    if not present:
        raise ValueError(f"{source} has none of {', '.join(names)}; found {sorted(map(str, record))}; {_WANT}")
    if len(present) > 1 and any(record[name] != record[present[0]] for name in present):
        raise ValueError(f"{source} has {' and '.join(present)}, and they differ; expected one of them")
    return record[present[0]]


def _video(record: Record, source: str) -> str:
    name = _text(_field(record, _VIDEO, source), "video", source)
    if {"start_frame", "end_frame"} <= set(record):  # LEMMA-TC: a stretch of a recording is a file of its own
        return f"{name}_{record['start_frame']}_{record['end_frame']}"
    # Smarthome-AR's first release has paths of the authors' machine.
    return PurePosixPath(name).name if "video_id" in record and name.startswith("/") else name


def _text(value: Any, name: str, source: str) -> str:  # noqa: ANN401
    if isinstance(value, list) and value and all(isinstance(part, str) for part in value):
        value = ", ".join(value)
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{source}: {name} is {value!r:.60}; expected a text")
    return value.strip()


def _options(value: Any, source: str) -> dict[str, str]:  # noqa: ANN401
    """Return the options by letter or number."""
    if isinstance(value, str):
        value = options_in(value)
    if isinstance(value, list):
        value = dict(zip(LETTERS, value)) if len(value) <= len(LETTERS) else dict(enumerate(value))
    if not isinstance(value, dict) or not 2 <= len(value) <= len(LETTERS):
        count = f"{len(value)} options" if isinstance(value, dict) else repr(value)[:60]
        raise ValueError(f"{source}: found {count}, expected 2 to {len(LETTERS)}, in a list or by letter")
    return {str(key): _text(option, f"option {key}", source) for key, option in value.items()}


def _right(value: Any, options: Mapping[str, str], source: str) -> int:  # noqa: ANN401
    """Return the number of the option that a letter or a text names."""
    text = same_text(_text(str(value) if isinstance(value, int) else value, "answer", source))
    keys = [same_text(key) for key in options]
    by_key = [keys.index(key)] if (key := text.strip("().")) in keys else []
    by_text = [number for number, option in enumerate(options.values()) if same_text(option) == text]
    if by_key and by_text and by_key[0] not in by_text:
        raise ValueError(f"{source}: the answer {value!r} is the letter of one option and the text of another")
    if not (by_key or by_text):
        raise ValueError(
            f"{source}: the answer is {value!r:.60}, expected one of the letters {', '.join(options)} or the text of "
            "an option"
        )
    return (by_key or by_text)[0]
