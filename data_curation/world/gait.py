"""The steps and arm swings of whoever moves over the floor."""

from dataclasses import replace

import numpy as np
from jaxtyping import Float

from data_curation.synthetic.motion import LEFT, RIGHT, Build, Posture
from data_curation.world.places import STANDARD_HEIGHT

_STRIDE = 1.3  # metres of two steps


def walking(posture: Posture, *, seconds: Float[np.ndarray, " T"], build: Build) -> Posture:
    """Return the posture with the steps and arm swings of its way over the floor."""
    velocity = np.gradient(posture.place, seconds, axis=0)
    speed = np.linalg.norm(velocity, axis=-1)
    turning = np.abs(np.gradient(posture.heading, seconds)) * 0.25
    sin, cos = np.sin(posture.heading), np.cos(posture.heading)
    ahead = (velocity * np.stack([sin, cos], axis=-1)).sum(-1)
    aside = (velocity * np.stack([-cos, sin], axis=-1)).sum(-1)
    size = build.height / STANDARD_HEIGHT
    covered = np.cumsum(speed + turning) * (seconds[1] - seconds[0])
    phase = 2 * np.pi * covered / (_STRIDE * size)
    reach_ahead = np.clip(ahead / 3.0, -0.27, 0.27) * size
    reach_aside = np.clip(aside / 5.0, -0.1, 0.1) * size
    lift = np.clip((speed + turning) / 6.0, 0, 0.14) * size
    feet, hands = posture.feet.copy(), posture.hands.copy()
    for side, sign in ((LEFT, 1), (RIGHT, -1)):
        feet[:, side, 2] += sign * reach_ahead * np.sin(phase)
        feet[:, side, 0] += sign * reach_aside * np.sin(phase)
        feet[:, side, 1] += np.maximum(sign * np.cos(phase), 0) * lift
        hands[:, side, 2] -= sign * 1.5 * reach_ahead * np.sin(phase) * (hands[:, side, 1] < -0.6)
    pelvis = posture.pelvis + np.stack([0 * speed, -0.08 * np.abs(reach_ahead), 0 * speed], axis=-1)
    return replace(posture, feet=feet, hands=hands, pelvis=pelvis)
