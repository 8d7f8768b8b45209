"""The objects of the synthetic actions, which follow the hands, gravity or nothing."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from jaxtyping import Float

from data_curation.synthetic.motion import HAND_L, HAND_R, Build, Posture, track

Kind = Literal["cup", "box", "ball", "phone", "chair"]
UP = np.array([0.0, 1.0, 0.0])
SEAT_HEIGHT = 0.45
BALL_RADIUS = 0.125
BOX_SIZE = np.array([0.36, 0.26, 0.28])
RELEASE = 0.33
"""Progress at which the dropped box leaves the hands."""
GRASP = 0.45
"""Progress at which the box on the floor is taken."""
THROW = 0.57
"""Progress at which the ball leaves the throwing hand."""


@dataclass(frozen=True)
class Prop:
    """An object over T frames: its centre (metres, room) and the directions of its right, up and front."""

    kind: Kind
    centre: Float[np.ndarray, "T 3"]
    axes: Float[np.ndarray, "T 3 3"]


@dataclass(frozen=True)
class Holder:
    """The person who handles the object, with `seconds` from the action's beginning and `progress` from 0 to 1."""

    progress: Float[np.ndarray, " T"]
    seconds: Float[np.ndarray, " T"]
    posture: Posture
    joints: Float[np.ndarray, "T 25 3"]
    build: Build

    @cached_property
    def forward(self) -> Float[np.ndarray, "T 3"]:
        """The direction of the person along the floor."""
        heading = self.posture.heading
        return np.stack([np.sin(heading), np.zeros_like(heading), np.cos(heading)], axis=-1)

    @cached_property
    def right(self) -> Float[np.ndarray, "T 3"]:
        """The person's right in the mirrored room."""
        heading = self.posture.heading
        return np.stack([-np.cos(heading), np.zeros_like(heading), np.sin(heading)], axis=-1)

    @cached_property
    def hand(self) -> Float[np.ndarray, "T 3"]:
        """The leading hand."""
        return self.joints[:, HAND_L if self.build.left_handed else HAND_R]

    @cached_property
    def between_hands(self) -> Float[np.ndarray, "T 3"]:
        """The point half-way between the hands."""
        return (self.joints[:, HAND_L] + self.joints[:, HAND_R]) / 2

    def axes(self, up: Float[np.ndarray, "T 3"] | None = None) -> Float[np.ndarray, "T 3 3"]:
        """Return right, up and front of an object that faces as the person does, with its top along `up`."""
        up = np.broadcast_to(UP, self.forward.shape) if up is None else up / np.linalg.norm(up, axis=-1, keepdims=True)
        front = self.forward - (self.forward * up).sum(-1, keepdims=True) * up
        return np.stack([self.right, up, front / np.linalg.norm(front, axis=-1, keepdims=True)], axis=1)


Handling = Callable[[Holder], Prop | None]


def nothing(holder: Holder) -> None:
    """Return no object."""


def cup(holder: Holder) -> Prop:
    """Return a cup in the leading hand that tips towards the mouth."""
    tilt = track(holder.progress, [(0.25, 0.0), (0.42, 0.9), (0.7, 0.9), (0.85, 0.0)])[:, None]
    return Prop("cup", holder.hand + 0.05 * holder.forward + 0.02 * UP, holder.axes(UP - tilt * holder.forward))


def dropped_box(holder: Holder) -> Prop:
    """Return a box between the hands that falls at `RELEASE`."""
    released = int(np.argmin(np.abs(holder.progress - RELEASE)))
    centre = _carried(holder)
    start = centre[released]
    fall = np.maximum(holder.seconds - holder.seconds[released], 0)
    down = np.maximum(start[1] - 0.5 * 7.0 * fall**2, BOX_SIZE[1] / 2)
    centre[released:] = start + 0.18 * np.minimum(fall, 0.5)[released:, None] * holder.forward[released]
    centre[released:, 1] = down[released:]
    return Prop("box", centre, holder.axes())


def lifted_box(holder: Holder) -> Prop:
    """Return a box on the floor that comes up with the hands from `GRASP` on."""
    grasped = int(np.argmin(np.abs(holder.progress - GRASP)))
    centre = _carried(holder)
    offset = np.array([0, BOX_SIZE[1] / 2 - centre[grasped, 1], 0])
    centre += track(holder.progress, [(holder.progress[grasped], 1.0), (0.7, 0.0)])[:, None] * offset
    centre[:grasped] = centre[grasped]
    return Prop("box", centre, holder.axes())


