from dataclasses import replace

import pytest

from ski_lvlm.skeletons.layouts import LAYOUTS
from ski_lvlm.skeletons.parts import PARTS, body_parts


def test_parts_of_ntu_are_the_published_ones():
    assert body_parts(LAYOUTS["ntu-25"]) == {
        "head": (2, 3, 20),
        "hand": (7, 11, 21, 22, 23, 24),
        "arm": (4, 5, 6, 8, 9, 10),
        "hip": (0, 1),
        "leg": (12, 13, 16, 17),
        "foot": (14, 15, 18, 19),
    }


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_every_joint_belongs_to_one_part(layout):
    parts = body_parts(layout)
    assert sorted(joint for joints in parts.values() for joint in joints) == list(range(layout.num_joints))
    assert {"head", "arm", "leg", "foot"} <= set(parts) <= set(PARTS)
    assert list(parts) == [part for part in PARTS if part in parts]


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_both_sides_of_a_joint_belong_to_one_part(layout):
    part_of = {joint: part for part, joints in body_parts(layout).items() for joint in joints}
    assert all(part_of[one] == part_of[other] for one, other in layout.left_right)


def test_a_layout_without_hands_has_no_such_part():
    assert [name for name, layout in LAYOUTS.items() if "hand" not in body_parts(layout)] == [
        "coco-17",
        "h36m-17",
        "lcrnet-13",
        "lcrnet-17",
        "openpose-18",
    ]


def test_a_joint_of_no_part_is_told():
    layout = replace(LAYOUTS["ntu-25"], joints=("tail", *LAYOUTS["ntu-25"].joints[1:]))
    with pytest.raises(ValueError, match="'ntu-25' has joints of no body part: tail"):
        body_parts(layout)
