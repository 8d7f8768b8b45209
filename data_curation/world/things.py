"""The look of things: the handled ones that the synthetic set lacks, with the colours of all of them."""

from collections.abc import Callable
from typing import cast

import numpy as np
from jaxtyping import Float

from data_curation.synthetic.furniture import Palette, prop_shapes
from data_curation.synthetic.props import Kind, Prop
from data_curation.synthetic.render import Colour, Shape, View, blob, cuboid, prism
from data_curation.world.thing_paths import ThingPath

_DARK: Colour = (45, 45, 50)
_BRIGHT: tuple[tuple[str, Colour], ...] = (
    ("red", (220, 60, 50)), ("blue", (50, 110, 210)), ("yellow", (248, 205, 60)), ("green", (60, 170, 100)),
    ("white", (242, 242, 242)), ("orange", (240, 125, 45)),
)  # fmt: skip
COLOURS: dict[str, tuple[tuple[str, Colour], ...]] = {
    "cup": _BRIGHT, "bottle": _BRIGHT, "bowl": _BRIGHT, "hat": _BRIGHT, "ball": _BRIGHT, "racket": _BRIGHT,
    "toothbrush": _BRIGHT[:4], "glass": (("pale blue", (190, 220, 235)), ("pale green", (195, 230, 205))),
    "box": (("brown", (180, 135, 88)), ("light brown", (212, 178, 130)), ("grey", (150, 160, 175))),
    "chair": (("brown", (110, 70, 45)), ("dark grey", (60, 65, 75)), ("red", (200, 60, 50)), ("blue", (60, 120, 170))),
    "phone": (("black", (35, 35, 40)), ("white", (235, 235, 240)), ("blue", (60, 90, 200))),
    "book": (("red", (170, 55, 50)), ("blue", (55, 85, 160)), ("green", (55, 120, 75)), ("brown", (120, 80, 50))),
    "hairbrush": (("black", (40, 35, 40)), ("pink", (230, 110, 160)), ("brown", (125, 80, 50))),
    "snack": (("brown", (150, 95, 45)), ("red", (205, 45, 40))), "paper": (("white", (250, 250, 246)),),
    "table": (("light brown", (205, 180, 145)), ("white", (235, 235, 232))), "desk": (("grey", (170, 172, 178)),),
}  # fmt: skip
"""The colours that a thing may have, with their names."""
KINDS = tuple(COLOURS)
HOLDABLE = ("cup", "bottle", "phone", "book", "hairbrush", "toothbrush", "snack", "hat", "racket")
"""Things that an idle hand may hold."""
LYING = ("box", "ball", "chair", "bottle", "cup", "book", "racket", "hat", "table", "desk")
"""Things that may lie or stand about."""

Draw = Callable[[ThingPath, Colour, View], list[Shape]]


def thing_shapes(thing: ThingPath, *, colour: Colour, view: View) -> list[Shape]:
    """Return the shapes of a thing."""
    if draw := _DRAWINGS.get(thing.kind):
        return draw(thing, colour, view)
    prop = Prop(cast(Kind, thing.kind), thing.centre, thing.axes)
    return prop_shapes(prop, palette=Palette(colour, colour, colour, colour, colour), view=view)


def _shifted(thing: ThingPath, offset: tuple[float, float, float]) -> Float[np.ndarray, "T 3"]:
    return thing.centre + np.array(offset) @ thing.axes


def _part(
    thing: ThingPath, offset: tuple[float, float, float], size: tuple[float, float, float], colour: Colour, view: View
) -> Shape:
    return cuboid(_shifted(thing, offset), thing.axes, size, colours=[colour], view=view)


def _near(shape: Shape, metres: float) -> Shape:
    """Draw a shape as if it were nearer to the camera, since a hand holds it."""
    return Shape(shape.distance - metres, shape.layers)


def _bottle(thing: ThingPath, colour: Colour, view: View) -> list[Shape]:
    body = prism(thing.centre, thing.axes, radii=(0.045, 0.045), height=0.2, colours=(colour, colour), view=view)
    neck = prism(
        _shifted(thing, (0, 0.13, 0)), thing.axes, radii=(0.022, 0.018), height=0.07, colours=(_DARK, _DARK), view=view
    )
    return [_near(body, 0.07), _near(neck, 0.07)]


def _glass(thing: ThingPath, colour: Colour, view: View) -> list[Shape]:
    vessel = prism(
        thing.centre, thing.axes, radii=(0.04, 0.055), height=0.18, colours=(colour, (120, 60, 50)), view=view
    )
    return [_near(vessel, 0.08)]


