"""The seven places of a body on which motion is measured, in skeletons of any layout.

Assumption: y points up and coordinates are metres, as in every packed set of ours.
"""

from typing import Final

import numpy as np
from jaxtyping import Float

from ski_lvlm.skeletons.layouts import Layout

HEAD, SHOULDERS, HIPS = 0, 1, 2  # the last two are the middles between left and right
WRISTS: Final = {"left": 3, "right": 4}
ANKLES: Final = {"left": 5, "right": 6}

KeyJoints = Float[np.ndarray, "T M 7 3"]

# The names that layouts give to each place, the best first. Joints with a comma between them are averaged.
_PLACES: Final = (
    ("head", "nose"),
    ("spine shoulder", "shoulder centre", "thorax", "neck", "left shoulder,right shoulder"),
    ("spine base", "hip centre", "pelvis", "mid hip", "left hip,right hip"),
    *((name,) for name in ("left wrist", "right wrist", "left ankle", "right ankle")),
)


def key_joints(joints: Float[np.ndarray, "T M J D"], *, layout: Layout) -> KeyJoints | None:
    """Return the seven places of each person, NaN where a joint is absent.

    They are None where the layout has two dimensions or lacks one of the places.
    """
    rows = [_rows(names, layout) for names in _PLACES]
    if layout.dimensions != 3 or not all(rows):
        return None
    return np.stack([joints[:, :, joints_of_place].mean(axis=2) for joints_of_place in rows], axis=2)


def _rows(names: tuple[str, ...], layout: Layout) -> list[int]:
    """Return the joints whose mean is a place, or none."""
    for name in names:
        parts = name.split(",")
        if set(parts) <= set(layout.joints):
            return [layout.joints.index(part) for part in parts]
    return []
