import dataclasses
import json

import numpy as np
import pytest
import torch

from ski_lvlm.skeletons.cleaning import clean
from ski_lvlm.skeletons.layouts import LAYOUTS, layout_named
from ski_lvlm.skeletons.ntu_file import read_skeleton
from ski_lvlm.skeletons.preprocessing import Preprocessing, interleaved_views, is_present, mirror, preprocess, resize
from tests.cases.recordings import TWO_ACTORS

NTU = layout_named("ntu-25")
PLAIN = Preprocessing(centring="none")


@pytest.fixture(scope="module")
def two_actors():
    return clean(read_skeleton(TWO_ACTORS)).joints


def person(num_frames=40, persons=1, seed=0):
    return np.random.default_rng(seed).normal(size=(num_frames, persons, 25, 3)).astype(np.float32)


def published_input(joints, window):
    """Preprocess a test clip as the published feeder does, in its own order and with its own resizing."""
    data = torch.tensor(np.nan_to_num(joints))
    border = int((1 - 0.95) * len(data) / 2)
    flat = data[border : len(data) - border].flatten(1).T[None, None]
    resized = torch.nn.functional.interpolate(flat, size=(flat.shape[2], window), mode="bilinear", align_corners=False)
    data = resized[0, 0].T.reshape(window, 2, 25, 3).numpy()
    centred = data - data[:, :, 20:21]
    centred[:, :, 20] = data[:, :, 20]
    return centred


@pytest.mark.parametrize("num_frames", [16, 64, 300])
def test_zeros_for_the_absent_equals_the_published_feeder(two_actors, num_frames):
    result = preprocess(two_actors, num_frames=num_frames, preprocessing=Preprocessing(absent="zeros"))
    np.testing.assert_allclose(result, published_input(two_actors, num_frames), atol=1e-5)


