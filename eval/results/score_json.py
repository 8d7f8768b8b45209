"""JSON files with scores, ours and others', read strictly."""

import json
from pathlib import Path
from typing import Any

from ski_lvlm.storage.git_lfs import refuse_pointers
from ski_lvlm.storage.text_files import decoded


class GradesError(ValueError):
    """Grades are missing, damaged, or not comparable with others."""


def read_json(path: Path, *, expected: str) -> Any:  # noqa: ANN401
    """What a JSON file holds; a byte-order mark before it is not part of it.

    Args:
        path: the file.
        expected: what should have been there, for messages.

    Raises:
        GradesError: there is no such file, it is no JSON, or an object in it has a key twice, of which one would be
            lost.
        OSError: it cannot be read.
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
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice!r:.60} stands there twice; keep one of the two, or rename one")
    return found
