"""JSON as people really have it: cut off, one list behind another, JSON lines, a byte order mark, some other file."""

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

_LARGEST = 2 * 1024**3  # bytes; 100,000 pairs are about 60 MB
_TOKEN = 6  # characters of an escape such as \u00e9: an error in the last token is where the file was cut off
_SPACE = re.compile(r"\s*")


class Loaded(NamedTuple):
    """What a file holds, and what in it will stop a strict reader although this one went on."""

    content: Any
    faults: list[str]


def load_json(file: Path) -> Loaded:
    """Read a whole JSON file; several lists or objects one after another become one list, and a fault.

    Raises:
        ValueError: no such file, not JSON text, or cut off; with the line and what to do.
    """
    raw = _read(file)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{file}: byte {error.start} is not UTF-8 text; save the file as UTF-8") from error
    faults = ["begins with a byte order mark; save it as UTF-8 without one"] if raw[:3] == b"\xef\xbb\xbf" else []
    values, repeated = _values(text, file)
    faults += [f"the key {key!r} occurs twice in one object, and only its last value is read" for key in repeated]
    if len(values) == 1:
        return Loaded(values[0], faults)
    if all(isinstance(value, list) for value in values):
        faults.append(f"holds {len(values)} lists one after another (appended to by a second run?); make them one list")
        return Loaded([record for value in values for record in value], faults)
    faults.append(f"holds {len(values)} values one after another (JSON lines); make them one list")
    return Loaded(values, faults)


def _read(file: Path) -> bytes:
    if file.is_dir():
        raise ValueError(f"{file}: is a folder; give the file in it")
    if not file.is_file():
        raise ValueError(f"{file}: no such file; check its name")
    if (size := file.stat().st_size) > _LARGEST:
        raise ValueError(f"{file}: has {size / 1e9:.1f} GB, expected an instruction file (100,000 pairs are 0.06 GB)")
    with file.open("rb") as stream:
        head = stream.read(64)
        start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
        if not head:
            raise ValueError(f"{file}: is empty; it was not written to its end, so make it again")
        if start and start[:1] not in b"[{":
            raise ValueError(f"{file}: begins with {start[:12]!r}, expected a JSON list ('[') of records or Parquet")
        return head + stream.read()


def _values(text: str, file: Path) -> tuple[list[Any], list[str]]:
    """The JSON values of a text, and the keys that an object has twice."""
    repeated: dict[str, None] = {}

    def record(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) < len(pairs):
            names = [name for name, _ in pairs]
            repeated.update((name, None) for name in made if names.count(name) > 1)
        return made

    decoder = json.JSONDecoder(object_pairs_hook=record)
    values: list[Any] = []
    position = _after_space(text, 0)
    while position < len(text):
        try:
            value, position = decoder.raw_decode(text, position)
        except json.JSONDecodeError as error:
            raise ValueError(f"{file}: {_told(error, text, after=len(values))}") from error
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{file}: not usable JSON ({error}); make the file again") from error
        values.append(value)
        position = _after_space(text, position)
    if not values:
        raise ValueError(f"{file}: holds nothing but spaces; make it again")
    return values, list(repeated)


def _after_space(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    return match.end() if match else position


def _told(error: json.JSONDecodeError, text: str, *, after: int) -> str:
    whole = f" after {after} whole values" if after else ""
    kept = text.rstrip()
    in_last_token = error.pos >= len(kept) - _TOKEN and kept[-1] not in "]}"
    if error.pos >= len(kept) or in_last_token or error.msg.startswith("Unterminated string"):
        return (
            f"is cut off in line {kept.count(chr(10)) + 1}{whole} ({error.msg}); it was not written or copied to its "
            "end, so make or copy it again"
        )
    return f"is not JSON: line {error.lineno}, column {error.colno}{whole}: {error.msg}; mend it there"
