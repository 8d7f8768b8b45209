"""The stage of one performance: the scores of the persons, and who or what has each thing at which time."""

from dataclasses import dataclass
from typing import Literal

from data_curation.world.score import Score

Holding = Literal["main", "other", "both", "head", "floor", "table", "ahead", "behind", "fly", "bounce"]
IN_HANDS = ("main", "other", "both")


@dataclass(frozen=True)
class Keeper:
    """A keeper of a thing from `time` (seconds) on: a person's hands or head, a spot, or the air.

    `velocity` (metres a second: forward and up of the person) is that of a thing that flies, `beat` the seconds from
    one bounce to the next.
    """

    time: float
    holding: Holding
    person: int = 0
    velocity: tuple[float, float] = (0.0, 0.0)
    beat: float = 0.0


@dataclass(frozen=True)
class Style:
    """One performance's manner: amplitude of what swings (1 is usual)."""

    amplitude: float = 1.0


class Stage:
    """Scores of the persons, and the keepers of each thing in order of time."""

    def __init__(self, scores: list[Score], style: Style) -> None:
        self.scores, self.style = scores, style
        self.keepers: dict[str, list[Keeper]] = {}

    def give(self, thing: str, keeper: Keeper) -> None:
        """Let something new have a thing. A thing that nobody had yet is there from the beginning."""
        self.keepers.setdefault(thing, []).append(keeper)
