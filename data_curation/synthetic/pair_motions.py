"""The motions of two persons: each function turns a take into two postures over time."""

from dataclasses import replace

import numpy as np
from jaxtyping import Float

from data_curation.synthetic.motion import HEAD, LEFT, RELAXED, RIGHT, Build, Posture, joints, reach, standing, track
from data_curation.synthetic.take import Take, both


def _facing(
    take: Take, distance: Float[np.ndarray, " T"], turn: Float[np.ndarray, " T"] | float = 0.0
) -> list[Posture]:
    """Place two persons `distance` metres apart who face each other, or away by `turn` radians.

    They are turned less than a person alone, so that none hides the other from the cameras at the side.
    """
    turned = 0.4 * take.turned
    people = []
    for side, heading in ((-1, np.pi / 2), (1, -np.pi / 2)):
        place = (side * distance / 2)[:, None] * np.array([np.cos(turned), -np.sin(turned)])
        people.append(
            replace(standing(len(distance)), place=place, heading=0 * distance + heading + turned + side * turn)
        )
    return people


def punch(take: Take) -> list[Posture]:
    """Act A50: one person strikes the other in the face, twice, and the other is thrown back."""
    steady = np.full(len(take.seconds), 0.4 + 0.26 * take.builds[0].height)
    attacker, victim = _facing(take, steady)
    blow = track(take.progress, [(0.14, 0), (0.27, 1), (0.33, 1), (0.48, 0), (0.62, 0), (0.74, 1), (0.8, 1), (0.95, 0)])
    attacker = replace(attacker, twist=0.9 * blow - 0.25, lean=0.16 * blow)
    face = joints(victim, build=take.builds[1])[:, HEAD] - np.array([0, 0.02, 0])
    strike = reach(face, posture=attacker, build=take.builds[0], side=RIGHT)
    guard = np.array([0.1, -0.12, 0.3])
    ready = track(take.progress, [(-0.1, 0), (0.1, 1)])[:, None]
    right = RELAXED + ready * (guard + blow[:, None] * (strike - guard) - RELAXED)
    left = RELAXED + ready * (np.array([-0.1, -0.1, 0.42]) - RELAXED)
    hurt = track(take.progress, [(0.25, 0), (0.33, 1), (0.58, 0.2), (0.72, 0.2), (0.8, 1), (1.1, 0.5)]) * take.amplitude
    lifted = RELAXED + hurt[:, None] * np.array([0.25, 0.3, 0.25])
    victim = replace(
        victim, lean=-0.42 * hurt, nod=-0.35 * hurt, hands=both(lifted, lifted), pelvis=hurt[:, None] * (0, 0, -0.06)
    )
    return [replace(attacker, hands=both(left, right)), victim]


def shake_hands(take: Take) -> list[Posture]:
    """Act A58: two right hands meet at waist height and move up and down."""
    height = (take.builds[0].height + take.builds[1].height) / 2
    people = _facing(take, np.full(len(take.seconds), 0.52 * height))
    offered = track(take.progress, [(0, 0), (0.22, 1), (0.85, 1), (1.02, 0)])
    pump = 0.05 * take.amplitude * take.swing(1.8)
    meeting = np.stack([0 * pump, 0.56 * height + pump, 0 * pump], axis=-1)
    shaken = []
    for person, build in zip(people, take.builds):
        person = replace(person, lean=0.1 * offered, twist=0.3 * offered)
        outward = np.concatenate([person.place, 0 * pump[:, None]], axis=1)[:, [0, 2, 1]]
        wrist = reach(meeting + 0.2 * outward, posture=person, build=build, side=RIGHT)
        right = RELAXED + offered[:, None] * (wrist - RELAXED)
        shaken.append(replace(person, hands=both(RELAXED, right)))
    return shaken


def _walking(take: Take, person: Posture, build: Build, stepping: Float[np.ndarray, " T"]) -> Posture:
    """Swing legs and arms at the person's speed (`stepping`, m/s)."""
    cadence = 2 * np.pi * 0.95 * take.speed * take.seconds + take.phase
    stride = np.clip(np.abs(stepping) / 3.4, 0, 0.26)
    feet = np.zeros((len(stride), 2, 3))
    hands = person.hands.copy()
    for side, sign in ((LEFT, 1), (RIGHT, -1)):
        feet[:, side, 2] = sign * stride * np.sin(cadence)
        feet[:, side, 1] = np.maximum(sign * np.cos(cadence), 0) * stride * 0.5
        hands[:, side, 2] += -sign * 1.7 * stride * np.sin(cadence)
    lowered = np.stack([0 * stride, -0.06 * build.height * stride, 0 * stride], axis=-1)
    return replace(person, feet=feet, hands=hands, pelvis=lowered, lean=0.25 * stride)


def _walk(take: Take, distance: Float[np.ndarray, " T"], turn: Float[np.ndarray, " T"] | float = 0.0) -> list[Posture]:
    stepping = np.gradient(distance / 2, take.seconds)
    return [
        _walking(take, person, build, stepping) for person, build in zip(_facing(take, distance, turn), take.builds)
    ]


def walk_towards(take: Take) -> list[Posture]:
    """Act A59: two persons come together."""
    return _walk(take, track(take.progress, [(0, 2.4 * take.amplitude), (1, 0.75)]))


def walk_apart(take: Take) -> list[Posture]:
    """Act A60: two persons turn from each other and go."""
    turn = track(take.progress, [(0, 0), (0.3, np.pi)])
    return _walk(take, track(take.progress, [(0.1, 0.75), (1.05, 2.4 * take.amplitude)]), turn)
