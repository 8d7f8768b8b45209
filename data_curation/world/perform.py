"""One performance of an action: persons who move, things on their ways, and the parts with their times."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from data_curation.synthetic.motion import Build, Posture, joints, swayed
from data_curation.synthetic.props import Holder
from data_curation.world.action import Action
from data_curation.world.actions import ACTIONS
from data_curation.world.gait import walking
from data_curation.world.grammar import Step, steps
from data_curation.world.parts import PARTS, SETTINGS
from data_curation.world.places import STANDARD_HEIGHT
from data_curation.world.score import HANDS, Score, Span
from data_curation.world.stage import Keeper, Stage, Style
from data_curation.world.stand import Stand
from data_curation.world.thing_paths import ThingPath, thing_path

RATE = 50
"""Moments a second at which bodies are computed, whatever the frame rate of the video."""
_PAUSE = (0.15, 0.35)  # seconds before the first part, and between two actions


@dataclass(frozen=True)
class PartTime:
    """One part of an action that happened: its name, who did it (0 or 1), and when in seconds."""

    part: str
    person: int
    start: float
    end: float


@dataclass(frozen=True)
class Performance:
    """Bodies over T moments (metres in the room), the things they handle, and what they did."""

    seconds: Float[np.ndarray, " T"]
    bodies: tuple[Float[np.ndarray, "T 25 3"], ...]
    headings: tuple[Float[np.ndarray, " T"], ...]
    things: tuple[ThingPath, ...]
    parts: tuple[PartTime, ...]
    ways: tuple[int, ...]
    held_thing: tuple[str, str] | None
    """What an idle hand of the first person holds all the time, and which hand (`main` or `other`)."""

    def at(self, moments: Int[np.ndarray, " N"]) -> "Performance":
        """Return the performance at some of its moments."""
        return replace(
            self,
            seconds=self.seconds[moments],
            bodies=tuple(body[moments] for body in self.bodies),
            headings=tuple(heading[moments] for heading in self.headings),
            things=tuple(thing.at(moments) for thing in self.things),
        )


def perform(
    action: int,
    *,
    builds: Sequence[Build],
    length: float,
    speed: float,
    turned: float,
    rng: np.random.Generator,
    held_thing: tuple[str, str] | None = None,
) -> Performance:
    """Perform an action in one of its ways.

    Args:
        action: its number in NTU RGB+D.
        builds: the person, and a partner.
        length: seconds of the performance.
        speed: of the person, 1 is usual. A fast one has done earlier and waits.
        turned: radians by which the persons are turned from facing camera 1.
        held_thing: a thing for an idle hand of the first person, and the hand. The other hand takes it if that one is
            busy, and nobody if both are, or if the action has such a thing.
        rng: draws the way, the length of each step, amplitude and sway.

    Raises:
        ValueError: there is no such action.
    """
    if action not in ACTIONS:
        raise ValueError(f"no motion for action A{action:03d}; the world has {', '.join(map(str, sorted(ACTIONS)))}")
    plan = ACTIONS[action]
    seconds = np.arange(int(np.ceil(length * RATE)) + 1) / RATE
    way = int(rng.integers(len(plan.ways)))
    stage = Stage(_scores(plan, builds, seconds, turned), Style(amplitude=rng.uniform(0.88, 1.15)))
    parts = _play(stage, steps(plan.ways[way]), length=length, speed=speed, rng=rng)
    held_thing = _hold_idly(stage, held_thing, parts)
    postures = _postures(stage, rng)
    bodies = tuple(joints(posture, build=score.build) for posture, score in zip(postures, stage.scores))
    holders = [
        Holder(seconds, seconds, posture, body, score.build)
        for posture, body, score in zip(postures, bodies, stage.scores)
    ]
    paths = (thing_path(kind, keepers, holders=holders) for kind, keepers in stage.keepers.items())
    return Performance(
        seconds=seconds,
        bodies=bodies,
        headings=tuple(posture.heading for posture in postures),
        things=tuple(thing for group in paths for thing in group),
        parts=tuple(parts),
        ways=(way,),
        held_thing=held_thing,
    )


def _scores(plan: Action, builds: Sequence[Build], seconds: Float[np.ndarray, " T"], turned: float) -> list[Score]:
    """Place the persons: one who faces camera 1, or two who face each other or stand in a row."""
    if plan.persons == 1:
        return [Score(seconds=seconds, build=builds[0], place=(0.0, 0.0), heading=np.pi + turned)]
    # Two are turned less, so that none hides the other from the cameras at the side.
    turned = 0.4 * turned
    distance = plan.apart * (builds[0].height + builds[1].height) / 2 / STANDARD_HEIGHT
    scores = []
    for side, build in zip((-1, 1), builds):
        place = side * distance / 2 * np.array([np.cos(turned), -np.sin(turned)])
        heading = turned - side * np.pi / 2 if not plan.in_a_row else turned + np.pi / 2
        scores.append(Score(seconds=seconds, build=build, place=(place[0], place[1]), heading=heading))
    return scores


def _play(
    stage: Stage, plan: tuple[Step, ...], *, length: float, speed: float, rng: np.random.Generator
) -> list[PartTime]:
    """Let all steps write into the scores, and return the parts with their times."""
    acts = [not all(phrase.verb in SETTINGS for phrase in step.phrases) for step in plan]
    weights = np.array([step.weight for step in plan]) * acts * rng.uniform(0.82, 1.2, len(plan))
    start = rng.uniform(*_PAUSE)
    available = min((length - start - 0.1) * 0.92 / speed, length - start)
    ends = start + available * np.cumsum(weights) / weights.sum()
    parts = []
    for step, duration, end in zip(plan, available * weights / weights.sum(), ends.tolist()):
        span = Span(end - float(duration), end)
        for phrase in step.phrases:
            verb = SETTINGS.get(phrase.verb) or PARTS.get(phrase.verb)
            if verb is None:
                raise ValueError(f"no part {phrase.verb!r}; expected one of {', '.join((*SETTINGS, *PARTS))}")
            verb(stage, phrase.person, span, phrase.words)
            if phrase.verb in PARTS:
                parts.append(PartTime(phrase.name, phrase.person, span.start, span.end))
    return parts


def _postures(stage: Stage, rng: np.random.Generator) -> list[Posture]:
    """Return the whole postures: legs and trunk first, then hands, which may reach for a partner."""
    postures = [swayed(score.posture(), seconds=score.seconds, rng=rng) for score in stage.scores]
    centre = np.mean([posture.place for posture in postures], axis=(0, 1))
    postures = [replace(posture, place=posture.place - centre) for posture in postures]
    stands = [Stand.of(posture, score.build) for posture, score in zip(postures, stage.scores)]
    complete = []
    for number, (posture, score) in enumerate(zip(postures, stage.scores)):
        partner = stands[1 - number] if len(stands) > 1 else None
        sway = posture.hands - score.posture().hands
        hands = np.stack([score.hand(name, posture=posture, partner=partner) for name in ("other", "main")], axis=1)
        posture = replace(posture, hands=hands + sway)
        complete.append(walking(posture, seconds=score.seconds, build=score.build))
    return complete


def _hold_idly(stage: Stage, held_thing: tuple[str, str] | None, parts: Sequence[PartTime]) -> tuple[str, str] | None:
    """Give a thing to an idle hand, and return the thing and the hand that has it."""
    if held_thing is None or held_thing[0] in stage.keepers:
        return None
    words = {word for part in parts if part.person == 0 for word in part.part.split()}
    words |= {keeper.holding for keepers in stage.keepers.values() for keeper in keepers if keeper.person == 0}
    kind, hand = held_thing
    for name in (hand, *HANDS):
        if not {name, "both"} & words:
            stage.give(kind, Keeper(0.0, "main" if name == "main" else "other"))
            return kind, name
    return None
