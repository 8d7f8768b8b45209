"""Charades: untrimmed videos with spans of 157 actions in CSV files, without skeletons.

Source: Sigurdsson, Varol, Wang, Farhadi, Laptev, Gupta, "Hollywood in homes: crowdsourcing data collection for activity
understanding", ECCV 2016.
"""

import csv
import re
from collections.abc import Iterator
from pathlib import Path

from ski_lvlm.datasets.converters.conversion import Conversion, Row
from ski_lvlm.datasets.converters.files import files_of, none_of, videos_of
from ski_lvlm.storage.text_files import read_text

_COLUMNS = ("id", "actions")
_CLASS = re.compile(r"(c\d{3})\s+(.+)")
_PARTS = ("train", "test")


def convert(root: Path) -> Conversion:
    """Return the spans of actions of all videos that a folder holds.

    A video's part is that of its CSV file. A span that reaches beyond its video ends with it.

    Raises:
        ValueError: no table of training or test videos, no names of classes, or no video.
    """
    tables = [path for path in files_of(root, ".csv") if _part(path)]
    lists = [path for path in files_of(root, ".txt") if "classes" in path.stem.lower()]
    if not tables or not lists:
        raise none_of(root, "Charades_v1_train.csv, Charades_v1_test.csv, Charades_v1_classes.txt and videos")
    names = _class_names(lists[0])
    skipped: dict[str, str] = {}
    records = [(record, _part(table)) for table in tables for record in _records(table, skipped)]
    videos, several = videos_of(root, {record["id"] for record, _ in records})
    clips: list[Row] = []
    for record, part in records:
        if record["id"] not in videos:
            skipped[record["id"]] = "no video of this name"
            continue
        columns = {column: record[column] for column in ("subject", "scene") if record.get(column)}
        for clip in _spans(record, names, skipped):
            clips.append({**clip, "video": videos[record["id"]], "part": part, **columns})
    description = {
        "name": "charades",
        "classes": [{"id": word, "name": name} for word, name in names.items()],
        "protocols": {"official": {"train": {"part": "train"}, "test": {"part": "test"}}},
    }
    return Conversion(description, clips, [*tables, lists[0]], skipped | several)


def _part(table: Path) -> str:
    return next((part for part in _PARTS if part in table.stem.lower()), "")


def _class_names(file: Path) -> dict[str, str]:
    """Return the names of the classes by their words c000 to c156."""
    names = {m[1]: m[2].strip() for line in read_text(file).splitlines() if (m := _CLASS.fullmatch(line.strip()))}
    if not names:
        raise ValueError(f"{file}: found no line such as 'c000 Holding some clothes'; copy it again")
    return names


def _records(table: Path, skipped: dict[str, str]) -> Iterator[dict[str, str]]:
    """Yield the lines of a table. Another CSV file is skipped."""
    rows = csv.DictReader(read_text(table).splitlines(keepends=True))
    if not set(_COLUMNS) <= set(rows.fieldnames or ()):
        skipped[str(table)] = f"found the columns {rows.fieldnames}; expected at least {', '.join(_COLUMNS)}"
        return
    for row in rows:
        if row["id"]:
            yield {column: value for column, value in row.items() if column and isinstance(value, str)}


def _spans(record: dict[str, str], names: dict[str, str], skipped: dict[str, str]) -> Iterator[Row]:
    """Yield the clips of a video: its spans of `cNNN start end`, in seconds."""
    length = float(record["length"]) if _is_number(record.get("length", "")) else float("inf")
    for number, text in enumerate(filter(None, record.get("actions", "").split(";")), start=1):
        clip, words = f"{record['id']}_{number:02}", text.split()
        if len(words) != 3 or words[0] not in names or not all(map(_is_number, words[1:])):
            skipped[clip] = f"found the action {text!r}; expected a class, start and end, such as 'c092 11.90 21.20'"
            continue
        start, end = float(words[1]), min(float(words[2]), length)
        if not 0 <= start < end:
            skipped[clip] = f"its span is {start} to {end} seconds; expected ascending times in the video"
            continue
        yield {"clip": clip, "class": names[words[0]], "start": start, "end": end}


def _is_number(text: str) -> bool:
    return re.fullmatch(r"\d+(?:\.\d+)?", text) is not None