def _bowl(thing: ThingPath, colour: Colour, view: View) -> list[Shape]:
    inside = (200.0, 170.0, 110.0)
    vessel = prism(thing.centre, thing.axes, radii=(0.06, 0.12), height=0.09, colours=(colour, inside), view=view)
    return [_near(vessel, 0.1)]


def _snack(thing: ThingPath, colour: Colour, view: View) -> list[Shape]:
    ends = np.stack([thing.centre, _shifted(thing, (0, 0.07, 0))], axis=1)
    return [blob(ends, [0.05, 0.045], colour=colour, view=view, nearer=0.1, vertices=12)]


def _stick(thing: ThingPath, colour: Colour, view: View) -> list[Shape]:
    handle = _part(thing, (0, 0.03, 0), (0.032, 0.26, 0.032), colour, view)
    head = _part(thing, (0, 0.16, 0.02), (0.04, 0.07, 0.055), (250, 250, 250), view)
    return [_near(handle, 0.1), _near(head, 0.12)]


def _hairbrush(thing: ThingPath, colour: Colour, view: View) -> list[Shape]:
    handle = _part(thing, (0, 0.03, 0), (0.035, 0.14, 0.035), colour, view)
    head = _part(thing, (0, 0.16, 0), (0.09, 0.15, 0.06), colour, view)
    return [_near(handle, 0.1), _near(head, 0.12)]


def _hat(thing: ThingPath, colour: Colour, view: View) -> list[Shape]:
    brim = prism(thing.centre, thing.axes, radii=(0.19, 0.19), height=0.025, colours=(colour, colour), view=view)
    crown = prism(
        _shifted(thing, (0, 0.07, 0)), thing.axes, radii=(0.125, 0.11), height=0.13, colours=(colour, colour), view=view
    )
    return [_near(brim, 0.12), _near(crown, 0.14)]


def _book(thing: ThingPath, colour: Colour, view: View) -> list[Shape]:
    cover = _part(thing, (0, 0.04, 0.02), (0.4, 0.28, 0.02), colour, view)
    pages = [_part(thing, (x, 0.04, 0.0), (0.18, 0.25, 0.02), (248, 246, 236), view) for x in (-0.095, 0.095)]
    return [_near(cover, 0.08), *(_near(page, 0.09) for page in pages)]


def _paper(thing: ThingPath, colour: Colour, view: View) -> list[Shape]:
    return [_near(_part(thing, (0, 0, 0), (0.15, 0.26, 0.008), colour, view), 0.1)]


def _racket(thing: ThingPath, colour: Colour, view: View) -> list[Shape]:
    grip = _part(thing, (0, 0.12, 0), (0.035, 0.26, 0.035), _DARK, view)
    frame = _part(thing, (0, 0.37, 0), (0.22, 0.27, 0.025), colour, view)
    strings = _part(thing, (0, 0.37, 0), (0.17, 0.22, 0.03), (225, 228, 235), view)
    return [_near(grip, 0.06), _near(frame, 0.06), _near(strings, 0.065)]


def _table(thing: ThingPath, colour: Colour, view: View) -> list[Shape]:
    legs = [_part(thing, (x, 0.35, z), (0.05, 0.7, 0.05), colour, view) for x in (-0.45, 0.45) for z in (-0.2, 0.2)]
    top = _part(thing, (0, 0.72, 0), (1.0, 0.045, 0.5), colour, view)
    return [*(Shape(leg.distance + 0.1, leg.layers) for leg in legs), top]


def _desk(thing: ThingPath, colour: Colour, view: View) -> list[Shape]:
    # The person is behind the desk, as the camera sees it, and looks at a screen from its back.
    keyboard = _part(thing, (0, 0.76, -0.14), (0.42, 0.025, 0.16), (230, 230, 230), view)
    screen = _part(thing, (0.42, 0.9, 0.1), (0.05, 0.3, 0.34), _DARK, view)
    return [*_table(thing, colour, view), _near(keyboard, 0.05), _near(screen, 0.05)]


_DRAWINGS: dict[str, Draw] = {
    "bottle": _bottle, "glass": _glass, "bowl": _bowl, "snack": _snack, "toothbrush": _stick, "hairbrush": _hairbrush,
    "hat": _hat, "book": _book, "paper": _paper, "racket": _racket, "table": _table, "desk": _desk,
}  # fmt: skip
