"""The parts of which all actions consist: what each verb writes into the score.

A part takes a stage, a person, a span of time and its words. `SETTINGS` say how a scene begins and take no time.
"""

from collections.abc import Callable

import numpy as np

from data_curation.world.handling import arrange, hold, put, release, seated, take
from data_curation.world.legs import hop, kick
from data_curation.world.places import PLACES
from data_curation.world.score import Span, hands_of
from data_curation.world.stage import Stage
from data_curation.world.trunk import bend, rise, sink, tip

Part = Callable[[Stage, int, Span, tuple[str, ...]], None]

DIRECTIONS = {
    "side": (0.13, 0.0, 0.0),
    "up": (0.0, 0.1, 0.0),
    "forward": (0.0, 0.0, 0.1),
    "scrub": (0.055, 0.015, 0.0),
    "comb": (0.01, -0.14, -0.02),
    "wide": (0.13, 0.0, 0.0),
    "fist": (0.0, 0.17, 0.03),
    "wave": (0.2, -0.03, 0.0),
    "type": (0.02, 0.045, 0.0),
    "pump": (0.0, 0.08, 0.16),
    "bounce": (0.0, 0.16, 0.02),
}
"""Strokes of a hand: outward, up and forward in metres."""
ALTERNATING = ("type", "pump")
"""Strokes in which the hands take turns."""
CIRCLES = {"circle": (0.3, 0.3), "rub": (0.06, 0.05)}
"""Strokes in a circle: outward and up in metres."""


def bring(stage: Stage, person: int, span: Span, words: tuple[str, ...]) -> None:
    """Bring HAND PLACE: the hand goes there."""
    for hand in hands_of(words[0]):
        stage.scores[person].bring(hand, PLACES[" ".join(words[1:])], span)


def stroke(stage: Stage, person: int, span: Span, words: tuple[str, ...]) -> None:
    """Stroke HAND DIRECTION COUNT: the hand goes to and fro about its place."""
    score, direction, count = stage.scores[person], words[1], float(words[2])
    amplitude = stage.style.amplitude
    for sign, hand in zip((1, -1), hands_of(words[0])):
        channel = f"hand {hand}"
        if direction in CIRCLES:
            across, up = CIRCLES[direction]
            score.wave(channel, np.array([across, 0, 0]) * amplitude, span=span, cycles=count)
            score.wave(channel, np.array([0, up, 0]) * amplitude, span=span, cycles=count, phase=0.25)
        else:
            turn = sign if direction in ALTERNATING else 1
            score.wave(channel, turn * amplitude * np.array(DIRECTIONS[direction]), span=span, cycles=count)


def thrust(stage: Stage, person: int, span: Span, words: tuple[str, ...]) -> None:
    """Thrust HAND PLACE: the hand shoots there, and the trunk goes with it."""
    score, fast = stage.scores[person], span.within(0.0, 0.45)
    bring(stage, person, fast, words)
    score.move("lean", 0.22, fast)
    if words[0] != "both":
        score.move("twist", 0.5, fast)
    score.move("twist", 0.0, span.within(0.65, 1.0))
    score.move("lean", 0.05, span.within(0.65, 1.0))


def wind(stage: Stage, person: int, span: Span, words: tuple[str, ...]) -> None:
    """Wind HAND PLACE: the hand is drawn back, and the trunk turns with it."""
    score = stage.scores[person]
    bring(stage, person, span, words)
    score.move("twist", -0.65, span)
    score.move("lean", -0.15, span)
    score.move("foot other", np.array([0, 0, 0.1]), span)


def swing(stage: Stage, person: int, span: Span, words: tuple[str, ...]) -> None:
    """Swing HAND PLACE: the hand swings through a place to the other side, and the trunk turns with it."""
    score, through = stage.scores[person], span.within(0.0, 0.4)
    bring(stage, person, through, words)
    bring(stage, person, span.within(0.4, 0.8), (words[0], "crossed"))
    score.move("twist", 0.6, span.within(0.0, 0.6))
    score.move("lean", 0.28, span.within(0.0, 0.6))
    score.move("twist", 0.0, span.within(0.7, 1.0))
    score.move("lean", 0.0, span.within(0.7, 1.0))
    score.move("foot other", np.zeros(3), span.within(0.7, 1.0))


def step(stage: Stage, person: int, span: Span, words: tuple[str, ...]) -> None:
    """Step DIRECTION METRES: the person walks."""
    score, distance = stage.scores[person], float(words[1])
    heading = float(score.now("heading")) + {"forward": 0.0, "back": np.pi}[words[0]]
    way = distance * np.array([np.sin(heading), np.cos(heading)])
    score.move("place", score.now("place") + way, span)


def turn(stage: Stage, person: int, span: Span, words: tuple[str, ...]) -> None:
    """Turn HOW_FAR: the person turns about, or a quarter to the side."""
    score = stage.scores[person]
    angle = {"about": np.pi, "aside": 0.9, "back": -0.9}[words[0]]
    score.move("heading", float(score.now("heading")) + angle, span)


def stay(stage: Stage, person: int, span: Span, words: tuple[str, ...]) -> None:
    """Stay: nothing changes."""


PARTS: dict[str, Part] = {
    "bring": bring, "stroke": stroke, "thrust": thrust, "wind": wind, "swing": swing, "tip": tip, "bend": bend,
    "sink": sink, "rise": rise, "step": step, "turn": turn, "hop": hop, "kick": kick, "stay": stay, "take": take,
    "put": put, "release": release,
}  # fmt: skip
SETTINGS: dict[str, Part] = {"with": hold, "set": arrange, "seated": seated}
