"""A clothed person around the 25 joints: limbs, trunk, head with a face, and the shadow under the feet."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from data_curation.synthetic.motion import (
    ANKLE_L,
    ANKLE_R,
    CHEST,
    ELBOW_L,
    ELBOW_R,
    FOOT_L,
    FOOT_R,
    HAND_L,
    HAND_R,
    HEAD,
    HIP_L,
    HIP_R,
    KNEE_L,
    KNEE_R,
    NECK,
    SHOULDER_L,
    SHOULDER_R,
    SPINE_BASE,
    SPINE_MID,
    TIP_L,
    TIP_R,
    WRIST_L,
    WRIST_R,
    Build,
    unit,
)
from data_curation.synthetic.render import Colour, Shape, View, blob, solid

SHIRTS: tuple[Colour, ...] = (
    (200, 45, 45), (40, 90, 200), (45, 150, 70), (235, 190, 50), (240, 240, 235), (130, 60, 150),
    (235, 120, 40), (60, 185, 190), (235, 130, 165), (90, 95, 105), (120, 170, 60), (35, 45, 90),
)  # fmt: skip
TROUSERS: tuple[Colour, ...] = (
    (45, 55, 95), (60, 60, 65), (120, 95, 65), (85, 110, 150), (170, 150, 115), (75, 90, 60), (110, 45, 50),
    (35, 35, 40),
)  # fmt: skip
SKINS: tuple[Colour, ...] = ((240, 205, 180), (225, 180, 145), (200, 150, 110), (160, 110, 75), (115, 78, 55))
HAIRS: tuple[Colour, ...] = ((40, 30, 28), (75, 50, 35), (120, 80, 45), (190, 150, 90), (150, 145, 140), (140, 60, 35))
SHOES: tuple[Colour, ...] = ((40, 40, 45), (230, 230, 230), (120, 70, 45), (180, 50, 50), (50, 80, 140))


@dataclass(frozen=True)
class Clothes:
    """The clothes and features of a person, with colours in red, green, blue."""

    shirt: Colour
    trousers: Colour
    shoes: Colour
    skin: Colour
    hair: Colour
    long_sleeves: bool
    long_hair: bool


def dressed(rng: np.random.Generator, *, skin: Colour, hair: Colour, long_hair: bool) -> Clothes:
    """Draw the clothes of one person and day."""
    return Clothes(
        shirt=SHIRTS[rng.integers(len(SHIRTS))],
        trousers=TROUSERS[rng.integers(len(TROUSERS))],
        shoes=SHOES[rng.integers(len(SHOES))],
        skin=skin,
        hair=hair,
        long_sleeves=bool(rng.random() < 0.5),
        long_hair=long_hair,
    )


def figure(
    joints: Float[np.ndarray, "T 25 3"], *, build: Build, clothes: Clothes, view: View, has_face: bool = True
) -> list[Shape]:
    """Return the shapes of one person over T frames. A face costs time that nobody sees on a small person."""
    return [
        *_trunk(joints, build, clothes, view),
        *_arms(joints, build, clothes, view),
        *_legs(joints, build, clothes, view),
        *_head(joints, build, clothes, view, has_face),
    ]


def _trunk(joints: Float[np.ndarray, "T 25 3"], build: Build, clothes: Clothes, view: View) -> list[Shape]:
    thick = build.girth * build.height / 1.7
    chest = joints[:, [SHOULDER_L, SHOULDER_R, CHEST, SPINE_MID]]
    belly = joints[:, [SPINE_MID, SPINE_BASE, HIP_L, HIP_R]]
    waist = belly[:, 2:] + 0.3 * (joints[:, SPINE_MID] - joints[:, SPINE_BASE])[:, None]
    return [
        blob(belly[:, 1:], [0.115 * thick, 0.1 * thick, 0.1 * thick], colour=clothes.trousers, view=view),
        blob(
            np.concatenate([chest, waist], axis=1),
            [0.062 * thick, 0.062 * thick, 0.085 * thick, 0.125 * thick, 0.1 * thick, 0.1 * thick],
            colour=clothes.shirt,
            view=view,
            nearer=0.08,
            vertices=28,
        ),
        blob(joints[:, [CHEST, NECK]], [0.05 * thick, 0.046 * thick], colour=clothes.skin, view=view, nearer=0.1),
    ]


def _arms(joints: Float[np.ndarray, "T 25 3"], build: Build, clothes: Clothes, view: View) -> list[Shape]:
    thick = build.girth * build.height / 1.7
    forearm = clothes.shirt if clothes.long_sleeves else clothes.skin
    shapes = []
    for shoulder, elbow, wrist, hand, tip in (
        (SHOULDER_L, ELBOW_L, WRIST_L, HAND_L, TIP_L),
        (SHOULDER_R, ELBOW_R, WRIST_R, HAND_R, TIP_R),
    ):
        shapes += [
            blob(joints[:, [elbow, wrist]], [0.043 * thick, 0.034 * thick], colour=forearm, view=view, nearer=0.07),
            blob(
                joints[:, [shoulder, elbow]],
                [0.06 * thick, 0.046 * thick],
                colour=clothes.shirt,
                view=view,
                nearer=0.05,
            ),
            blob(joints[:, [wrist, hand, tip]], [0.033, 0.05, 0.034], colour=clothes.skin, view=view, nearer=0.08),
        ]
    return shapes


def _legs(joints: Float[np.ndarray, "T 25 3"], build: Build, clothes: Clothes, view: View) -> list[Shape]:
    thick = build.girth * build.height / 1.7
    shapes = []
    for hip, knee, ankle, foot in ((HIP_L, KNEE_L, ANKLE_L, FOOT_L), (HIP_R, KNEE_R, ANKLE_R, FOOT_R)):
        shapes += [
            blob(joints[:, [hip, knee]], [0.093 * thick, 0.065 * thick], colour=clothes.trousers, view=view),
            blob(joints[:, [knee, ankle]], [0.064 * thick, 0.048 * thick], colour=clothes.trousers, view=view),
            blob(joints[:, [ankle, foot]], [0.048, 0.042], colour=clothes.shoes, view=view, nearer=0.01),
        ]
    return shapes


def _head(
    joints: Float[np.ndarray, "T 25 3"], build: Build, clothes: Clothes, view: View, has_face: bool
) -> list[Shape]:
    size = build.height / 1.7
    up = unit(joints[:, HEAD] - joints[:, NECK])
    right = unit(joints[:, SHOULDER_R] - joints[:, SHOULDER_L])
    ahead = unit(np.cross(up, right))

    def at(forward: float, above: float, aside: float = 0.0) -> Float[np.ndarray, "T 3"]:
        return joints[:, HEAD] + size * (forward * ahead + above * up + aside * right)

    skull = np.stack([at(-0.025, 0.035), at(-0.02, 0.0)], axis=1)
    hair = np.concatenate([skull, at(-0.08, -0.1)[:, None]], axis=1) if clothes.long_hair else skull
    face = np.stack([at(0.025, 0.0), at(0.035, -0.055)], axis=1)
    dark, lips = (40, 30, 30), (175, 70, 70)
    nose = (0.85 * clothes.skin[0], 0.8 * clothes.skin[1], 0.78 * clothes.skin[2])
    features = [
        (np.stack([at(0.1, 0.012, -0.036)], axis=1), [0.0115], dark),
        (np.stack([at(0.1, 0.012, 0.036)], axis=1), [0.0115], dark),
        (np.stack([at(0.115, -0.01), at(0.12, -0.025)], axis=1), [0.008, 0.015], nose),
        (np.stack([at(0.095, -0.06, -0.022), at(0.095, -0.06, 0.022)], axis=1), [0.009, 0.009], lips),
    ]
    features = features if has_face else []
    return [
        blob(hair, [0.112 * size, 0.1 * size, 0.07 * size][: hair.shape[1]], colour=clothes.hair, view=view),
        blob(face, [0.094 * size, 0.07 * size], colour=clothes.skin, view=view),
        *(blob(c, r, colour=k, view=view, flat=True, nearer=0.03, vertices=10) for c, r, k in features),
    ]


def shadow(points: Float[np.ndarray, "T N 3"], *, reach: float, floor: Colour, view: View) -> list[Shape]:
    """Return the soft shadow on the floor under `points`, drawn before everything else."""
    angles = 2 * np.pi * np.arange(20) / 20
    ring = np.stack([np.cos(angles), np.zeros(20), np.sin(angles)], axis=-1)
    low, high = points.min(axis=1), points.max(axis=1)
    centre, spread = (low + high) / 2 * (1, 0, 1), (high - low) / 2 * (1, 0, 1)
    shapes = []
    for grown, brightness in ((1.25, 0.86), (1.0, 0.72), (0.7, 0.6)):
        corners = centre[:, None] + ring * (spread[:, None] + reach * grown)
        colour = (floor[0] * brightness, floor[1] * brightness, floor[2] * brightness)
        patch = solid(corners, [(range(20), colour)], view=view)
        shapes.append(Shape(patch.distance + 100 + brightness, patch.layers))
    return shapes
