import pytest

from ski_lvlm.skeletons.layouts import LAYOUTS, layout_named


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_bones_form_one_tree_over_all_joints(layout):
    parent = dict(layout.bones)
    assert len(parent) == len(layout.bones) == layout.num_joints - 1
    (root,) = set(range(layout.num_joints)) - set(parent)
    assert layout.centre == (root,) or {layout.joints[joint] for joint in layout.centre} == {
        "left shoulder",
        "right shoulder",
    }
    for joint in parent:
        ancestors = []
        while joint != root:
            assert joint not in ancestors
            ancestors.append(joint)
            joint = parent[joint]


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_every_joint_has_a_group_and_groups_count_from_zero(layout):
    assert len(layout.groups) == layout.num_joints
    assert set(layout.groups) == set(range(5))


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_left_and_right_pair_up(layout):
    sided = [joint for joint in layout.joints if joint.split()[0] in ("left", "right")]
    assert len(layout.left_right) * 2 == len(sided)
    for left, right in layout.left_right:
        assert layout.joints[left].removeprefix("left") == layout.joints[right].removeprefix("right")


def test_ntu_joints_stand_where_the_kinect_puts_them():
    joints = LAYOUTS["ntu-25"].joints
    assert (joints[0], joints[1], joints[3], joints[20]) == ("spine base", "mid spine", "head", "spine shoulder")
    assert (joints[7], joints[11], joints[15], joints[24]) == ("left hand", "right hand", "left foot", "right thumb")
    assert [layout.num_joints for layout in LAYOUTS.values()] == [25, 20, 17, 17, 33, 13, 17, 18]


def test_two_coordinates_are_refused_where_three_are_needed():
    with pytest.raises(ValueError, match="'coco-17' has 2 coordinates a joint, but 3 are needed"):
        layout_named("coco-17").require_dimensions(3)
    layout_named("h36m-17").require_dimensions(3)


def test_an_unknown_layout_is_an_error_that_lists_the_known():
    with pytest.raises(ValueError, match="unknown joint layout 'openpose'; expected one of ntu-25"):
        layout_named("openpose")


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_a_mirror_maps_bones_to_bones_and_groups_to_groups(layout):
    opposite = {**dict(layout.left_right), **{right: left for left, right in layout.left_right}}
    mirrored = {(opposite.get(child, child), opposite.get(parent, parent)) for child, parent in layout.bones}
    assert mirrored == set(layout.bones)
    of_group = {(layout.groups[joint], layout.groups[opposite.get(joint, joint)]) for joint in range(layout.num_joints)}
    if layout.name != "ntu-25":  # whose published groups join upper and lower arms of both sides
        assert len(of_group) == 5 and all((other, group) in of_group for group, other in of_group)


def test_blazepose_has_mediapipes_order():
    joints = LAYOUTS["blazepose-33"].joints
    expected = {0: "nose", 11: "left shoulder", 16: "right wrist", 23: "left hip", 28: "right ankle", 31: "left toes"}
    assert {number: joints[number] for number in expected} == expected
