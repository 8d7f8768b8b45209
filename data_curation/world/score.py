"""The score of one body: what each channel (trunk, head, hands, feet, place) does over time.

Parts of an action write into it. A `move` goes from wherever the channel is to a value. A `wave` swings about that.
`posture` and `hand` then play the score.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from data_curation.synthetic.motion import (
    HEAD,
    LEFT,
    RIGHT,
    SHOULDER_L,
    SHOULDER_R,
    SPINE_BASE,
    Build,
    Posture,
    frame_joints,
    reach,
    side_signs,
    sideways,
    standing,
    track,
    upward,
)
from data_curation.world.places import PLACES, STANDARD_HEIGHT, Place
from data_curation.world.stand import Stand

HANDS = {"main": RIGHT, "other": LEFT}
_SIZES = {"lean": 0, "roll": 0, "twist": 0, "nod": 0, "heading": 0, "pelvis": 3, "foot main": 3, "foot other": 3}
_SHORTEST = 0.02  # seconds of a move


@dataclass(frozen=True)
class Span:
    """A stretch of time in seconds."""

    start: float
    end: float

    @property
    def length(self) -> float:
        """The length in seconds."""
        return self.end - self.start

    def within(self, first: float, last: float) -> "Span":
        """Return the part between two shares of the span."""
        return Span(self.start + first * self.length, self.start + last * self.length)


def hands_of(word: str) -> tuple[str, ...]:
    """Return the hands that a word means."""
    return tuple(HANDS) if word == "both" else (word,)


class Score:
    """The moves and waves of one person over `seconds`.

    Channels are those of `Posture` in heights of the body, `place` in metres along the room, and `hand main` and
    `hand other`, whose values are places.
    """

    def __init__(
        self, *, seconds: Float[np.ndarray, " T"], build: Build, place: tuple[float, float], heading: float
    ) -> None:
        self.seconds, self.build = seconds, build
        zero = {name: np.zeros(size) if size else 0.0 for name, size in _SIZES.items()}
        self._keys: dict[str, list[tuple[float, object]]] = {name: [(0.0, value)] for name, value in zero.items()}
        self._keys |= {"place": [(0.0, np.array(place))], "heading": [(0.0, heading)]}
        self._hands: dict[str, list[tuple[float, Place]]] = {hand: [(0.0, PLACES["side"])] for hand in HANDS}
        self._waves: dict[str, Float[np.ndarray, "T ..."]] = {}

    def now(self, channel: str) -> Float[np.ndarray, "..."]:
        """Return the last value that a channel has been given."""
        return np.asarray(self._keys[channel][-1][1], float)

    def start(self, channel: str, value: object) -> None:
        """Let a channel begin with a value."""
        self._keys[channel] = [(0.0, value)]

    def move(self, channel: str, value: object, span: Span) -> None:
        """Bring a channel from its last value to another one."""
        _extend(self._keys[channel], value, span)

    def bring(self, hand: str, place: Place, span: Span) -> None:
        """Bring a hand to a place."""
        _extend(self._hands[hand], place, span)

    def hold(self, hand: str, place: Place) -> None:
        """Let a hand begin at a place."""
        self._hands[hand] = [(0.0, place)]

    def wave(
        self, channel: str, vector: Float[np.ndarray, "..."] | float, *, span: Span, cycles: float, phase: float = 0.0
    ) -> None:
        """Swing a channel along a vector `cycles` times within the span. Hands swing in metres."""
        share = np.clip((self.seconds - span.start) / span.length, 0, 1)
        rising = np.minimum(1, 6 * np.minimum(share, 1 - share))
        swing = rising * np.sin(2 * np.pi * (cycles * share + phase))
        wave = swing.reshape(-1, *[1] * np.ndim(vector)) * np.asarray(vector)
        self._waves[channel] = self._waves.get(channel, 0.0) + wave

    def series(self, channel: str) -> Float[np.ndarray, "T ..."]:
        """Return a channel over time, with its waves."""
        return _eased(self._keys[channel], self.seconds) + self._waves.get(channel, 0.0)

    def posture(self) -> Posture:
        """Return the posture without what the hands do."""
        height = self.build.height
        feet = height * np.stack([self.series("foot other"), self.series("foot main")], axis=1)
        return Posture(
            place=self.series("place"),
            heading=self.series("heading"),
            pelvis=height * self.series("pelvis"),
            feet=feet,
            hands=standing(len(self.seconds)).hands,
            lean=self.series("lean"),
            roll=self.series("roll"),
            twist=self.series("twist"),
            nod=self.series("nod"),
        )

    def hand(self, hand: str, *, posture: Posture, partner: Stand | None) -> Float[np.ndarray, "T 3"]:
        """Return a hand's targets (as `Posture.hands`), which follow body and partner."""
        keys = self._hands[hand]
        paths = np.stack([self._target(place, hand, posture, partner) for _, place in keys])
        wave = self._waves.get(f"hand {hand}", np.zeros(3)) / self.build.arm
        if len(keys) == 1:
            return paths[0] + wave
        position = _eased([(time, float(number)) for number, (time, _) in enumerate(keys)], self.seconds)
        before = np.minimum(position.astype(int), len(keys) - 2)
        share = (position - before)[:, None]
        at = np.arange(len(self.seconds))
        return (1 - share) * paths[before, at] + share * paths[before + 1, at] + wave

    def _target(self, place: Place, hand: str, posture: Posture, partner: Stand | None) -> Float[np.ndarray, "T 3"]:
        side, offset = HANDS[hand], np.array(place.offset)
        size = self.build.height / STANDARD_HEIGHT
        if place.anchor == "shoulder":
            return np.tile(offset, (len(self.seconds), 1))
        if place.anchor in ("body", "room"):
            frame = frame_joints(posture, self.build)
            point = offset * side_signs(side) * size
            if place.anchor == "body":
                pitch = posture.lean + (0.6 * posture.nod if place.joint == HEAD else 0)
                if place.joint == SPINE_BASE:
                    pitch = 0.3 * pitch
                point = frame[:, place.joint] + _tilted(point, pitch, posture.roll, posture.twist)
            return (point - frame[:, (SHOULDER_L, SHOULDER_R)[side]]) / self.build.arm * side_signs(side)
        if partner is None:
            raise ValueError(f"{place} is on a partner, but the action has one person; give it persons=2")
        body = Stand.of(posture, self.build)
        point = body.meeting(partner, offset) if place.anchor == "meeting" else partner.point(place, body, side)
        return reach(point, posture=posture, build=self.build, side=side)


def _extend(keys: list, value: object, span: Span) -> None:
    """Append a move, which begins no earlier than the last one ends."""
    time, last = keys[-1]
    start = max(span.start, time)
    if start > time:
        keys.append((start, last))
    keys.append((max(span.end, start + _SHORTEST), value))


def _eased(keys: list[tuple[float, object]], seconds: Float[np.ndarray, " T"]) -> Float[np.ndarray, "T ..."]:
    if len(keys) == 1:
        value = np.asarray(keys[0][1], float)
        return np.broadcast_to(value, (len(seconds), *value.shape))
    return track(seconds, keys)


def _tilted(
    point: Float[np.ndarray, " 3"],
    pitch: Float[np.ndarray, " T"],
    roll: Float[np.ndarray, " T"],
    twist: Float[np.ndarray, " T"],
) -> Float[np.ndarray, "T 3"]:
    """Turn an offset with the trunk."""
    up = upward(pitch, roll)
    right = sideways(up, twist)
    return point[0] * right + point[1] * up + point[2] * np.cross(right, up)
