"""The outcome of a converter: a data set's description, its clips, and how the skeleton of a clip is read."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

Row = dict[str, str | int | float]
Joints = Float32[np.ndarray, "T M J D"]


@dataclass(frozen=True)
class Conversion:
    """A data set before it is written.

    Attributes:
        description: the content of `dataset.json`.
        clips: rows of `clips.csv`. A `video` is an absolute path.
        files: the files of the data set that these come from.
        skipped: files and spans that are no clips, with the reason.
        cleaning: name of the cleaning that `read` does, or empty without skeletons.
        read: returns the cleaned joints of a clip. It raises a ValueError where they cannot be used.
    """

    description: dict[str, Any]
    clips: list[Row]
    files: Sequence[Path]
    skipped: dict[str, str] = field(default_factory=dict)
    cleaning: str = ""
    read: Callable[[str], Joints] | None = None


def numbered(names: Sequence[str], *, pairs: Sequence[int] = ()) -> list[dict[str, Any]]:
    """Return classes with their numbers, counted from 1, as ids. Two persons act in the classes `pairs`.

    >>> numbered(["walk", "hug"], pairs=[2])
    [{'id': '1', 'name': 'walk', 'persons': 1}, {'id': '2', 'name': 'hug', 'persons': 2}]
    """
    return [
        {"id": str(number), "name": name, "persons": 2 if number in pairs else 1}
        for number, name in enumerate(names, start=1)
    ]


def class_name(classes: Sequence[dict[str, Any]], number: int) -> str:
    """Return the name of a numbered class.

    Raises:
        ValueError: there is no class of this number.
    """
    if not 1 <= number <= len(classes):
        raise ValueError(f"found class {number}; expected 1 to {len(classes)}")
    return str(classes[number - 1]["name"])


def odd_and_even(column: str, *, up_to: int) -> dict[str, dict[str, list[int]]]:
    """Return the protocol that trains on odd values of a column and tests on even ones."""
    return {"train": {column: list(range(1, up_to + 1, 2))}, "test": {column: list(range(2, up_to + 1, 2))}}
