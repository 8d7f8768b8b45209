"""The motions of one person: each function turns a take into a posture over time, as if right-handed."""

from dataclasses import replace

import numpy as np
from jaxtyping import Float

from data_curation.synthetic import props
from data_curation.synthetic.motion import LEFT, RELAXED, Posture, track
from data_curation.synthetic.take import Take, both


def drink(take: Take) -> list[Posture]:
    """Act A1: the cup goes from the waist to the mouth, the head tips back, the cup comes down again."""
    waist, mouth = (0.0, -0.42, 0.5), (-0.3, 0.14, 0.4)
    right = track(take.progress, [(0, waist), (0.3, mouth), (0.75, mouth), (1, waist)])
    nod = track(take.progress, [(0.25, 0), (0.42, -0.5), (0.7, -0.5), (0.85, 0)])
    return [replace(take.alone(), hands=both(RELAXED, right), nod=nod * take.amplitude)]


_CARRYING = (-0.02, -0.42, 0.62)


def drop(take: Take) -> list[Posture]:
    """Act A5: both hands hold a box before the belly, open, and it falls. The person looks after it."""
    open_hands = (0.32, -0.3, 0.5)
    hands = track(take.progress, [(0.3, _CARRYING), (0.42, open_hands), (0.65, open_hands), (0.95, RELAXED)])
    nod = track(take.progress, [(0.3, 0.15), (0.55, 0.55), (0.9, 0.5)])
    lean = track(take.progress, [(0.35, 0), (0.6, 0.16), (1, 0.08)])
    return [replace(take.alone(), hands=both(hands, hands), nod=nod, lean=lean)]


def pick_up(take: Take) -> list[Posture]:
    """Act A6: the person bends to a box on the floor, takes it and stands up with it."""
    low = (-0.02, -0.84, 0.42)
    hands = track(take.progress, [(0, RELAXED), (0.38, low), (0.5, low), (0.95, _CARRYING)])
    bent = track(take.progress, [(0.02, 0), (0.4, 1), (0.5, 1), (0.9, 0)])
    pelvis = bent[:, None] * np.array([0, -0.16, -0.14]) * take.builds[0].height
    nod = track(take.progress, [(0, 0.4), (0.4, 0.1), (0.9, 0.15)])
    return [replace(take.alone(), hands=both(hands, hands), lean=0.95 * bent, pelvis=pelvis, nod=nod)]


_BALL_READY = np.array([-0.12, -0.35, 0.6])


def throw(take: Take) -> list[Posture]:
    """Act A7: the ball goes behind the head, is thrown overarm and the arm follows through."""
    back, release, through = (0.35, 0.62, -0.35), (0.0, 0.6, 0.78), (-0.35, -0.45, 0.6)
    right = track(
        take.progress, [(0, _BALL_READY), (0.38, back), (0.48, back), (0.58, release), (0.72, through), (1, RELAXED)]
    )
    left = track(take.progress, [(0, _BALL_READY), (0.35, (0.1, 0.1, 0.85)), (0.55, (0.2, -0.5, 0.1)), (1, RELAXED)])
    twist = track(take.progress, [(0, 0), (0.42, -0.6), (0.62, 0.55), (1, 0)])
    lean = track(take.progress, [(0, 0), (0.42, -0.18), (0.65, 0.3), (1, 0)])
    feet = np.zeros((len(right), 2, 3))
    feet[:, LEFT, 2] = track(take.progress, [(0.2, 0), (0.5, 0.16)])
    return [replace(take.alone(), hands=both(left, right), twist=twist * take.amplitude, lean=lean, feet=feet)]


def bounce(take: Take) -> list[Posture]:
    """Act A64: the hand bounces a ball on the floor repeatedly."""
    pump = props.bounce_height(take.acting)
    pumping = np.array([0.12, -0.72, 0.5]) + (pump * 0.34)[:, None] * np.array([0.0, 1.0, 0.1])
    right = _BALL_READY + track(take.acting, [(-0.1, 0), (0.33, 1)])[:, None] * (pumping - _BALL_READY)
    left = track(take.progress, [(0, _BALL_READY), (0.2, (0.25, -0.75, 0.3))])
    bent = np.full(len(pump), 0.2)
    pelvis = np.stack([0 * pump, 0 * pump - 0.06, 0 * pump - 0.04], axis=-1)
    return [replace(take.alone(), hands=both(left, right), lean=bent, nod=bent + 0.1 * pump, pelvis=pelvis)]


