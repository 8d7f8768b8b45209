"""Names of the colours that people wear, for the facts of a clip."""

from data_curation.synthetic.figure import HAIRS, SHIRTS, TROUSERS
from data_curation.synthetic.render import Colour
from data_curation.synthetic.room import FLOORS, WALLS

_NAMES: dict[Colour, str] = {
    **dict(zip(SHIRTS, ("red", "blue", "green", "yellow", "white", "purple", "orange", "turquoise", "pink", "grey",
                        "light green", "navy blue"), strict=True)),
    **dict(zip(TROUSERS, ("navy blue", "dark grey", "brown", "light blue", "beige", "olive", "dark red", "black"),
               strict=True)),
    **dict(zip(HAIRS, ("black", "dark brown", "brown", "blond", "grey", "red"), strict=True)),
    **dict(zip(WALLS, ("white", "light blue", "beige", "light green", "pink", "grey"), strict=True)),
    **dict(zip(FLOORS, ("brown", "grey", "beige", "dark brown", "light grey"), strict=True)),
}  # fmt: skip


def colour_name(colour: Colour) -> str:
    """Return the name of a colour of clothes, hair, walls or floors."""
    return _NAMES[colour]
