"""The surroundings of the persons: furniture, wrong things, something in front, passers-by. No class is known."""

from dataclasses import dataclass

import numpy as np

from data_curation.synthetic.figure import HAIRS, SKINS, Clothes, dressed
from data_curation.synthetic.furniture import FURNITURE
from data_curation.synthetic.motion import Build
from data_curation.synthetic.render import Colour
from data_curation.world.difficulty import Difficulty, Range
from data_curation.world.things import COLOURS, HOLDABLE, KINDS, LYING


@dataclass(frozen=True)
class Piece:
    """Something that stands in the room: a kind, a place on the floor (metres) and a direction (radians)."""

    kind: str
    place: tuple[float, float]
    heading: float


@dataclass(frozen=True)
class Occluder:
    """A board `ahead` metres from the persons towards the camera. It hides a `share` of a standing person."""

    share: float
    ahead: float
    aside: float
    width: float
    colour: Colour


@dataclass(frozen=True)
class Passer:
    """Somebody who walks across, `behind` metres beyond the persons, at their height at `start` seconds."""

    build: Build
    clothes: Clothes
    behind: float
    start: float
    speed: float


def uniform(rng: np.random.Generator, limits: Range) -> float:
    """Draw a number of a range."""
    return float(limits[0] + (limits[1] - limits[0]) * rng.random())


def _count(rng: np.random.Generator, limits: Range) -> int:
    return int(limits[0] + np.floor((limits[1] - limits[0] + 1) * rng.random()))


def body_of(rng: np.random.Generator, *, left_handed: bool = False) -> Build:
    """Draw a body."""
    return Build(
        height=rng.uniform(1.52, 1.92),
        width=rng.uniform(0.92, 1.12),
        girth=rng.uniform(0.86, 1.2),
        left_handed=left_handed,
    )


def _around(rng: np.random.Generator, yaw: float, distance: Range) -> tuple[float, float]:
    """Return a place behind or beside the persons, as the camera sees them, so that it hides nobody."""
    angle = yaw + rng.uniform(-1.9, 1.9)
    radius = rng.uniform(*distance)
    return float(radius * np.sin(angle)), float(radius * np.cos(angle))


def furniture_about(rng: np.random.Generator, difficulty: Difficulty, yaw: float) -> tuple[Piece, ...]:
    """Draw the furniture behind the persons, whose kinds are numbers of `FURNITURE`."""
    count = _count(rng, difficulty.clutter)
    kinds = [str(rng.integers(len(FURNITURE))) for _ in range(count)]
    return tuple(Piece(kind, _around(rng, yaw, (1.9, 3.6)), float(rng.uniform(0, 2 * np.pi))) for kind in kinds)


def things_about(rng: np.random.Generator, difficulty: Difficulty, yaw: float) -> dict:
    """Return the wrong things, the one in an idle hand, and the colours of all things."""
    colours = {kind: int(rng.integers(len(COLOURS[kind]))) for kind in KINDS}
    is_held, kind = rng.random() < difficulty.held_thing, HOLDABLE[rng.integers(len(HOLDABLE))]
    hand = "main" if rng.random() < 0.5 else "other"
    count = _count(rng, difficulty.wrong_things)
    kinds = [LYING[rng.integers(len(LYING))] for _ in range(count)]
    places = [_around(rng, yaw, (0.85, 1.5)) for _ in kinds]
    headings = rng.uniform(0, 2 * np.pi, count).tolist()
    return {
        "wrong_things": tuple(map(Piece, kinds, places, headings)),
        "held_thing": (kind, hand) if is_held else None,
        "colours": colours,
    }


def occluder_before(rng: np.random.Generator, difficulty: Difficulty) -> Occluder | None:
    """Draw what stands in front of the persons, if anything."""
    is_there = rng.random() < difficulty.occluder
    occluder = Occluder(
        share=uniform(rng, difficulty.occlusion),
        ahead=float(rng.uniform(0.9, 1.4)),
        aside=float(rng.uniform(-0.5, 0.5)),
        width=float(rng.uniform(0.7, 1.8)),
        colour=((120, 85, 60), (90, 95, 110), (150, 60, 60), (70, 110, 90), (200, 190, 170))[rng.integers(5)],
    )
    return occluder if is_there else None


def passers_by(rng: np.random.Generator, difficulty: Difficulty) -> tuple[Passer, ...]:
    """Draw who walks through the scene."""
    passers = []
    for _ in range(_count(rng, difficulty.passers_by)):
        skin, hair = SKINS[rng.integers(len(SKINS))], HAIRS[rng.integers(len(HAIRS))]
        clothes = dressed(rng, skin=skin, hair=hair, long_hair=bool(rng.random() < 0.5))
        speed = float(rng.choice([-1, 1]) * rng.uniform(0.9, 1.4))
        behind, start = float(rng.uniform(1.0, 3.0)), float(rng.uniform(0.3, 2.5))
        passers.append(Passer(body_of(rng), clothes, behind, start, speed))
    return tuple(passers)
