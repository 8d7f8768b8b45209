"""The pictures of a performance in its session: room, furniture, things, persons, light."""

from dataclasses import replace

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from data_curation.synthetic.camera import COLOUR_FOCAL
from data_curation.synthetic.figure import Clothes, figure, shadow
from data_curation.synthetic.furniture import FURNITURE, Palette
from data_curation.synthetic.motion import ANKLE_L, ANKLE_R, FOOT_L, FOOT_R, SPINE_BASE, Build, joints
from data_curation.synthetic.props import SEAT_HEIGHT
from data_curation.synthetic.render import Colour, Shape, View, cuboid, paint, still
from data_curation.synthetic.room import Room, walls
from data_curation.world.gait import walking
from data_curation.world.perform import Performance
from data_curation.world.score import Score
from data_curation.world.session import Session
from data_curation.world.surroundings import Occluder, Passer, Piece
from data_curation.world.thing_paths import HALF_HEIGHTS, ThingPath
from data_curation.world.things import COLOURS, thing_shapes

_FACELESS = 60
"""Persons of fewer pixels are drawn without a face."""
_BEYOND = 0.7
"""Metres behind the persons from which on nothing can hide them."""
_MARGIN = 0.6  # metres between the camera and a wall


def film(performance: Performance, *, session: Session, width: int, height: int) -> list[UInt8[np.ndarray, "H W 3"]]:
    """Render a frame for every moment of the performance."""
    num_frames = len(performance.seconds)
    view = View(session.camera(len(performance.bodies)), width, height)
    lying = [(piece, _lying(piece, session, view)) for piece in session.wrong_things]
    is_beyond = {
        id(piece): _distance(piece, view) > _distance(Piece("", (0, 0), 0), view) + _BEYOND for piece, _ in lying
    }
    background = _background(session, view, [s for piece, group in lying if is_beyond[id(piece)] for s in group])
    shapes = [still(shape, num_frames) for piece, group in lying if not is_beyond[id(piece)] for shape in group]
    shapes += _persons(performance, session, view) + _handled(performance, session, view)
    for passer in session.passers_by:
        shapes += _passing(passer, performance.seconds, session, view)
    if session.occluder:
        shapes.append(still(_board(session.occluder, session, view), num_frames))
    tones = _tones(session.light)
    return [_lit(paint(background, shapes, frame=frame), tones) for frame in range(num_frames)]


def person_pixels(session: Session, num_persons: int, height: int) -> float:
    """Return the height of the standing first person in a picture of some height."""
    away = float(np.linalg.norm(session.camera(num_persons).see(np.array([0.0, 0.9, 0.0]))))
    return COLOUR_FOCAL / 1080 * session.persons[0].build.height / away * height


def _background(session: Session, view: View, lying: list[Shape]) -> UInt8[np.ndarray, "H W 3"]:
    room = _around_camera(session.room, view)
    image = walls(room, camera=view.camera, brightness=1.0, width=view.width, height=view.height)
    palette = Palette(*(_colour(kind, session) for kind in ("cup", "ball", "box", "chair", "phone")))
    shapes = list(lying)
    for piece in session.furniture:
        shapes += FURNITURE[int(piece.kind)](*_stand(piece, 0.0), palette, view)
    return paint(image, shapes, frame=0)


def _around_camera(room: Room, view: View) -> Room:
    """Return a room large enough for the camera, and for what stands about the persons."""
    x, _, z = view.camera.position
    return replace(
        room,
        half_width=max(4.2, abs(x) + _MARGIN),
        back=max(4.0, z + _MARGIN),
        front=min(room.front, z - _MARGIN),
    )


def _stand(piece: Piece, height: float) -> tuple[Float[np.ndarray, "1 3"], Float[np.ndarray, "1 3 3"]]:
    """Return centre and axes of a piece."""
    sin, cos = np.sin(piece.heading), np.cos(piece.heading)
    axes = np.array([[[-cos, 0, sin], [0, 1, 0], [sin, 0, cos]]])
    return np.array([[piece.place[0], height, piece.place[1]]]), axes