@pytest.mark.parametrize("num_frames", [16, 64, 300])
def test_masking_changes_nothing_for_who_is_there(two_actors, num_frames):
    masked = preprocess(two_actors, num_frames=num_frames, preprocessing=Preprocessing())
    zeros = preprocess(two_actors, num_frames=num_frames, preprocessing=Preprocessing(absent="zeros"))
    np.testing.assert_allclose(masked[:, 0], zeros[:, 0], atol=1e-5)
    late = masked[num_frames // 2 :]
    np.testing.assert_allclose(late, zeros[num_frames // 2 :], atol=1e-5)
    assert not is_present(masked)[0, 1]  # the second actor comes in later


def test_an_absent_second_person_stays_absent_in_every_stream():
    streams = Preprocessing(streams=("joint", "bone", "velocity"))
    result = preprocess(person(), num_frames=64, preprocessing=streams)
    assert result.shape == (64, 2, 25, 9) and streams.num_channels == 9
    assert np.isnan(result[:, 1]).all() and not np.isnan(result[:, 0]).any()


@pytest.mark.parametrize("num_frames", [5, 40, 64, 1024])
def test_resizing_spreads_no_absence_and_makes_nobody_up(num_frames):
    joints = person(40, 2)
    joints[10:20, 1] = np.nan
    result = resize(joints, num_frames)
    nearest = np.clip(np.round((np.arange(num_frames) + 0.5) * 40 / num_frames - 0.5 + 1e-9), 0, 39).astype(int)
    np.testing.assert_array_equal(is_present(result)[:, 1], is_present(joints)[nearest, 1])
    assert is_present(result)[:, 0].all()
    present = is_present(result)
    assert np.abs(result[present]).max() <= np.abs(joints[is_present(joints)]).max()


def test_resizing_to_the_same_length_changes_nothing():
    joints = person(40)
    np.testing.assert_allclose(resize(joints, 40), joints, atol=1e-6)


def test_resizing_a_straight_walk_keeps_it_straight():
    joints = np.ones((10, 1, 25, 3), np.float32) * np.arange(10, dtype=np.float32)[:, None, None, None]
    np.testing.assert_allclose(np.diff(resize(joints, 20)[2:-2, 0, 0, 0]), 0.5, atol=1e-5)


def test_one_frame_is_enough():
    assert np.isfinite(preprocess(person(1), num_frames=16, preprocessing=PLAIN)[:, 0]).all()


def test_centring_keeps_the_spines_own_way():
    joints = person(40)
    centred, plain = (preprocess(joints, num_frames=40, preprocessing=p) for p in (Preprocessing(), PLAIN))
    np.testing.assert_array_equal(centred[:, 0, 20], plain[:, 0, 20])
    np.testing.assert_allclose(centred[:, 0, 3], plain[:, 0, 3] - plain[:, 0, 20], atol=1e-6)


def test_bones_point_from_parent_to_child():
    joints = person(40)
    plain = preprocess(joints, num_frames=40, preprocessing=PLAIN)
    bones = preprocess(joints, num_frames=40, preprocessing=Preprocessing(streams=("bone",)))
    np.testing.assert_allclose(bones[:, 0, 3], plain[:, 0, 3] - plain[:, 0, 2], atol=1e-6)  # neck to head
    np.testing.assert_array_equal(bones[:, 0, 20], plain[:, 0, 20])


def test_velocity_is_the_way_to_the_next_frame_and_zero_at_the_end():
    joints = person(40, 2)
    joints[20:, 1] = np.nan
    both = preprocess(joints, num_frames=40, preprocessing=dataclasses.replace(PLAIN, streams=("joint", "velocity")))
    place, velocity = both[..., :3], both[..., 3:]
    np.testing.assert_allclose(velocity[:-1, 0], place[1:, 0] - place[:-1, 0], atol=1e-6)
    assert (velocity[-1, 0] == 0).all()
    last = np.flatnonzero(is_present(place)[:, 1])[-1]
    assert (velocity[last, 1] == 0).all() and np.isnan(velocity[last + 1 :, 1]).all()


def test_without_rng_nothing_is_left_to_chance():
    joints = person(90)
    once, again = (preprocess(joints, num_frames=64, preprocessing=PLAIN) for _ in range(2))
    np.testing.assert_array_equal(once, again)


def test_training_crops_and_rotates_reproducibly_and_rigidly():
    joints = person(200, 2)
    one, same, other = (
        preprocess(joints, num_frames=64, preprocessing=PLAIN, rng=np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 0.1
    still = np.broadcast_to(person(1), (200, 1, 25, 3)).copy()
    turned = preprocess(still, num_frames=64, preprocessing=PLAIN, rng=np.random.default_rng(3))[:, 0]
    np.testing.assert_allclose(np.linalg.norm(turned[0], axis=-1), np.linalg.norm(still[0, 0], axis=-1), rtol=1e-4)
    cosine = (turned[0] * still[0, 0]).sum(-1) / np.linalg.norm(still[0, 0], axis=-1) ** 2
    assert 0 < np.degrees(np.arccos(cosine.clip(-1, 1))).max() < 55  # three turns of at most 17 degrees


def test_training_crops_hold_half_to_all_of_the_frames_and_no_fewer_than_64():
    clock = np.ones((200, 1, 25, 3), np.float32) * np.arange(200, dtype=np.float32)[:, None, None, None]
    lengths = []
    for seed in range(60):
        result = preprocess(clock, num_frames=200, preprocessing=PLAIN, rng=np.random.default_rng(seed))
        radius = np.linalg.norm(result[:, 0, 0], axis=-1) / np.sqrt(3)
        lengths.append(radius[-1] - radius[0] + 1)
    assert 99 < min(lengths) < 115 and 185 < max(lengths) < 201
    short = preprocess(clock[:80], num_frames=80, preprocessing=PLAIN, rng=np.random.default_rng(0))
    radius = np.linalg.norm(short[:, 0, 0], axis=-1) / np.sqrt(3)
    assert radius[-1] - radius[0] + 1 > 63


def test_a_preprocessing_survives_json():
    preprocessing = Preprocessing(streams=("joint", "velocity"), absent="zeros", centring="none")
    assert Preprocessing.from_json(json.loads(json.dumps(preprocessing.to_json()))) == preprocessing


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"cleaning": "pyskl"}, "cleaning: 'ctrgcn-1' against 'pyskl'"),
        ({"centring": "none"}, "centring: 'spine' against 'none'"),
        ({"streams": ("bone",)}, r"streams: \('joint',\) against \('bone',\)"),
        ({"layout": "kinect-20"}, "layout: 'ntu-25' against 'kinect-20'"),
        ({"absent": "zeros"}, "absent: 'mask' against 'zeros'"),
        ({"cleaning": "none", "centring": "none"}, "cleaning.*centring"),
    ],
)
def test_another_preprocessing_is_refused_by_field(change, field):
    Preprocessing().check_matches(Preprocessing())
    with pytest.raises(ValueError, match=f"trained on another preprocessing .{field}"):
        Preprocessing().check_matches(dataclasses.replace(Preprocessing(), **change))


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        ({"version": 2}, "version 2, but this code makes version 1"),
        ({"centring": "hip"}, "Literal|centring is 'hip'; expected one of spine, none"),
        ({"streams": []}, "expected one or more of joint, bone, velocity"),
        ({"layout": "openpose"}, "unknown joint layout"),
        ({"speed": 1}, "has the fields .*speed"),
    ],
)
def test_a_stored_preprocessing_that_is_not_ours_is_refused(stored, message):
    with pytest.raises(Exception, match=message):
        Preprocessing.from_json(Preprocessing().to_json() | stored)


