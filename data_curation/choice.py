"""Choices that are always the same for a key, so that a run can be repeated."""

from typing import TypeVar

from ski_lvlm.storage.digests import digest_number

Choice = TypeVar("Choice")


def choose(options: tuple[Choice, ...], *, key: str) -> Choice:
    """Return one of the options, evenly distributed and always the same for a key."""
    return options[digest_number(key, num_bytes=4) % len(options)]