def _distance(piece: Piece, view: View) -> float:
    return float(view.camera.see(_stand(piece, 0.8)[0])[0, 2])


def _lying(piece: Piece, session: Session, view: View) -> list[Shape]:
    height = SEAT_HEIGHT if piece.kind == "chair" else HALF_HEIGHTS.get(piece.kind, 0.0)
    thing = ThingPath(piece.kind, *_stand(piece, height))
    return thing_shapes(thing, colour=_colour(piece.kind, session), view=view)


def _colour(kind: str, session: Session) -> Colour:
    return COLOURS[kind][session.colours[kind]][1]


def _persons(performance: Performance, session: Session, view: View) -> list[Shape]:
    shapes = []
    for body, person in zip(performance.bodies, session.persons):
        shapes += _person(body, person.build, person.clothes, session, view)
    return shapes


def _person(
    body: Float[np.ndarray, "T 25 3"], build: Build, clothes: Clothes, session: Session, view: View
) -> list[Shape]:
    feet = body[:, [SPINE_BASE, ANKLE_L, ANKLE_R, FOOT_L, FOOT_R]]
    away = float(view.camera.see(body[:, SPINE_BASE])[:, 2].min())
    has_face = COLOUR_FOCAL * view.scale * build.height > _FACELESS * max(away, 0.1)
    return [
        *shadow(feet, reach=0.12, floor=session.room.floor, view=view),
        *figure(body, build=build, clothes=clothes, view=view, has_face=has_face),
    ]


def _handled(performance: Performance, session: Session, view: View) -> list[Shape]:
    shapes = []
    for thing in performance.things:
        shapes += shadow(thing.centre[:, None], reach=0.13, floor=session.room.floor, view=view)
        shapes += thing_shapes(thing, colour=_colour(thing.kind, session), view=view)
    return shapes


def _passing(passer: Passer, seconds: Float[np.ndarray, " T"], session: Session, view: View) -> list[Shape]:
    """Return the shapes of a person who walks across the picture."""
    sin, cos = np.sin(session.yaw), np.cos(session.yaw)
    across = np.outer(passer.speed * (seconds - passer.start), [cos, -sin])
    place = across + passer.behind * np.array([sin, cos])
    heading = np.arctan2(cos, -sin) + (0.0 if passer.speed > 0 else np.pi)
    score = Score(seconds=seconds, build=passer.build, place=(0.0, 0.0), heading=float(heading))
    posture = walking(replace(score.posture(), place=place), seconds=seconds, build=passer.build)
    return _person(joints(posture, build=passer.build), passer.build, passer.clothes, session, view)


def _board(occluder: Occluder, session: Session, view: View) -> Shape:
    """Return a board that hides its share of a standing person, as the camera sees it."""
    sin, cos = np.sin(session.yaw), np.cos(session.yaw)
    place = -occluder.ahead * np.array([sin, cos]) + occluder.aside * np.array([cos, -sin])
    hidden = occluder.share * session.persons[0].build.height
    away = float(np.hypot(view.camera.position[0], view.camera.position[2]))
    top = hidden + (view.camera.position[1] - hidden) * occluder.ahead / away
    piece = Piece("board", (float(place[0]), float(place[1])), session.yaw)
    centre, axes = _stand(piece, max(top, 0.1) / 2)
    size = (occluder.width, max(top, 0.1), 0.12)
    return cuboid(centre, axes, size, colours=[occluder.colour], view=view)


def _tones(light: tuple[float, float]) -> UInt8[np.ndarray, "1 256 3"]:
    """Return the table of what light makes of each value of red, green and blue."""
    brightness, warmth = light
    factors = brightness * np.array([1 + 0.05 * warmth, 1.0, 1 - 0.05 * warmth])
    return np.clip(np.arange(256)[None, :, None] * factors, 0, 255).astype(np.uint8)


def _lit(image: UInt8[np.ndarray, "H W 3"], tones: UInt8[np.ndarray, "1 256 3"]) -> UInt8[np.ndarray, "H W 3"]:
    return np.asarray(cv2.LUT(image, tones), np.uint8)
