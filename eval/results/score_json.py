"""Strict reading of JSON files with scores."""

import json
from pathlib import Path
from typing import Any

from ski_lvlm.storage.git_lfs import refuse_pointers
from ski_lvlm.storage.text_files import decoded


class GradesError(ValueError):
    """Missing, damaged or incomparable grades."""


def read_json(path: Path, *, expected: str) -> Any:  # noqa: ANN401
    """Return the content of a JSON file. `expected` describes it in messages.

    Raises:
        GradesError: there is no such file, it is no JSON, or an object in it has a key twice.
    """
    if path.is_file():
        refuse_pointers(path)
    try:
        return json.loads(decoded(path.read_bytes(), path), object_pairs_hook=_each_once)
    except FileNotFoundError as error:
        raise GradesError(f"{path} does not exist; expected {expected}") from error
    except IsADirectoryError as error:
        raise GradesError(f"{path} is a folder; expected {expected}") from error
    except ValueError as error:
        raise GradesError(f"{path} is no JSON ({error}); expected {expected}") from error
    except RecursionError as error:
        raise GradesError(f"{path} is nested too deeply; expected {expected}") from error


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entries = dict(pairs)
    if len(entries) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice!r:.60} stands there twice; keep one of the two, or rename one")
    return entries
