"""A room with walls, a floor, a window or a door, and furniture, the same for every action in it."""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, Float32, Int, UInt8

from data_curation.synthetic.camera import Camera, colour_rays
from data_curation.synthetic.furniture import FURNITURE, Palette
from data_curation.synthetic.render import Colour, Shape, View, paint

HALF_WIDTH, BACK, FRONT, CEILING = 3.2, 2.5, -4.5, 2.7
WALLS: tuple[Colour, ...] = (
    (225, 222, 212), (200, 215, 225), (222, 212, 190), (205, 220, 200), (228, 208, 205), (190, 195, 205),
)  # fmt: skip
FLOORS: tuple[Colour, ...] = ((176, 138, 98), (140, 140, 145), (200, 175, 140), (120, 100, 85), (150, 165, 170))
_SLOTS = (  # places along the walls: x, z, heading of the furniture's front
    (-2.4, 2.1, np.pi), (-1.2, 2.15, np.pi), (1.2, 2.15, np.pi), (2.4, 2.1, np.pi),
    (-2.85, 0.9, np.pi / 2), (-2.85, -0.3, np.pi / 2), (2.85, 0.9, -np.pi / 2), (2.85, -0.3, -np.pi / 2),
)  # fmt: skip


@dataclass(frozen=True)
class Panel:
    """A window, door or picture on a wall: wall number, extent along the wall and in height (metres), colour."""

    wall: int
    along: tuple[float, float]
    height: tuple[float, float]
    colour: Colour


@dataclass(frozen=True)
class Room:
    """The appearance of a set-up."""

    wall: Colour
    floor: Colour
    plank: float
    panels: tuple[Panel, ...]
    furniture: tuple[tuple[int, int], ...]
    """(kind, slot) of each piece along the walls."""
    half_width: float = HALF_WIDTH
    back: float = BACK
    front: float = FRONT


def furnished(rng: np.random.Generator) -> Room:
    """Draw a random room."""
    panels = []
    for wall in range(3):
        start = rng.uniform(-2.2, 0.6)
        kind = rng.integers(3)
        width, bottom, top = ((1.4, 0.95, 2.1), (0.9, 0.0, 2.05), (0.8, 1.3, 1.9))[kind]
        colour = ((200, 228, 250), (150, 110, 75), tuple(rng.uniform(70, 220, 3)))[kind]
        panels.append(Panel(wall, (start, start + width), (bottom, top), colour))
    slots = rng.permutation(len(_SLOTS))[:5]
    kinds = rng.permutation(len(FURNITURE))[:5]
    return Room(
        wall=WALLS[rng.integers(len(WALLS))],
        floor=FLOORS[rng.integers(len(FLOORS))],
        plank=rng.choice([0.16, 0.5]),
        panels=tuple(panels),
        furniture=tuple(zip(kinds.tolist(), slots.tolist())),
    )


def backdrop(room: Room, *, palette: Palette, brightness: float, view: View) -> UInt8[np.ndarray, "H W 3"]:
    """Render the empty room with its furniture."""
    twice = walls(room, camera=view.camera, brightness=brightness, width=2 * view.width, height=2 * view.height)
    image = cv2.resize(twice, (view.width, view.height), interpolation=cv2.INTER_AREA)
    return paint(np.asarray(image, np.uint8), _pieces(room, palette, view), frame=0)


def walls(room: Room, *, camera: Camera, brightness: float, width: int, height: int) -> UInt8[np.ndarray, "H W 3"]:
    """Render the walls, floor and ceiling, one ray a pixel."""
    rays = colour_rays(camera, width=width, height=height).astype(np.float32)
    colours = _surfaces(room, np.asarray(camera.position, np.float32), rays)
    return np.clip(colours * brightness, 0, 255).astype(np.uint8)


def _pieces(room: Room, palette: Palette, view: View) -> list[Shape]:
    shapes = []
    for kind, slot in room.furniture:
        x, z, heading = _SLOTS[slot]
        sin, cos = np.sin(heading), np.cos(heading)
        axes = np.array([[[-cos, 0, sin], [0, 1, 0], [sin, 0, cos]]])
        shapes += FURNITURE[kind](np.array([[x, 0.0, z]]), axes, palette, view)
    return shapes


def _surfaces(
    room: Room, eye: Float32[np.ndarray, " 3"], rays: Float32[np.ndarray, "H W 3"]
) -> Float32[np.ndarray, "H W 3"]:
    """Return the colour of the wall, floor or ceiling that each ray meets."""
    x, y, z = np.moveaxis(rays, -1, 0)
    with np.errstate(divide="ignore"):
        across = (np.sign(x) * room.half_width - eye[0]) / x
        upright = (np.where(y > 0, CEILING, 0) - eye[1]) / y
        along = (np.where(z > 0, room.back, room.front) - eye[2]) / z
    nearest = np.stack([along, across, upright]).argmin(axis=0)
    distance = np.minimum(np.minimum(along, across), upright)
    point = eye + distance[..., None] * rays
    wall = np.where(nearest == 0, 0, np.where(x < 0, 1, 2))
    colours = _wall_colours(room, point, wall)
    flat = nearest == 2
    floor = flat & (y < 0)
    colours[floor] = _floor_colours(room, point[floor])
    colours[flat & (y >= 0)] = (240, 240, 238)
    return colours


def _wall_colours(
    room: Room, point: Float32[np.ndarray, "H W 3"], wall: Int[np.ndarray, "H W"]
) -> Float32[np.ndarray, "H W 3"]:
    along = np.where(wall == 0, point[..., 0], point[..., 2])
    height = point[..., 1]
    shade = np.array([1.0, 0.93, 0.97], np.float32)[wall] * (0.9 + 0.04 * height)
    colours = shade[..., None] * np.array(room.wall, np.float32)
    for panel in room.panels:
        inside = (wall == panel.wall) & (along > panel.along[0]) & (along < panel.along[1])
        inside &= (height > panel.height[0]) & (height < panel.height[1])
        edge = 0.07
        inner = inside & (along > panel.along[0] + edge) & (along < panel.along[1] - edge)
        inner &= (height > panel.height[0] + edge) & (height < panel.height[1] - edge)
        colours[inside] = (235, 232, 225)
        colours[inner] = panel.colour
    colours[height < 0.1] = np.array(room.wall, np.float32) * 0.62
    return colours


def _floor_colours(room: Room, point: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "N 3"]:
    board = np.floor(point[:, 0] / room.plank)
    tile = np.floor((point[:, 2] + 0.37 * board) / (1.1 if room.plank < 0.3 else room.plank))
    grain = np.sin(board * 12.9898 + tile * 78.233) * 43758.5453
    tone = 0.94 + 0.12 * (grain - np.floor(grain))
    return tone[:, None] * np.array(room.floor, point.dtype)