def _seated(take: Take, sitting: Float[np.ndarray, " T"], rising: Float[np.ndarray, " T"]) -> list[Posture]:
    height = take.builds[0].height
    seat = np.array([0, props.SEAT_HEIGHT + 0.09 - take.builds[0].standing_pelvis, -0.23 * height])
    lap = np.array([-0.08, -0.5, 0.62])
    hands = RELAXED + sitting[:, None] * (lap - RELAXED)
    lean = 0.75 * rising * take.amplitude
    return [
        replace(take.alone(), pelvis=sitting[:, None] * seat, hands=both(hands, hands), lean=lean, nod=0.3 * rising)
    ]


def sit_down(take: Take) -> list[Posture]:
    """Act A8: from standing before a chair to sitting on it."""
    sitting = track(take.progress, [(0.15, 0), (0.7, 1)])
    return _seated(take, sitting, track(take.progress, [(0.12, 0), (0.4, 1), (0.85, 0)]))


def stand_up(take: Take) -> list[Posture]:
    """Act A9: from sitting on a chair to standing before it."""
    sitting = track(take.progress, [(0.25, 1), (0.8, 0)])
    return _seated(take, sitting, track(take.progress, [(0.1, 0), (0.4, 1), (0.8, 0)]))


def clap(take: Take) -> list[Posture]:
    """Act A10: the hands meet before the chest, part and meet again."""
    apart = (0.5 - 0.5 * take.swing(1.5)) ** 1.5 * take.amplitude
    hands = np.array([-0.3, -0.2, 0.6]) + apart[:, None] * np.array([0.75, 0.04, -0.1])
    raised = track(take.progress, [(-0.1, 0), (0.08, 1)])[:, None]
    hands = RELAXED + raised * (hands - RELAXED)
    return [replace(take.alone(), hands=both(hands, hands))]


def wave(take: Take) -> list[Posture]:
    """Act A23: one raised hand swings from side to side beside the head."""
    side = take.swing(1.3) * take.amplitude
    right = (
        np.array([0.34, 0.66, 0.2]) + side[:, None] * np.array([0.4, 0.0, 0.0]) - np.abs(side)[:, None] * (0, 0.1, 0)
    )
    raised = track(take.progress, [(-0.1, 0), (0.12, 1)])[:, None]
    return [replace(take.alone(), hands=both(RELAXED, RELAXED + raised * (right - RELAXED)), roll=0.04 * side)]


def jump(take: Take) -> list[Posture]:
    """Act A27: crouch, leap with the arms thrown up, land, again."""
    cycle = (take.seconds * take.speed / 1.3 + take.phase / (2 * np.pi)) % 1
    height = take.builds[0].height
    flight = np.clip((cycle - 0.42) / 0.34, 0, 1)
    lift = 0.19 * height * take.amplitude * 4 * flight * (1 - flight)
    crouch = track(cycle, [(0, 0.1), (0.3, 1), (0.42, 0), (0.76, 0), (0.88, 0.7), (1, 0.1)])
    pelvis = np.zeros((len(cycle), 3))
    pelvis[:, 1], pelvis[:, 2] = lift - 0.13 * height * crouch, -0.06 * height * crouch
    feet = np.zeros((len(cycle), 2, 3))
    feet[..., 1] = lift[:, None]
    back, up = (0.15, -0.8, -0.4), (0.2, 0.92, 0.2)
    hands = track(cycle, [(0, RELAXED), (0.26, back), (0.54, up), (0.7, up), (0.95, RELAXED)])
    return [replace(take.alone(), pelvis=pelvis, feet=feet, hands=both(hands, hands), lean=0.45 * crouch)]


_PHONE_LOW = (0.02, -0.55, 0.45)


def phone_call(take: Take) -> list[Posture]:
    """Act A28: the phone goes to the ear, the other hand to the hip, the head leans to it."""
    ear = (-0.07, 0.08, 0.22)
    right = track(take.progress, [(0, _PHONE_LOW), (0.3, ear)])
    roll = track(take.progress, [(0.2, 0), (0.4, 0.07)])
    left = track(take.progress, [(0.1, RELAXED), (0.4, (0.1, -0.66, 0.02))])
    return [replace(take.alone(), hands=both(left, right), roll=roll, nod=0.08 * take.swing(0.6))]


def play_with_phone(take: Take) -> list[Posture]:
    """Act A29: the phone is held before the chest, the other hand taps on it, the head looks down."""
    right = track(take.progress, [(0, _PHONE_LOW), (0.25, (-0.2, -0.36, 0.54))])
    tapping = np.stack([0.1 * take.swing(0.9), 0.09 * take.swing(2.1), 0 * take.seconds], axis=-1)
    beside = np.array([-0.3, -0.33, 0.58]) + tapping
    left = RELAXED + track(take.progress, [(0.05, 0), (0.3, 1)])[:, None] * (beside - RELAXED)
    nod = track(take.progress, [(0, 0.15), (0.3, 0.65)])
    return [replace(take.alone(), hands=both(left, right), nod=nod, lean=0.3 * nod)]
