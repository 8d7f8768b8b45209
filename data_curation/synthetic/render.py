"""A small renderer: convex shapes in the room, lit from one side, drawn from far to near.

Two shapes suffice. A *blob* is the hull of a few balls (a limb is two, a head one). A *solid* is a convex polyhedron (a
box, a cup, a chair's leg). Both become polygons for all frames at once, which OpenCV fills.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from data_curation.synthetic.camera import COLOUR_FOCAL, COLOUR_SIZE, Camera, colour_pixels

Colour = tuple[float, float, float]
"""Red, green, blue, 0 to 255."""

_SHIFT = 4  # OpenCV takes pixel positions in sixteenths
_LIGHT = np.array([-0.45, 0.75, -0.5]) / np.linalg.norm([-0.45, 0.75, -0.5])
_LAYERS = (
    (1.0, 0.0, 0.68),
    (0.88, 0.1, 0.88),
    (0.62, 0.24, 1.03),
    (0.3, 0.4, 1.14),
)  # size, shift to light, brightness
_NEAREST = 0.35  # metres; what comes closer to the camera is not drawn


@dataclass(frozen=True)
class Layer:
    """One polygon over time: corners in sixteenths of a pixel, colour, and whether it faces the camera."""

    corners: Int[np.ndarray, "T V 2"]
    colours: Float[np.ndarray, "T 3"]
    visible: Bool[np.ndarray, " T"]


@dataclass(frozen=True)
class Shape:
    """A shape at one distance (metres) per frame, with layers in drawing order."""

    distance: Float[np.ndarray, " T"]
    layers: list[Layer]


@dataclass(frozen=True)
class View:
    """A camera and the size of its video."""

    camera: Camera
    width: int
    height: int

    @property
    def scale(self) -> float:
        """The video pixels per pixel of the 1920 x 1080 colour image."""
        return self.width / COLOUR_SIZE[0]


def blob(
    centres: Float[np.ndarray, "T D 3"],
    radii: Sequence[float],
    *,
    colour: Colour,
    view: View,
    flat: bool = False,
    nearer: float = 0.0,
    vertices: int = 20,
) -> Shape:
    """Draw the hull of balls, shaded round unless `flat`, and `nearer` metres closer in the drawing order."""
    points = view.camera.see(centres)
    distance = points[..., 2]
    pixels = colour_pixels(points) * view.scale
    size = np.asarray(radii) * COLOUR_FOCAL * view.scale / np.maximum(distance, _NEAREST)
    visible = distance.min(axis=1) > _NEAREST
    light = (view.camera.rotation @ _LIGHT)[:2] * (1, -1)
    layers = []
    for share, shift, brightness in _LAYERS[:1] if flat else _LAYERS:
        corners = _hull(pixels + (shift * size)[..., None] * light, share * size, vertices)
        colours = np.tile(np.clip(np.array(colour) * (1.0 if flat else brightness), 0, 255), (len(corners), 1))
        layers.append(Layer(_sixteenths(corners), colours, visible))
    return Shape(distance.mean(axis=1) - nearer, layers)


def _hull(
    centres: Float[np.ndarray, "T D 2"], radii: Float[np.ndarray, "T D"], vertices: int
) -> Float[np.ndarray, "T V 2"]:
    """Return the convex hull of discs, as its outermost point in each of `vertices` directions."""
    angles = 2 * np.pi * np.arange(vertices) / vertices
    directions = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    extent = centres @ directions.T + radii[..., None]
    outermost = extent.argmax(axis=1)
    at = np.arange(len(centres))[:, None]
    return centres[at, outermost] + radii[at, outermost][..., None] * directions


def solid(corners: Float[np.ndarray, "T K 3"], faces: Sequence[tuple[Sequence[int], Colour]], *, view: View) -> Shape:
    """Draw a convex polyhedron with one colour per face.

    Corners run clockwise around a face, as viewed from outside.
    """
    points = view.camera.see(corners)
    pixels = colour_pixels(points) * view.scale
    near = points[..., 2].min(axis=1) > _NEAREST
    layers = []
    for index, colour in faces:
        around, flat = corners[:, list(index)], pixels[:, list(index)]
        normal = _cross(around[:, 2] - around[:, 1], around[:, 0] - around[:, 1])
        normal /= np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-9)
        lit = 0.72 + 0.38 * (normal @ _LIGHT)
        first, second = flat[:, 1] - flat[:, 0], flat[:, 2] - flat[:, 0]
        facing = first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0] > 0
        layers.append(Layer(_sixteenths(flat), np.clip(lit[:, None] * np.array(colour), 0, 255), facing & near))
    return Shape(points[..., 2].mean(axis=1), layers)


_CUBE = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) / 2
_CUBE_FACES = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3))


def cuboid(
    centre: Float[np.ndarray, "T 3"],
    axes: Float[np.ndarray, "T 3 3"],
    size: Sequence[float] | Float[np.ndarray, " 3"],
    *,
    colours: Sequence[Colour],
    view: View,
) -> Shape:
    """Draw a box with one colour, or one each for the left, right, bottom, top, back and front face."""
    corners = centre[:, None] + (_CUBE * np.asarray(size)) @ axes
    colours = list(colours) * 6 if len(colours) == 1 else colours
    return solid(corners, _outside(corners[0], list(zip(_CUBE_FACES, colours, strict=True))), view=view)


def prism(
    centre: Float[np.ndarray, "T 3"],
    axes: Float[np.ndarray, "T 3 3"],
    *,
    radii: tuple[float, float],
    height: float,
    colours: tuple[Colour, Colour],
    view: View,
) -> Shape:
    """Draw a round vessel along its up axis with `radii` at bottom and top, and colours of wall and top."""
    sides = 10
    angles = 2 * np.pi * np.arange(sides) / sides
    ring = np.stack([np.cos(angles), np.zeros(sides), np.sin(angles)], axis=-1)
    local = np.concatenate([ring * radii[0] - (0, height / 2, 0), ring * radii[1] + (0, height / 2, 0)])
    corners = centre[:, None] + local @ axes
    walls = [((i, (i + 1) % sides, sides + (i + 1) % sides, sides + i), colours[0]) for i in range(sides)]
    faces = [*walls, (tuple(range(sides)), colours[0]), (tuple(range(sides, 2 * sides)), colours[1])]
    return solid(corners, _outside(corners[0], faces), view=view)


def _outside(
    corners: Float[np.ndarray, "K 3"], faces: Sequence[tuple[Sequence[int], Colour]]
) -> list[tuple[Sequence[int], Colour]]:
    """Return the faces with their corners in the order of `solid`, for either handedness of the axes."""
    ordered: list[tuple[Sequence[int], Colour]] = []
    for index, colour in faces:
        around = corners[list(index)]
        normal = _cross(around[2] - around[1], around[0] - around[1])
        outward = normal @ (around.mean(axis=0) - corners.mean(axis=0)) > 0
        ordered.append((index if outward else index[::-1], colour))
    return ordered


def _cross(first: Float[np.ndarray, "*any 3"], second: Float[np.ndarray, "*any 3"]) -> Float[np.ndarray, "*any 3"]:
    """Return cross products. NumPy's are the same numbers, and six times as slow for few vectors."""
    out = np.empty_like(first)
    for axis, ahead, last in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        out[..., axis] = first[..., ahead] * second[..., last] - first[..., last] * second[..., ahead]
    return out


