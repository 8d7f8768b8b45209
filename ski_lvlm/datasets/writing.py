"""Writing of a data set folder: `dataset.json` to read and edit, and `clips.csv`."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ski_lvlm.storage.files import atomic_path

_WIDTH = 120
_FIRST = ("clip", "class", "video", "skeleton", "start", "end", "start_frame", "end_frame")


def write_data_set(out: Path, description: Mapping[str, Any], clips: Sequence[Mapping[str, str | int | float]]) -> None:
    """Write the description and the table of clips. Files in the folder itself are named relative to it.

    Columns stand in the order in which the clips have them, behind the ones that every data set knows.
    """
    out = Path(out)
    with atomic_path(out / "dataset.json") as temporary:
        temporary.write_text(readable(description) + "\n", encoding="utf-8")
    columns = dict.fromkeys(column for clip in clips for column in clip)
    ordered = [*(column for column in _FIRST if column in columns), *(c for c in columns if c not in _FIRST)]
    with atomic_path(out / "clips.csv") as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ordered, lineterminator="\n")
        writer.writeheader()
        writer.writerows(_relative(clip, out.resolve()) for clip in clips)


def _relative(clip: Mapping[str, str | int | float], folder: Path) -> dict[str, str | int | float]:
    files = {column: Path(str(clip[column])) for column in ("video", "skeleton") if clip.get(column)}
    inside = {c: file.relative_to(folder).as_posix() for c, file in files.items() if file.is_relative_to(folder)}
    return {**clip, **inside}


def readable(value: Any, *, indent: int = 0) -> str:  # noqa: ANN401
    """Return JSON whose short lists and objects stand on one line each.

    >>> print(readable({"name": "a", "classes": [{"name": "wave"}, {"name": "x" * 120}]}))  # doctest: +ELLIPSIS
    {
      "name": "a",
      "classes": [
        {"name": "wave"},
        ...
    }
    """
    short = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, dict | list) or (indent and indent + len(short) <= _WIDTH):
        return short
    space = " " * (indent + 2)
    if isinstance(value, dict):
        lines = [
            f"{space}{json.dumps(key, ensure_ascii=False)}: {readable(v, indent=indent + 2)}"
            for key, v in value.items()
        ]
    else:
        lines = [space + readable(entry, indent=indent + 2) for entry in value]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    return f"{opening}\n" + ",\n".join(lines) + f"\n{' ' * indent}{closing}"
