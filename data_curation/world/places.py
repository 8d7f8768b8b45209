"""The places to which a hand goes: on the body, around it, and on a partner.

Offsets are for a person of 1.7 m and say where the wrist is. The hand reaches some 15 cm further.
"""

from dataclasses import dataclass
from typing import Literal

from data_curation.synthetic.motion import CHEST, HEAD, SPINE_BASE

Anchor = Literal["shoulder", "body", "room", "partner", "meeting"]

STANDARD_HEIGHT = 1.7


@dataclass(frozen=True)
class Place:
    """A place for a wrist: an anchor, the anchor's joint if it has one, and an offset.

    The offset is outward (to the hand's side), up and forward. Its unit is an arm's length from the `shoulder`, and
    metres elsewhere. `body` turns with the trunk, `room` with the person on the floor. `partner` is an offset in the
    partner's frame, `meeting` one from the point half-way to the partner.
    """

    anchor: Anchor
    offset: tuple[float, float, float]
    joint: int = CHEST


PLACES: dict[str, Place] = {
    # around the shoulder
    "side": Place("shoulder", (0.17, -0.93, 0.14)),
    "high": Place("shoulder", (0.16, 0.95, 0.12)),
    "out": Place("shoulder", (0.97, 0.04, 0.1)),
    "far": Place("shoulder", (-0.05, 0.02, 0.97)),
    "raised": Place("shoulder", (0.36, 0.62, 0.2)),
    "back": Place("shoulder", (0.45, 0.5, -0.42)),
    "behind": Place("shoulder", (0.3, -0.7, -0.5)),
    "spread": Place("shoulder", (0.72, 0.35, 0.15)),
    "camera": Place("shoulder", (0.12, 0.42, 0.84)),
    "low": Place("shoulder", (-0.02, -0.84, 0.42)),
    "crossed": Place("shoulder", (-0.52, 0.05, 0.66)),
    "guard": Place("shoulder", (0.0, -0.12, 0.4)),
    # on the body
    "mouth": Place("body", (0.05, -0.13, 0.21), HEAD),
    "ear": Place("body", (0.15, -0.16, 0.1), HEAD),
    "brow": Place("body", (0.2, -0.03, 0.13), HEAD),
    "crown": Place("body", (0.17, 0.09, 0.06), HEAD),
    "temple": Place("body", (0.2, -0.02, 0.03), HEAD),
    "face": Place("body", (0.06, -0.06, 0.22), HEAD),
    "chest": Place("body", (0.06, -0.12, 0.24), CHEST),
    "front": Place("body", (0.1, -0.16, 0.36), CHEST),
    "waist": Place("body", (0.13, -0.24, 0.32), CHEST),
    "wide": Place("body", (0.34, -0.2, 0.3), CHEST),
    "apart": Place("body", (0.17, -0.14, 0.36), CHEST),
    "applaud": Place("body", (0.17, 0.12, 0.3), HEAD),
    "watch": Place("body", (-0.02, -0.17, 0.33), CHEST),
    "hip": Place("body", (0.24, 0.06, 0.02), SPINE_BASE),
    "lap": Place("body", (0.12, 0.1, 0.3), SPINE_BASE),
    # in the room, from the middle of the feet
    "floor": Place("room", (0.13, 0.24, 0.42)),
    "table": Place("room", (0.16, 0.84, 0.48)),
    "dribble": Place("shoulder", (0.12, -0.62, 0.5)),
    "toe": Place("room", (-0.17, 0.2, 0.2)),
    # on the partner, whose front is forward
    "their face": Place("partner", (0.0, -0.04, 0.18), HEAD),
    "their chest": Place("partner", (0.12, -0.02, 0.2), CHEST),
    "their back": Place("partner", (0.04, -0.05, -0.2), CHEST),
    # between the two
    "meeting": Place("meeting", (0.0, 0.98, -0.15)),
    "high meeting": Place("meeting", (0.02, 1.62, -0.15)),
}

REGIONS = {
    "low": ("side", "behind", "hip", "lap", "low", "floor", "toe", "dribble", "table"),
    "before the trunk": ("chest", "front", "waist", "wide", "apart", "watch", "guard"),
    "at the head": ("mouth", "ear", "brow", "crown", "temple", "face", "applaud"),
    "raised": ("high", "raised", "spread", "back"),
    "stretched out": ("out", "far", "camera", "crossed"),
    "on the partner": ("their face", "their chest", "their back"),
    "between two": ("meeting", "high meeting"),
}
"""Where places are. An unseen action may need a new place, but none in a new region."""