def still(shape: Shape, num_frames: int) -> Shape:
    """Repeat a shape of one frame."""
    layers = [
        Layer(*(np.repeat(part, num_frames, axis=0) for part in (layer.corners, layer.colours, layer.visible)))
        for layer in shape.layers
    ]
    return Shape(np.repeat(shape.distance, num_frames), layers)


def paint(background: UInt8[np.ndarray, "H W 3"], shapes: Sequence[Shape], *, frame: int) -> UInt8[np.ndarray, "H W 3"]:
    """Draw one frame: the shapes over the background, the farthest first."""
    image = background.copy()
    for shape in sorted(shapes, key=lambda shape: -shape.distance[frame]):
        for layer in shape.layers:
            if layer.visible[frame]:
                colour = layer.colours[frame].tolist()
                cv2.fillConvexPoly(image, layer.corners[frame], colour, lineType=cv2.LINE_AA, shift=_SHIFT)
    return image


def _sixteenths(pixels: Float[np.ndarray, "T V 2"]) -> Int[np.ndarray, "T V 2"]:
    """Convert to OpenCV's pixel positions, in which the centre of the first pixel is 0, within its range."""
    return np.ascontiguousarray(np.clip(np.round((pixels - 0.5) * 2**_SHIFT), -(2**18), 2**18), np.int32)