def _carried(holder: Holder) -> Float[np.ndarray, "T 3"]:
    return holder.between_hands + 0.06 * holder.forward - 0.02 * UP


def thrown_ball(holder: Holder) -> Prop:
    """Return a ball that the leading hand takes back and throws forward at `THROW`."""
    centre = holder.between_hands + 0.06 * holder.forward
    alone = track(holder.progress, [(0.02, 0.0), (0.2, 1.0)])[:, None]
    centre += alone * (holder.hand + 0.09 * UP - centre)
    thrown = int(np.argmin(np.abs(holder.progress - THROW)))
    flight = np.maximum(holder.seconds - holder.seconds[thrown], 0)[thrown:, None]
    centre[thrown:] = centre[thrown] + flight * (3.2 * holder.forward[thrown] + 1.0 * UP) - 0.5 * 9.81 * flight**2 * UP
    centre[:, 1] = np.maximum(centre[:, 1], BALL_RADIUS)
    return Prop("ball", centre, holder.axes())


def bounce_height(seconds: Float[np.ndarray, " T"]) -> Float[np.ndarray, " T"]:
    """Return the height of a bounced ball, 1 at the hand (for 0.33 s) and 0 on the floor.

    >>> bounce_height(np.array([0.0, 0.33, 0.78])).round(2).tolist()
    [1.0, 1.0, 0.0]
    """
    half = (np.maximum(seconds - 0.33, 0) / 0.9) % 1 - 0.5
    return 1 - (1 - np.abs(2 * half)) ** 2


def bounced_ball(holder: Holder) -> Prop:
    """Return a ball between the leading hand and the floor."""
    height = bounce_height(holder.seconds)
    under = holder.hand + 0.08 * holder.forward
    under[:, 1] = BALL_RADIUS + height * (holder.hand[:, 1] - 2 * BALL_RADIUS - 0.02)
    alone = track(holder.seconds, [(-0.1, 0.0), (0.33, 1.0)])[:, None]
    start = holder.between_hands + 0.06 * holder.forward
    return Prop("ball", start + alone * (under - start), holder.axes())


def phone_at_ear(holder: Holder) -> Prop:
    """Return a phone upright in the leading hand."""
    axes = holder.axes(UP + 0.35 * holder.forward)
    at_ear = track(holder.progress, [(0.05, 0.0), (0.3, 1.0)])[:, None, None]
    turned = np.stack([-axes[:, 2], axes[:, 1], axes[:, 0]], axis=1)
    centre = holder.hand + (0.05 - 0.11 * at_ear[:, 0]) * holder.forward + 0.03 * at_ear[:, 0] * UP
    return Prop("phone", centre, _blend(axes, turned, 0.6 * at_ear))


def _blend(
    first: Float[np.ndarray, "T 3 3"], second: Float[np.ndarray, "T 3 3"], share: Float[np.ndarray, "T 1 1"]
) -> Float[np.ndarray, "T 3 3"]:
    """Rotate axes about their common `up` from the first to the second."""
    front = first[:, 2] + share[:, 0] * (second[:, 2] - first[:, 2])
    front = front / np.linalg.norm(front, axis=-1, keepdims=True)
    up = first[:, 1] - (first[:, 1] * front).sum(-1, keepdims=True) * front
    up = up / np.linalg.norm(up, axis=-1, keepdims=True)
    right = first[:, 0] + share[:, 0] * (second[:, 0] - first[:, 0])
    right = right - (right * front).sum(-1, keepdims=True) * front - (right * up).sum(-1, keepdims=True) * up
    return np.stack([right / np.linalg.norm(right, axis=-1, keepdims=True), up, front], axis=1)


def phone_in_front(holder: Holder) -> Prop:
    """Return a phone before the chest, with its screen towards the face."""
    return Prop("phone", holder.hand + 0.05 * holder.forward, holder.axes(UP + 0.7 * holder.forward))


def chair(holder: Holder) -> Prop:
    """Return a chair behind the person, centred at the seat."""
    still = np.tile(holder.forward[0], (len(holder.progress), 1))
    place = np.stack([holder.posture.place[0, 0], SEAT_HEIGHT, holder.posture.place[0, 1]])
    centre = place - (0.23 * holder.build.height + 0.02) * still
    return Prop("chair", centre, holder.axes())
