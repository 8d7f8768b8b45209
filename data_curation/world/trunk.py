"""The parts that head, trunk and hips do."""

import numpy as np

from data_curation.synthetic.props import SEAT_HEIGHT
from data_curation.world.score import Span
from data_curation.world.stage import Stage

_BENDS = {"low": 1.0, "over": 1.3, "bow": 0.6, "forward": 0.25, "back": -0.35, "level": 0.0}
_HIPS = {"low": np.array([0, -0.16, -0.14]), "over": np.array([0, -0.03, -0.13])}
_NODS = {"down": 0.6, "back": -0.5, "level": 0.0}
_SEAT = np.array([0.0, 0.0, -0.23])
_LEVELS = {
    "heels": (np.array([0.0, -0.27, -0.06]), 0.5, 0.0),
    "side": (np.array([0.12, -0.43, 0.0]), 0.1, 1.3),
    "back": (np.array([0.0, -0.44, -0.36]), -1.3, 0.0),
}
"""Where the pelvis goes when a body sinks (in heights), with the trunk's lean and roll at the end (radians)."""


def tip(stage: Stage, person: int, span: Span, words: tuple[str, ...]) -> None:
    """Tip DIRECTION: the head goes down, back, aside or level."""
    score = stage.scores[person]
    score.move("roll", 0.1 if words[0] == "aside" else 0.0, span)
    score.move("nod", _NODS.get(words[0], 0.1), span)


def bend(stage: Stage, person: int, span: Span, words: tuple[str, ...]) -> None:
    """Bend HOW: the trunk leans. With low the knees bend too, and with over they do not."""
    score, lean = stage.scores[person], _BENDS[words[0]]
    score.move("lean", lean * (stage.style.amplitude if words[0] not in _HIPS else 1.0), span)
    hips = _HIPS.get(words[0], np.zeros(3))
    score.move("pelvis", hips, span)


def sink(stage: Stage, person: int, span: Span, words: tuple[str, ...]) -> None:
    """Sink LEVEL: the hips go down to a seat, the heels, or the floor (side, back)."""
    score = stage.scores[person]
    if words[0] == "seat":
        score.move("lean", 0.65, span.within(0.0, 0.45))
        score.move("lean", 0.0, span.within(0.55, 1.0))
        score.move("pelvis", seat_offset(score.build.height), span)
        return
    pelvis, lean, roll = _LEVELS[words[0]]
    for channel, value in (("pelvis", pelvis), ("lean", lean), ("roll", roll)):
        score.move(channel, value, span)


def rise(stage: Stage, person: int, span: Span, words: tuple[str, ...]) -> None:
    """Rise: the hips come up, and the trunk is upright at the end."""
    score = stage.scores[person]
    if score.now("lean") < 0.5:
        score.move("lean", 0.65, span.within(0.0, 0.4))
    score.move("lean", 0.0, span.within(0.5, 1.0))
    score.move("pelvis", np.zeros(3), span.within(0.25, 1.0))
    score.move("roll", 0.0, span)


def seat_offset(height: float) -> np.ndarray:
    """Return the pelvis of a seated person, in heights."""
    return np.array([0, (SEAT_HEIGHT + 0.09) / height - 0.53, 0]) + _SEAT
