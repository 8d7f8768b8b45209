"""Body parts of a joint layout: head, hand, arm, hip, leg and foot, left and right together.

STAR divides NTU's 25 joints so. The same rule divides every other layout by the names of its joints. A layout without
hands or hips in the middle has no such part, and none is made up.
"""

from ski_lvlm.skeletons.layouts import Layout

# The joints of each part, without "left" and "right". The trunk's upper joints belong to the head, its lower ones to
# the hip, and a limb's joints to the part above them. Both follow STAR's published list for NTU.
_JOINTS: dict[str, tuple[str, ...]] = {
    "head": (
        *("head", "neck", "spine shoulder", "shoulder centre", "thorax", "chin", "nose"),
        *("eye", "inner eye", "outer eye", "ear", "mouth corner"),
    ),
    "hand": ("hand", "hand tip", "thumb", "little finger", "index finger"),
    "arm": ("shoulder", "elbow", "wrist"),
    "hip": ("spine base", "mid spine", "hip centre", "spine", "pelvis"),
    "leg": ("hip", "knee"),
    "foot": ("ankle", "foot", "heel", "toes"),
}
PARTS = tuple(_JOINTS)


def body_parts(layout: Layout) -> dict[str, tuple[int, ...]]:
    """Return the joints of each part that a layout has, in the order of `PARTS`.

    NTU's 25 joints are divided as in the published code of STAR.

    Assumption: joints of other layouts belong where NTU's joint of that name, or its neighbour, belongs.

    >>> from ski_lvlm.skeletons.layouts import LAYOUTS
    >>> body_parts(LAYOUTS["coco-17"])["foot"], "hand" in body_parts(LAYOUTS["coco-17"])
    ((15, 16), False)

    Raises:
        ValueError: a joint's name belongs to no part.
    """
    names = [joint.removeprefix("left ").removeprefix("right ") for joint in layout.joints]
    if homeless := sorted(set(names).difference(*_JOINTS.values())):
        raise ValueError(
            f"the joint layout {layout.name!r} has joints of no body part: {', '.join(homeless)}; add their names to "
            "ski_lvlm/skeletons/parts.py"
        )
    parts = {part: tuple(i for i, name in enumerate(names) if name in joints) for part, joints in _JOINTS.items()}
    return {part: joints for part, joints in parts.items() if joints}
