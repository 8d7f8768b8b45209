"""The handled objects, and the furniture."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from data_curation.synthetic.props import BALL_RADIUS, BOX_SIZE, SEAT_HEIGHT, Prop
from data_curation.synthetic.render import Colour, Shape, View, blob, cuboid, prism

CUPS: tuple[Colour, ...] = ((245, 245, 245), (220, 60, 50), (50, 120, 210), (250, 200, 60), (60, 170, 110))
BALLS: tuple[Colour, ...] = ((240, 120, 40), (225, 50, 60), (60, 120, 230), (250, 215, 60), (235, 235, 240))
BOXES: tuple[Colour, ...] = ((190, 145, 95), (170, 125, 80), (215, 180, 130), (150, 160, 175))
CHAIRS: tuple[Colour, ...] = ((110, 70, 45), (60, 65, 75), (200, 60, 50), (60, 120, 170), (215, 190, 150))
PHONES: tuple[Colour, ...] = ((35, 35, 40), (235, 235, 240), (60, 90, 200), (225, 70, 100))
SCREEN: Colour = (150, 215, 255)


@dataclass(frozen=True)
class Palette:
    """The colours of a session's objects, whether or not they are used."""

    cup: Colour
    ball: Colour
    box: Colour
    chair: Colour
    phone: Colour


def palette(rng: np.random.Generator) -> Palette:
    """Draw the colours of a session."""
    return Palette(*(choices[rng.integers(len(choices))] for choices in (CUPS, BALLS, BOXES, CHAIRS, PHONES)))


def prop_shapes(prop: Prop, *, palette: Palette, view: View) -> list[Shape]:
    """Return the shapes of a handled object."""
    draw = {"cup": _cup, "ball": _ball, "box": _box, "chair": _chair, "phone": _phone}[prop.kind]
    return draw(prop.centre, prop.axes, palette, view)


Drawing = Callable[[Float[np.ndarray, "T 3"], Float[np.ndarray, "T 3 3"], Palette, View], list[Shape]]


def _cup(
    centre: Float[np.ndarray, "T 3"], axes: Float[np.ndarray, "T 3 3"], palette: Palette, view: View
) -> list[Shape]:
    inside = (0.45 * palette.cup[0], 0.45 * palette.cup[1], 0.45 * palette.cup[2])
    vessel = prism(centre, axes, radii=(0.052, 0.068), height=0.17, colours=(palette.cup, inside), view=view)
    return [Shape(vessel.distance - 0.08, vessel.layers)]


def _ball(
    centre: Float[np.ndarray, "T 3"], axes: Float[np.ndarray, "T 3 3"], palette: Palette, view: View
) -> list[Shape]:
    return [blob(centre[:, None], [BALL_RADIUS], colour=palette.ball, view=view, nearer=-0.04)]


def _box(
    centre: Float[np.ndarray, "T 3"], axes: Float[np.ndarray, "T 3 3"], palette: Palette, view: View
) -> list[Shape]:
    tape = (0.5 * palette.box[0] + 110, 0.5 * palette.box[1] + 105, 0.5 * palette.box[2] + 85)
    carton = cuboid(centre, axes, BOX_SIZE, colours=[palette.box], view=view)
    strip = cuboid(centre, axes, BOX_SIZE * (0.2, 1.0, 1.0), colours=[tape], view=view)
    return [Shape(carton.distance + 0.08, carton.layers + strip.layers[2:])]


def _phone(
    centre: Float[np.ndarray, "T 3"], axes: Float[np.ndarray, "T 3 3"], palette: Palette, view: View
) -> list[Shape]:
    case = cuboid(centre, axes, (0.13, 0.24, 0.024), colours=[*[palette.phone] * 4, SCREEN, palette.phone], view=view)
    return [Shape(case.distance - 0.1, case.layers)]


def _chair(
    centre: Float[np.ndarray, "T 3"], axes: Float[np.ndarray, "T 3 3"], palette: Palette, view: View
) -> list[Shape]:
    wood = (0.7 * palette.chair[0], 0.7 * palette.chair[1], 0.7 * palette.chair[2])

    def part(offset: tuple[float, float, float], size: tuple[float, float, float], colour: Colour) -> Shape:
        return cuboid(centre + np.array(offset) @ axes, axes, size, colours=[colour], view=view)

    seat = part((0, -0.03, 0), (0.52, 0.06, 0.48), palette.chair)
    legs = [
        part((x, -0.06 - (SEAT_HEIGHT - 0.06) / 2, z), (0.045, SEAT_HEIGHT - 0.06, 0.045), wood)
        for x in (-0.23, 0.23)
        for z in (-0.2, 0.2)
    ]
    back = part((0, 0.28, -0.215), (0.56, 0.46, 0.04), palette.chair)
    posts = [part((x, 0.2, -0.215), (0.045, 0.45, 0.045), wood) for x in (-0.23, 0.23)]
    return [Shape(seat.distance + 0.15, seat.layers), *legs, *posts, Shape(back.distance + 0.05, back.layers)]


