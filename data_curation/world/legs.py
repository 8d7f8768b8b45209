"""The parts that legs do: hops and kicks."""

import numpy as np

from data_curation.world.places import PLACES
from data_curation.world.score import HANDS, Score, Span
from data_curation.world.stage import Stage

_KICKS = {
    "low": np.array([0.0, 0.1, 0.3]),
    "high": np.array([0.0, 0.27, 0.42]),
    "aside": np.array([0.4, 0.26, 0.04]),
}
"""Where the foot goes, in heights: outward, up, forward."""
_FEET = {"both": ("foot main", "foot other"), "one": ("foot main",)}


def hop(stage: Stage, person: int, span: Span, words: tuple[str, ...]) -> None:
    """Hop FEET COUNT: jumps on both feet, on one, or running steps on the spot."""
    score, count = stage.scores[person], int(words[1])
    lift = {"both": 0.17, "one": 0.08, "turns": 0.0}[words[0]] * stage.style.amplitude
    if words[0] == "one":
        score.move("foot other", np.array([0, 0.19, -0.2]), span.within(0.0, 0.5 / count))
    for number in range(count):
        cycle = span.within(number / count, (number + 1) / count)
        if words[0] == "turns":
            _running_step(score, cycle)
        else:
            _leap(score, cycle, lift, _FEET[words[0]], with_arms=words[0] == "both" and "plain" not in words)
    if words[0] == "one":
        score.move("foot other", np.zeros(3), Span(span.end, span.end + 0.3))


def _leap(score: Score, cycle: Span, lift: float, feet: tuple[str, ...], *, with_arms: bool) -> None:
    crouch = np.array([0, -0.5 * lift - 0.03, -0.03])
    down, up, fall, land = (cycle.within(*ends) for ends in ((0, 0.34), (0.34, 0.55), (0.55, 0.76), (0.76, 1.0)))
    score.move("pelvis", crouch, down)
    score.move("lean", 0.3, down)
    score.move("pelvis", np.array([0, lift, 0]), up)
    score.move("lean", 0.0, up)
    score.move("pelvis", 0.6 * crouch, fall)
    score.move("pelvis", np.zeros(3), land)
    for foot in feet:
        score.move(foot, np.array([0, lift, 0]), up)
        score.move(foot, np.zeros(3), fall)
    if with_arms:
        for hand in HANDS:
            score.bring(hand, PLACES["low"], down)
            score.bring(hand, PLACES["raised"], cycle.within(0.34, 0.62))
            score.bring(hand, PLACES["side"], cycle.within(0.68, 1.0))


def _running_step(score: Score, cycle: Span) -> None:
    for foot, start in (("foot main", 0.0), ("foot other", 0.5)):
        score.move(foot, np.array([0, 0.21, -0.06]), cycle.within(start, start + 0.25))
        score.move(foot, np.zeros(3), cycle.within(start + 0.25, start + 0.5))
    score.move("pelvis", np.array([0, 0.015, 0]), cycle.within(0, 0.25))
    score.move("pelvis", np.array([0, -0.015, 0]), cycle.within(0.25, 0.5))
    score.move("pelvis", np.array([0, 0.015, 0]), cycle.within(0.5, 0.75))
    score.move("pelvis", np.array([0, -0.015, 0]), cycle.within(0.75, 1.0))


def kick(stage: Stage, person: int, span: Span, words: tuple[str, ...]) -> None:
    """Kick HOW: a leg is drawn back, shoots low, high or aside, and comes down again."""
    score = stage.scores[person]
    back, strike, pause, home = (span.within(*ends) for ends in ((0, 0.3), (0.3, 0.5), (0.5, 0.6), (0.6, 1.0)))
    score.move("foot main", np.array([0.0, 0.07, -0.2]), back)
    score.move("foot main", _KICKS[words[0]], strike)
    score.move("foot main", _KICKS[words[0]], pause)
    score.move("foot main", np.zeros(3), home)
    score.move("lean", 0.1, back)
    score.move("lean", -0.22, strike)
    score.move("lean", 0.0, home)
    if words[0] == "aside":
        score.move("roll", -0.3, strike)
        score.move("roll", 0.0, home)
    score.bring("other", PLACES["low"], strike)
    score.bring("other", PLACES["side"], home)
