"""The session of a clip: persons, room, camera, light, furniture, wrong things, passers-by. It knows no class.

All of it is drawn from the seed and the clip's name without the action, one generator each. So clips that differ only
in action have the same session, and another range of one parameter leaves the others as they are. Persons, their
direction and their time depend on subject and replication alone: other rooms and cameras film the same performance.
"""

from dataclasses import dataclass

import numpy as np

from data_curation.synthetic.camera import Camera
from data_curation.synthetic.figure import HAIRS, SKINS, Clothes, dressed
from data_curation.synthetic.motion import Build
from data_curation.synthetic.room import Room, furnished
from data_curation.world.difficulty import VIEWS, Difficulty
from data_curation.world.surroundings import (
    Occluder,
    Passer,
    Piece,
    body_of,
    furniture_about,
    occluder_before,
    passers_by,
    things_about,
    uniform,
)
from ski_lvlm.datasets.ntu import ClipName

NUM_SUBJECTS = 24
TRAINERS = 16
"""Subjects 1 to 16 train, 17 to 24 test."""
LEFT_HANDED = (3, 8, 13, 18, 23)
_PERSON, _CLOTHES, _ROOM, _PARTNER, _CAMERA, _LIGHT, _CLUTTER, _OCCLUDER, _PASSERS, _THINGS, _TIME = range(100, 111)


@dataclass(frozen=True)
class Person:
    """A subject: body, hand, clothes of the day, and tempo (1 is usual)."""

    subject: int
    build: Build
    clothes: Clothes
    tempo: float


@dataclass(frozen=True)
class Session:
    """Everything about a clip but its action."""

    persons: tuple[Person, Person]
    room: Room
    room_number: int
    yaw: float
    camera_height: float
    share: float
    turned: float
    light: tuple[float, float]
    """Brightness and warmth."""
    furniture: tuple[Piece, ...]
    wrong_things: tuple[Piece, ...]
    held_thing: tuple[str, str] | None
    """A thing that an idle hand may hold, and which hand."""
    colours: dict[str, int]
    """Which of its colours each kind of thing has."""
    occluder: Occluder | None
    passers_by: tuple[Passer, ...]
    length: float
    frame_rate: int
    sensor_noise: float

    def camera(self, num_persons: int) -> Camera:
        """Return the camera, which looks at the persons' middle. Two persons are at least 3 metres away."""
        height = self.persons[0].build.height
        away = max(height / self.share, 3.0 if num_persons == 2 else 0.0)
        above = self.camera_height - 0.53 * height
        across = np.sqrt(max(away**2 - above**2, 1.0))
        place = (-across * np.sin(self.yaw), self.camera_height, -across * np.cos(self.yaw))
        return Camera(place, self.yaw, float(np.arctan2(above, across)))


def session(clip: ClipName, *, difficulty: Difficulty, seed: int) -> Session:
    """Draw the session of a clip."""
    room_number = clip.setup % 100
    actors = (clip.performer, clip.replication)

    def draws(topic: int, *key: int) -> np.random.Generator:
        return np.random.default_rng([seed, topic, *(key or (room_number, clip.camera, *actors))])

    camera, light, time = draws(_CAMERA), draws(_LIGHT), draws(_TIME, *actors)
    partner = draws(_PARTNER, *actors)
    other = 1 + (clip.performer - 1 + int(partner.integers(1, NUM_SUBJECTS))) % NUM_SUBJECTS
    persons = _pair(clip, other, seed)
    angle, above = VIEWS[clip.camera]
    yaw = np.deg2rad(angle + difficulty.yaw_spread * camera.normal())
    return Session(
        persons=persons,
        room=furnished(np.random.default_rng([seed, _ROOM, room_number])),
        room_number=room_number,
        yaw=float(yaw),
        camera_height=min(uniform(camera, difficulty.camera_height) + above, 2.6),
        share=float(np.exp(uniform(camera, (np.log(difficulty.person_share[0]), np.log(difficulty.person_share[1]))))),
        turned=float(np.deg2rad(np.clip(difficulty.facing_spread * partner.normal(), -180, 180))),
        light=(uniform(light, difficulty.light), float(light.normal())),
        furniture=furniture_about(draws(_CLUTTER), difficulty, float(yaw)),
        **things_about(draws(_THINGS), difficulty, float(yaw)),
        occluder=occluder_before(draws(_OCCLUDER), difficulty),
        passers_by=passers_by(draws(_PASSERS), difficulty),
        length=2.35 / (0.5 + 0.5 * persons[0].tempo) + time.uniform(0.2, 0.6),
        frame_rate=round(uniform(time, difficulty.frame_rate)),
        sensor_noise=difficulty.sensor_noise,
    )


def _pair(clip: ClipName, partner: int, seed: int) -> tuple[Person, Person]:
    """Return subject and partner, in shirts of different colours."""
    first, second = (_person(subject, clip.replication, seed) for subject in (clip.performer, partner))
    day = clip.replication
    while second.clothes.shirt == first.clothes.shirt:
        day += 1000
        second = _person(partner, day, seed)
    return first, second


def _person(subject: int, day: int, seed: int) -> Person:
    rng = np.random.default_rng([seed, _PERSON, subject])
    build = body_of(rng, left_handed=subject in LEFT_HANDED)
    skin, hair = SKINS[rng.integers(len(SKINS))], HAIRS[rng.integers(len(HAIRS))]
    long_hair = bool(rng.random() < 0.5)
    tempo = float(rng.uniform(0.8, 1.25))
    clothes = np.random.default_rng([seed, _CLOTHES, subject, day])
    return Person(subject, build, dressed(clothes, skin=skin, hair=hair, long_hair=long_hair), tempo)
