"""The parts of a run of train_ski_lvlm.py, whatever its base is."""

from collections.abc import Callable
from typing import Any, NamedTuple


class Run(NamedTuple):
    """Model, samples and collator of a run, its counter of work, and its first sample as text."""

    model: Any  # SkiLvlm, or SkiVideoLlm of another room
    dataset: Any
    collator: Callable[..., dict[str, Any]]
    work: Callable[..., Any] | None
    first: str
