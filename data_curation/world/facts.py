"""The facts of a clip: everything that happens in it, exactly, for questions and for the grading of captions."""

from functools import partial
from typing import Any

import numpy as np

from data_curation.synthetic.camera import COLOUR_FOCAL, Camera
from data_curation.world.clips import Settings, Take
from data_curation.world.colours import colour_name
from data_curation.world.film import person_pixels
from data_curation.world.perform import PartTime
from data_curation.world.session import Person, Session
from data_curation.world.surroundings import Piece
from data_curation.world.things import COLOURS
from ski_lvlm.datasets.catalogue import open_data_set
from ski_lvlm.datasets.ntu import ClipName

FURNITURE_NAMES = ("table", "shelf", "plant", "lamp", "chair", "box", "ball")
DATA_SET = "synthetic48"
_MIDDLE = 0.3  # metres above the floor: of low things the top, of high ones the lower half


def facts_of(clip: ClipName, scene: Take, settings: Settings) -> dict[str, Any]:
    """Return what a clip shows, in words and numbers. Times are seconds, lengths metres, angles degrees."""
    session, performance = scene.session, scene.performance
    num_persons = len(performance.bodies)
    names = open_data_set(DATA_SET).description
    is_in_view = partial(stands_in_view, camera=session.camera(num_persons), is_square=settings.is_square)
    return {
        "clip": str(clip),
        "difficulty": settings.level,
        "actions": [
            {"number": number, "name": names.class_named(f"A{number}").name, "way": way}
            for number, way in zip(scene.actions, performance.ways)
        ],
        "parts": [_part(part, session) for part in performance.parts],
        "seconds": round(len(performance.seconds) / float(scene.rate), 3),
        "frames": len(performance.seconds),
        "fps": round(float(scene.rate), 3),
        "persons": [_person(person) for person in session.persons[:num_persons]],
        "facing": facing(float(performance.headings[0][0]), session.yaw),
        "things": [_thing(kind, session) for kind in dict.fromkeys(thing.kind for thing in performance.things)
                   if performance.held_thing is None or kind != performance.held_thing[0]],
        "held_thing": _held(performance.held_thing, session),
        "wrong_things": [
            _thing(piece.kind, session) | {"in_view": is_in_view(piece)} for piece in session.wrong_things
        ],
        "room": {
            "number": session.room_number,
            "walls": colour_name(session.room.wall),
            "floor": colour_name(session.room.floor),
            "furniture": [FURNITURE_NAMES[int(piece.kind)] for piece in session.furniture],
            "furniture_in_view": [FURNITURE_NAMES[int(piece.kind)] for piece in session.furniture if is_in_view(piece)],
        },
        "camera": {
            "number": clip.camera,
            "yaw": round(float(np.rad2deg(session.yaw)), 1),
            "height": round(session.camera(num_persons).position[1], 2),
            "person_share": round(person_pixels(session, num_persons, 1), 3),
        },
        "light": round(session.light[0], 3),
        "occluded": round(session.occluder.share, 2) if session.occluder else 0.0,
        "passers_by": len(session.passers_by),
    }  # fmt: skip


def stands_in_view(piece: Piece, *, camera: Camera, is_square: bool) -> bool:
    """Return whether the middle of a piece is within the picture's frame. Something else may still hide it."""
    x, y, away = camera.see(np.array([[piece.place[0], _MIDDLE, piece.place[1]]]))[0]
    half_width = 1080 / 2 if is_square else 1920 / 2
    reach = COLOUR_FOCAL / max(away, 1e-6)
    return bool(away > 0 and abs(x) * reach < half_width and abs(y) * reach < 1080 / 2)


def _part(part: PartTime, session: Session) -> dict[str, Any]:
    """Return a part with the hand that does it, if one hand alone does."""
    words = part.part.split()
    hand = next((word for word in words if word in ("main", "other")), None)
    entry = {"part": part.part, "person": part.person + 1, "start": round(part.start, 3), "end": round(part.end, 3)}
    return entry | ({"hand": _side(hand, session.persons[part.person])} if hand else {})


def _side(hand: str, person: Person) -> str:
    return "left" if (hand == "main") == person.build.left_handed else "right"


def _person(person: Person) -> dict[str, Any]:
    clothes = person.clothes
    return {
        "subject": person.subject,
        "height": round(person.build.height, 3),
        "handed": _side("main", person),
        "tempo": round(person.tempo, 3),
        "shirt": colour_name(clothes.shirt),
        "sleeves": "long" if clothes.long_sleeves else "short",
        "trousers": colour_name(clothes.trousers),
        "hair": f"{'long' if clothes.long_hair else 'short'} {colour_name(clothes.hair)}",
    }


def facing(heading: float, yaw: float) -> dict[str, Any]:
    """Return where the first person looks at the beginning, as the camera sees it."""
    towards = -np.cos(heading - yaw)
    to_right = np.sin(heading - yaw)
    angle = float(np.rad2deg(np.arctan2(to_right, towards)))
    word = "towards the camera" if abs(angle) < 45 else "away from the camera" if abs(angle) > 135 else ""
    return {"degrees": round(angle, 1), "direction": word or ("right" if angle > 0 else "left")}


def _thing(kind: str, session: Session) -> dict[str, str]:
    return {"thing": kind, "colour": COLOURS[kind][session.colours[kind]][0]}


def _held(held_thing: tuple[str, str] | None, session: Session) -> dict[str, str] | None:
    if held_thing is None:
        return None
    return _thing(held_thing[0], session) | {"hand": _side(held_thing[1], session.persons[0])}
