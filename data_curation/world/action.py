"""The kind of thing that an action of the world is."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Action:
    """The ways of one action (see `grammar.py`). Two persons are `apart` metres, face to face or in a row."""

    ways: tuple[str, ...]
    persons: int = 1
    apart: float = 0.0
    in_a_row: bool = False
