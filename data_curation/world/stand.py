"""A person as a partner sees him, who may be reached for."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from data_curation.synthetic.motion import Build, Posture, joints
from data_curation.world.places import STANDARD_HEIGHT, Place


@dataclass(frozen=True)
class Stand:
    """A person as a partner sees him: posture, joints in the room, and build."""

    posture: Posture
    joints: Float[np.ndarray, "T 25 3"]
    build: Build

    @classmethod
    def of(cls, posture: Posture, build: Build) -> "Stand":
        """Return a person's stand."""
        return cls(posture, joints(posture, build=build), build)

    @property
    def forward(self) -> Float[np.ndarray, "T 3"]:
        """The direction of the person along the floor."""
        heading = self.posture.heading
        return np.stack([np.sin(heading), np.zeros_like(heading), np.cos(heading)], axis=-1)

    def point(self, place: Place, other: "Stand", side: int) -> Float[np.ndarray, "T 3"]:
        """Return a place on this person for a hand of another one, whose `side` it is."""
        outward, up, ahead = place.offset
        heading = other.posture.heading
        right = np.stack([-np.cos(heading), np.zeros_like(heading), np.sin(heading)], axis=-1)
        sign = (-1.0, 1.0)[side] * (-1.0 if other.build.left_handed else 1.0)
        return self.joints[:, place.joint] + sign * outward * right + (0, up, 0) + ahead * self.forward

    def meeting(self, partner: "Stand", offset: Float[np.ndarray, " 3"]) -> Float[np.ndarray, "T 3"]:
        """Return a point half-way to the partner, `offset` from it in this person's frame."""
        middle = (self.posture.place + partner.posture.place) / 2
        height = offset[1] * (self.build.height + partner.build.height) / 2 / STANDARD_HEIGHT
        return np.insert(middle, 1, height, axis=1) + offset[2] * self.forward
