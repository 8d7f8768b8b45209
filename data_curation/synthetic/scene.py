"""One recording session: persons, clothes, room and camera, independent of the action.

Everything is drawn from the seed and the session's part of the clip's name (set-up, camera, performer, replication), so
the same session looks the same for every action.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from data_curation.synthetic.actions import Performance
from data_curation.synthetic.camera import Camera
from data_curation.synthetic.figure import HAIRS, SKINS, Clothes, dressed, figure, shadow
from data_curation.synthetic.furniture import Palette, palette, prop_shapes
from data_curation.synthetic.motion import ANKLE_L, ANKLE_R, FOOT_L, FOOT_R, SPINE_BASE, Build
from data_curation.synthetic.render import Shape, View, paint
from data_curation.synthetic.room import Room, backdrop, furnished
from ski_lvlm.datasets.ntu import ClipName

NUM_PERFORMERS = 12
LEFT_HANDED = (3, 7, 11)
_PAN = {1: 0.0, 2: -np.pi / 4, 3: np.pi / 4}
_PERSON, _CLOTHES, _ROOM, _SESSION = range(4)


@dataclass(frozen=True)
class Session:
    """The performer and a partner (for actions of two), the room, the light and the camera's position."""

    builds: tuple[Build, Build]
    clothes: tuple[Clothes, Clothes]
    room: Room
    palette: Palette
    brightness: float
    pan: float
    share: float
    """Of the image's height, how much a standing performer takes."""

    def camera(self, num_persons: int) -> Camera:
        """Return the camera, far enough away to show all actors."""
        height = self.builds[0].height
        distance = height / self.share if num_persons == 1 else max(3.0, height / self.share)
        up, tilt = 0.68 * height, 0.095
        return Camera((-distance * np.sin(self.pan), up, -distance * np.cos(self.pan)), self.pan, tilt)


def session(clip: ClipName, *, seed: int) -> Session:
    """Return the session of a clip. Clips that differ only in action have the same."""
    rng = np.random.default_rng([seed, _SESSION, *clip[:4]])
    partner = 1 + (clip.performer - 1 + int(rng.integers(1, NUM_PERFORMERS))) % NUM_PERFORMERS
    (build, clothes), (other, other_clothes) = (
        _person(p, clip.replication, seed=seed) for p in (clip.performer, partner)
    )
    if other_clothes.shirt == clothes.shirt:
        other_clothes = _person(partner, clip.replication + 2, seed=seed)[1]
    return Session(
        builds=(build, other),
        clothes=(clothes, other_clothes),
        room=furnished(np.random.default_rng([seed, _ROOM, clip.setup])),
        palette=palette(rng),
        brightness=rng.uniform(0.85, 1.05),
        pan=_PAN[clip.camera] + rng.normal(0, 0.06),
        share=rng.uniform(0.66, 0.74),
    )


def _person(performer: int, day: int, *, seed: int) -> tuple[Build, Clothes]:
    rng = np.random.default_rng([seed, _PERSON, performer])
    build = Build(
        height=rng.uniform(1.55, 1.88),
        width=rng.uniform(0.94, 1.1),
        girth=rng.uniform(0.88, 1.15),
        left_handed=performer in LEFT_HANDED,
    )
    skin, hair = SKINS[rng.integers(len(SKINS))], HAIRS[rng.integers(len(HAIRS))]
    long_hair = bool(rng.random() < 0.5)
    clothes = np.random.default_rng([seed, _CLOTHES, performer, day])
    return build, dressed(clothes, skin=skin, hair=hair, long_hair=long_hair)


def film(performance: Performance, *, session: Session, width: int, height: int) -> list[UInt8[np.ndarray, "H W 3"]]:
    """Render the frames of the video."""
    view = View(session.camera(len(performance.bodies)), width, height)
    background = backdrop(session.room, palette=session.palette, brightness=session.brightness, view=view)
    shapes = _cast(performance, session, view)
    return [paint(background, shapes, frame=frame) for frame in range(len(performance.bodies[0]))]


def _cast(performance: Performance, session: Session, view: View) -> list[Shape]:
    floor = session.room.floor
    shapes: list[Shape] = []
    for joints, build, clothes in zip(performance.bodies, session.builds, session.clothes):
        feet = joints[:, [SPINE_BASE, ANKLE_L, ANKLE_R, FOOT_L, FOOT_R]]
        shapes += shadow(feet, reach=0.12, floor=floor, view=view)
        shapes += figure(joints, build=build, clothes=clothes, view=view)
    if performance.prop:
        shapes += shadow(performance.prop.centre[:, None], reach=0.15, floor=floor, view=view)
        shapes += prop_shapes(performance.prop, palette=session.palette, view=view)
    return shapes