def _table(
    centre: Float[np.ndarray, "T 3"], axes: Float[np.ndarray, "T 3 3"], palette: Palette, view: View
) -> list[Shape]:
    def part(offset: tuple[float, float, float], size: tuple[float, float, float], shade: float) -> Shape:
        colour = (205 * shade, 180 * shade, 145 * shade)
        return cuboid(centre + np.array(offset) @ axes, axes, size, colours=[colour], view=view)

    legs = [part((x, 0.35, z), (0.06, 0.7, 0.06), 0.7) for x in (-0.5, 0.5) for z in (-0.22, 0.22)]
    mug = _cup(centre + np.array([0.25, 0.81, 0.1]) @ axes, axes, palette, view)
    return [*legs, part((0, 0.72, 0), (1.15, 0.05, 0.6), 1.0), *mug]


def _shelf(
    centre: Float[np.ndarray, "T 3"], axes: Float[np.ndarray, "T 3 3"], palette: Palette, view: View
) -> list[Shape]:
    def part(offset: tuple[float, float, float], size: tuple[float, float, float], colour: Colour) -> Shape:
        return cuboid(centre + np.array(offset) @ axes, axes, size, colours=[colour], view=view)

    books: tuple[Colour, ...] = ((150, 60, 55), (60, 90, 130), (90, 120, 80), (190, 160, 90), (100, 80, 110))
    shapes = [part((0, 0.85, -0.05), (0.9, 1.7, 0.28), (165, 140, 110))]
    for row in range(4):
        for i in range(5):
            size = (0.11, 0.24 + 0.03 * ((i * 7 + row * 3) % 4), 0.04)
            book = part((-0.3 + 0.15 * i, 0.22 + 0.4 * row, 0.1), size, books[(i * 3 + row * 2) % 5])
            shapes.append(Shape(book.distance - 0.2, book.layers))
    return shapes


def _plant(
    centre: Float[np.ndarray, "T 3"], axes: Float[np.ndarray, "T 3 3"], palette: Palette, view: View
) -> list[Shape]:
    up = np.array([0, 1.0, 0])
    pot = prism(
        centre + 0.17 * up, axes, radii=(0.13, 0.18), height=0.34, colours=((190, 120, 90), (80, 60, 45)), view=view
    )
    leaves = []
    for i in range(7):
        tip = centre + (0.7 + 0.09 * (i % 4)) * up + np.array([0.3 * np.cos(2.2 * i), 0, 0.3 * np.sin(2.2 * i)])
        stem = np.stack([centre + 0.35 * up, tip], axis=1)
        leaves.append(blob(stem, [0.02, 0.085], colour=(70, 130 + 6 * i, 70), view=view, vertices=12))
    return [pot, *leaves]


def _lamp(
    centre: Float[np.ndarray, "T 3"], axes: Float[np.ndarray, "T 3 3"], palette: Palette, view: View
) -> list[Shape]:
    pole = cuboid(centre + np.array([0, 0.75, 0]), axes, (0.04, 1.5, 0.04), colours=[(90, 90, 95)], view=view)
    cream = (250, 235, 195)
    shade = prism(
        centre + np.array([0, 1.6, 0]), axes, radii=(0.22, 0.14), height=0.3, colours=(cream, cream), view=view
    )
    return [pole, shade]


def _spare_chair(
    centre: Float[np.ndarray, "T 3"], axes: Float[np.ndarray, "T 3 3"], palette: Palette, view: View
) -> list[Shape]:
    return _chair(centre + np.array([0, SEAT_HEIGHT, 0]), axes, palette, view)


def _spare_box(
    centre: Float[np.ndarray, "T 3"], axes: Float[np.ndarray, "T 3 3"], palette: Palette, view: View
) -> list[Shape]:
    return _box(centre + np.array([0, BOX_SIZE[1] / 2, 0]), axes, palette, view)


def _spare_ball(
    centre: Float[np.ndarray, "T 3"], axes: Float[np.ndarray, "T 3 3"], palette: Palette, view: View
) -> list[Shape]:
    return _ball(centre + np.array([0, BALL_RADIUS, 0]), axes, palette, view)


FURNITURE: tuple[Drawing, ...] = (_table, _shelf, _plant, _lamp, _spare_chair, _spare_box, _spare_ball)
"""What may stand along the walls, whatever the action; `centre` is a place on the floor."""