@pytest.mark.parametrize("shape", [(0, 1, 25, 3), (9, 3, 25, 3), (9, 1, 17, 3), (9, 1, 25, 2)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(
        ValueError, match=f"found a skeleton of {shape[0]} frames, {shape[1]} persons and {shape[2]} joints"
    ):
        preprocess(np.zeros(shape, np.float32), num_frames=16, preprocessing=PLAIN)


def test_two_coordinates_work_where_the_layout_has_two():
    flat = np.random.default_rng(0).normal(size=(30, 1, 17, 2)).astype(np.float32)
    coco = Preprocessing(layout="coco-17", cleaning="pyskl")
    result = preprocess(flat, num_frames=16, preprocessing=coco, rng=np.random.default_rng(0))
    assert result.shape == (16, 2, 17, 2) and coco.num_channels == 2


def test_a_mirror_swaps_sides_and_twice_is_nothing():
    joints = person(5, 2)
    joints[2, 1] = np.nan
    mirrored = mirror(joints, layout=NTU)
    np.testing.assert_array_equal(mirrored[:, :, 7], joints[:, :, 11] * np.float32([-1, 1, 1]))  # left hand, right hand
    np.testing.assert_array_equal(mirrored[:, :, 3], joints[:, :, 3] * np.float32([-1, 1, 1]))
    np.testing.assert_array_equal(mirror(mirrored, layout=NTU), joints)
    assert not np.shares_memory(mirrored, joints)


def test_one_interleaved_view_is_the_test_input():
    (view,) = interleaved_views(person(), num_frames=32, num_views=1, preprocessing=Preprocessing())
    np.testing.assert_array_equal(view, preprocess(person(), num_frames=32, preprocessing=Preprocessing()))


def test_interleaved_views_have_the_speed_of_the_test_input():
    """Move a joint by 1 m a frame: in every view of half as many frames it moves by 2 m."""
    joints = np.zeros((40, 1, 25, 3), np.float32)
    joints[..., 0] = np.arange(40)[:, None, None]
    views = interleaved_views(joints, num_frames=19, num_views=4, preprocessing=PLAIN)
    inner = np.diff(views[:, 1:-1, 0, 0, 0], axis=1)  # the ends are held
    np.testing.assert_allclose(inner, 38 / 19, atol=1e-5)
    assert (np.diff(views[:, 5, 0, 0, 0]) > 0).all(), "each view is a little later than the one before"


def test_an_absent_person_is_absent_from_every_view():
    views = interleaved_views(person(), num_frames=16, num_views=3, preprocessing=Preprocessing())
    assert views.shape == (3, 16, 2, 25, 3)
    assert np.isnan(views[:, :, 1]).all() and not np.isnan(views[:, :, 0]).any()


def test_a_joint_is_interpolated_between_frames_that_have_it_and_made_up_nowhere():
    joints = person(40)
    joints[10:20, 0, 7] = np.nan
    result = preprocess(joints, num_frames=40, preprocessing=PLAIN)
    nearest = np.isnan(joints[:, 0])[1:39]  # 38 of 40 frames remain, so that all times lie between frames
    resized = resize(joints[1:39], 40)
    np.testing.assert_array_equal(np.isnan(result[:, 0]), np.isnan(resized[:, 0]))
    others = [joint for joint in range(25) if joint != 7]
    assert nearest.any() and not np.isnan(result[:, 0, others]).any()
    assert np.isnan(result[:, 0, 7]).any(axis=-1).sum() in (10, 11)
    present = result[:, 0, 7][~np.isnan(result[:, 0, 7, 0])]
    assert np.abs(present).max() <= np.abs(joints[~np.isnan(joints)]).max()


def test_a_joint_without_a_coordinate_is_absent_and_a_bone_without_an_end_too():
    joints = person(40)
    joints[:, 0, 6, 1] = np.nan  # a wrist without height
    both = preprocess(joints, num_frames=40, preprocessing=Preprocessing(streams=("joint", "bone")))
    absent = np.isnan(both[:, 0]).all(axis=(0, 2))
    assert absent.nonzero()[0].tolist() == [6, 7]  # the hand's bone begins at the wrist
    assert not np.isnan(both[:, 0, ~absent]).any()
    bones = preprocess(joints, num_frames=40, preprocessing=Preprocessing(streams=("bone",)))
    assert np.isnan(bones[:, 0]).any(axis=(0, 2)).nonzero()[0].tolist() == [6, 7]


def test_zeros_for_the_absent_refuses_single_joints():
    joints = person(40)
    joints[5, 0, 6] = np.nan
    with pytest.raises(ValueError, match="some joints of a person are absent.*--absent mask"):
        preprocess(joints, num_frames=16, preprocessing=Preprocessing(absent="zeros"))
    joints[5] = np.nan
    assert np.isfinite(preprocess(joints, num_frames=16, preprocessing=Preprocessing(absent="zeros"))).all()


def test_the_centre_of_two_joints_is_their_mean_or_the_one_that_is_there():
    blazepose = Preprocessing(layout="blazepose-33", cleaning="blazepose-1")
    joints = np.random.default_rng(0).normal(size=(40, 1, 33, 3)).astype(np.float32)
    centred = preprocess(joints, num_frames=38, preprocessing=blazepose)[:, 0]
    joints = joints[1:39]  # of 40 frames the middle 38, which are then not resized
    middle = joints[:, 0, [11, 12]].mean(axis=1)
    np.testing.assert_allclose(centred[:, 15], joints[:, 0, 15] - middle, atol=1e-6)
    np.testing.assert_allclose(centred[:, 11], joints[:, 0, 11], atol=1e-6)
    joints[:, 0, 11] = np.nan
    alone = preprocess(joints, num_frames=len(joints), preprocessing=blazepose)[:, 0]
    border = int(0.05 * len(joints) / 2)
    assert border == 0 and np.isnan(alone[:, 11]).all()
    np.testing.assert_allclose(alone[:, 15], joints[:, 0, 15] - joints[:, 0, 12], atol=1e-6)
    joints[3, 0, 12] = np.nan  # now there is no centre in frame 3
    assert is_present(preprocess(joints, num_frames=len(joints), preprocessing=blazepose))[:, 0].tolist() == [
        number != 3 for number in range(len(joints))
    ]


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_every_layout_is_preprocessed_and_mirrored_twice_to_itself(layout):
    joints = np.random.default_rng(0).normal(size=(20, 2, layout.num_joints, layout.dimensions)).astype(np.float32)
    joints[3:5, 1, 4] = np.nan
    np.testing.assert_array_equal(mirror(mirror(joints, layout=layout), layout=layout), joints)
    for streams in (("joint",), ("bone", "velocity")):
        settings = Preprocessing(layout=layout.name, cleaning="other", streams=streams)
        result = preprocess(joints, num_frames=16, preprocessing=settings, rng=np.random.default_rng(0))
        assert result.dtype == np.float32 and is_present(result).all()


def test_two_and_three_dimensions_do_not_mix():
    flat = Preprocessing(layout="coco-17", cleaning="vitpose-1")
    solid = Preprocessing(layout="blazepose-33", cleaning="blazepose-1")
    with pytest.raises(ValueError, match="trained on another preprocessing .layout: 'blazepose-33' against 'coco-17'"):
        solid.check_matches(flat)
    with pytest.raises(ValueError, match="17 joints with 2 coordinates.*33 joints with 3 .layout blazepose-33"):
        preprocess(np.zeros((9, 1, 17, 2), np.float32), num_frames=16, preprocessing=solid)
