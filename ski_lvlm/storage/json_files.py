"""JSON files in every form they come in: with a byte order mark, one record a line, cut off, several lists.

Every command reads other people's JSON through `read_json`, so that a file means the same to all of them.
"""

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

from ski_lvlm.storage.text_files import decoded, encoding_of, is_gzip, read_bytes

_LARGEST = 16 * 1024**3  # bytes; 100,000 pairs are about 60 MB
_TOKEN = 6  # characters of an escape such as \u00e9: an error in the last token is where the file was cut off
_SPACE = re.compile(r"[\s\ufeff]*")  # a mark stands also where files were put one behind the other
_BEGINNINGS = '[{"-0123456789'
_CONSTANTS = {"NaN": None, "Infinity": float("inf"), "-Infinity": float("-inf")}


class JsonFile(NamedTuple):
    """Content of a file, with its oddities.

    `faults` lose something in other readers. `notes` are oddities that others may refuse.
    """

    content: Any
    faults: list[str]
    notes: list[str]


def read_json(file: Path) -> Any:  # noqa: ANN401
    """Return the content of a JSON file. One record a line becomes a list of records, and NaN becomes None.

    NaN is no JSON. Tables written by pandas have it where a value is missing.

    Raises:
        ValueError: no such file, no JSON text, cut off, or content that would be lost.
    """
    loaded = load_json(file)
    if loaded.faults:
        raise ValueError(f"{file}: {loaded.faults[0]}")
    return loaded.content


def load_json(file: Path) -> JsonFile:
    """Return the content of a JSON file with its oddities. See `read_json`.

    Raises:
        ValueError: no such file, no JSON text, or cut off.
    """
    raw = _read(file)
    text = decoded(raw, file)
    values, repeated = _values(text, file)
    faults = [f"the key {key!r} occurs twice in one object, and only its last value is read" for key in repeated]
    notes = [] if text.encode().startswith(raw[:3]) else [f"is in {encoding_of(raw).upper()}; some programs want UTF-8"]
    if len(values) == 1 and (isinstance(values[0], list) or not is_json_lines(file)):
        return JsonFile(values[0], faults, notes)
    if all(isinstance(value, list) for value in values):
        faults.append(f"holds {len(values)} lists one after another (appended to by a second run?); make them one list")
        return JsonFile([record for value in values for record in value], faults, notes)
    if not is_json_lines(file):
        notes.append(f"holds {len(values)} values one after another (JSON lines); name it .jsonl, or make them a list")
    return JsonFile(values, faults, notes)


class NestingError(ValueError):
    """A file that is nested deeper than any list of records."""


def is_json_lines(file: Path) -> bool:
    """Return whether a file is named `.jsonl` or `.jsonl.gz`.

    >>> is_json_lines(Path("a.jsonl.gz"))
    True
    """
    return file.name.lower().removesuffix(".gz").endswith(".jsonl")


def _read(file: Path) -> bytes:
    if file.is_file():
        if (size := file.stat().st_size) > _LARGEST:
            raise ValueError(f"{file}: has {size / 1e9:.1f} GB, expected a JSON file (100,000 pairs are 0.06 GB)")
        with file.open("rb") as stream:
            _check_beginning(stream.read(64), file)
    return read_bytes(file)


def _check_beginning(head: bytes, file: Path) -> None:
    if not head:
        raise ValueError(f"{file}: is empty; it was not written to its end, so make it again")
    start = head.decode(encoding_of(head), errors="replace").lstrip("\ufeff \t\r\n")
    is_pointer = head.startswith(b"version ")  # explained where the whole file is read
    if start and start[0] not in _BEGINNINGS and not is_gzip(head) and not is_pointer:
        raise ValueError(f"{file}: begins with {head.lstrip()[:12]!r}, expected a JSON list ('[') of records")


def _values(text: str, file: Path) -> tuple[list[Any], list[str]]:
    """Return the JSON values of a text, and the keys that an object has twice."""
    repeated: dict[str, None] = {}

    def record(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        unique = dict(pairs)
        if len(unique) < len(pairs):
            names = [name for name, _ in pairs]
            repeated.update((name, None) for name in unique if names.count(name) > 1)
        return unique

    decoder = json.JSONDecoder(object_pairs_hook=record, parse_constant=_CONSTANTS.__getitem__)
    values: list[Any] = []
    position = _after_space(text, 0)
    while position < len(text):
        try:
            value, position = decoder.raw_decode(text, position)
        except json.JSONDecodeError as error:
            raise ValueError(f"{file}: {_explained(error, text, after=len(values))}") from error
        except RecursionError as error:
            raise NestingError(f"{file}: is nested too deeply for records; expected a list of them") from error
        except ValueError as error:
            raise ValueError(f"{file}: not usable JSON ({error}); make the file again") from error
        values.append(value)
        position = _after_space(text, position)
    if not values:
        raise ValueError(f"{file}: holds nothing but spaces; make it again")
    return values, list(repeated)


def _after_space(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    return match.end() if match else position


def _explained(error: json.JSONDecodeError, text: str, *, after: int) -> str:
    """Return where a text is cut off or no JSON. `after` whole values precede it."""
    preceding = f" after {after} whole values" if after else ""
    text = text.rstrip()
    in_last_token = error.pos >= len(text) - _TOKEN and text[-1] not in "]}"
    if error.pos >= len(text) or in_last_token or error.msg.startswith("Unterminated string"):
        return (
            f"is cut off in line {text.count(chr(10)) + 1}{preceding} ({error.msg}); it was not written or copied to "
            "its end, so make or copy it again"
        )
    return f"is not JSON: line {error.lineno}, column {error.colno}{preceding}: {error.msg}; mend it there"
