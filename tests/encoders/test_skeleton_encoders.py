"""Promises of every skeleton encoder. The file of a network's name tests what it computes."""

import dataclasses
import json
import math

import pytest
import torch

import train_ski_vlm
from ski_lvlm.encoders.presence import presence_of
from ski_lvlm.encoders.skeleton_encoder import ActionClassifier
from ski_lvlm.encoders.skeleton_encoders import ENCODERS, build_encoder
from ski_lvlm.recipe import SKELETON_PRETRAIN_SCHEDULES, SkeletonPretrainRecipe
from ski_lvlm.skeletons.layouts import LAYOUTS
from ski_lvlm.vlm.skeleton_pretrain import untrained_encoder
from tests.cases.encoder_case import SMALL, WIDTH, clips, narrow, without_joints

pytestmark = pytest.mark.slow

NTU = LAYOUTS["ntu-25"]


@pytest.fixture(params=ENCODERS)
def name(request):
    return request.param


def test_every_encoder_has_a_schedule_and_its_own_name():
    assert set(ENCODERS) == set(SKELETON_PRETRAIN_SCHEDULES) == set(SMALL)
    assert all(name == kind.network for name, kind in ENCODERS.items())


def test_sizes_are_flags_with_the_encoder_s_own_defaults(name):
    _, recipe, _ = train_ski_vlm.parse(["--stage", "skeleton_pretrain", "--encoder", name])
    encoder = untrained_encoder(recipe, NTU, in_channels=3)
    assert encoder.settings == ENCODERS[name](layout=NTU).settings


def test_an_encoder_is_built_again_from_its_settings(name):
    encoder = ENCODERS[name](layout=LAYOUTS["coco-17"], in_channels=2, **SMALL[name]).eval()
    other = build_encoder(json.loads(json.dumps(encoder.settings))).eval()
    assert other.settings == encoder.settings
    other.load_state_dict(encoder.state_dict())
    skeleton = torch.randn(1, 8, 1, 17, 2)
    assert torch.equal(other(skeleton).tokens, encoder(skeleton).tokens)


def test_one_encoder_does_not_take_the_sizes_of_another(name):
    foreign = {"widths": [8]} if name == "hyperformer" else {"num_heads": 1, "depth": 2}
    with pytest.raises(ValueError, match=f"has no --{sorted(foreign)[0]}.*Its sizes are --"):
        untrained_encoder(SkeletonPretrainRecipe(encoder=name, **foreign), NTU, in_channels=3)


def test_settings_without_a_network_are_a_hyperformer_s():
    settings = ENCODERS["hyperformer"](layout=NTU, **SMALL["hyperformer"]).settings
    assert type(build_encoder({k: v for k, v in settings.items() if k != "network"})) is ENCODERS["hyperformer"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"network": "ms_g3d"}, "unknown skeleton encoder 'ms_g3d'; expected one of hyperformer, shift_gcn, st_gcn"),
        ({"network": ["shift_gcn"]}, "unknown skeleton encoder"),
        ({"num_heads": 9}, "Shift-GCN has no num_heads; expected in_channels, layout"),
        ({"layout": None}, "the layout is None"),
        ({"layout": "ntu-26"}, "ntu-26"),
        ({"widths": 64}, "widths is 64; expected whole numbers from 1"),
        ({"widths": [64, "64"]}, "widths is"),
        ({"widths": [10**9]}, "widths is"),
        ({"widths": []}, "widths is empty"),
        ({"num_persons": 0}, "num_persons is 0"),
        ({"in_channels": True}, "in_channels is True"),
    ],
)
def test_settings_that_make_no_network_are_told(change, message):
    settings = ENCODERS["shift_gcn"](layout=NTU, **SMALL["shift_gcn"]).settings
    with pytest.raises(ValueError, match=message):
        build_encoder({**settings, **change})


@pytest.mark.parametrize("name", ["shift_gcn", "st_gcn"])
def test_refuses_to_have_no_block(name):
    with pytest.raises(ValueError, match="widths is empty"):
        narrow(name, widths=())


@pytest.mark.parametrize(("frames", "whole", "partial"), [(64, 16, 16), (300, 75, 75), (5, 1, 2), (50, 12, 13)])
def test_token_count_follows_from_the_frames(name, frames, whole, partial):
    encoder = narrow(name).eval()
    tokens = partial if encoder.has_partial_steps else whole
    assert encoder(clips(1, frames, 1)).tokens.shape == (1, tokens, WIDTH)
    assert encoder.num_tokens(frames) == tokens


def test_feature_is_the_mean_of_the_tokens(name):
    tokens, feature = narrow(name)(clips())
    assert torch.equal(feature, tokens.mean(1))


@torch.no_grad()
def test_an_absent_person_changes_nothing(name):
    encoder, skeleton = narrow(name).eval(), clips()
    alone = skeleton.clone()
    alone[0, :, 1] = math.nan
    both, one = encoder(skeleton), encoder(alone)
    assert torch.allclose(one.feature[0], encoder(skeleton[:1, :, :1]).feature[0], atol=1e-5)
    assert not torch.allclose(one.feature[0], both.feature[0], atol=1e-3)
    assert torch.allclose(one.feature[1], both.feature[1], atol=1e-5)


@torch.no_grad()
def test_zeros_for_the_absent_are_the_published_way(name):
    encoder, skeleton = narrow(name).eval(), clips()
    skeleton[:, :, 1] = 0.0
    everybody = torch.ones(skeleton.shape[:3], dtype=torch.bool)
    halved = encoder.feature_map(skeleton, present=everybody).mean((2, 3)).unflatten(0, (2, 2)).mean(1)
    assert torch.allclose(encoder(skeleton).feature, halved, atol=1e-5)
    skeleton[:, :, 1] = math.nan
    assert not torch.allclose(encoder(skeleton).feature, halved, atol=1e-2)


@torch.no_grad()
def test_a_person_counts_at_the_time_steps_where_present(name):
    encoder, skeleton = narrow(name, strided=(2,)).eval(), clips(1, 8)
    skeleton[:, 4:, 1] = math.nan
    first, second = encoder.feature_map(skeleton, present=torch.ones(1, 8, 2, dtype=torch.bool)).mean(-1)
    tokens = encoder(skeleton).tokens[0]
    assert torch.allclose(tokens[:2], ((first + second) / 2).T[:2], atol=1e-5)
    assert torch.allclose(tokens[2:], first.T[2:], atol=1e-5)


@torch.no_grad()
def test_where_nobody_is_seen_for_a_moment_all_persons_of_the_clip_count(name):
    skeleton = clips(1, 16)
    skeleton[:, 4:12] = math.nan
    assert narrow(name).eval()(skeleton).tokens.isfinite().all()


def test_training_reaches_every_weight(name):
    model = ActionClassifier(narrow(name), num_classes=4)
    skeleton = clips()
    skeleton[0, :, 1] = math.nan
    model(skeleton).logsumexp(1).sum().backward()
    assert [part for part, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_a_batch_with_one_person_only_trains(name):
    assert narrow(name).train()(clips(persons=1)).feature.isfinite().all()


def test_training_twice_gives_the_same_bits(name):
    states = []
    for _ in range(2):
        model = ActionClassifier(narrow(name), num_classes=2).train()
        optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(2):
            model(clips()).logsumexp(1).sum().backward()
            optimiser.step()
        states.append(model.state_dict())
    assert all(torch.equal(value, states[1][part]) for part, value in states[0].items())


def test_kept_statistics_do_not_move_and_others_do(name):
    encoder = narrow(name)
    statistics = {part: value.clone() for part, value in encoder.state_dict().items() if "running" in part}
    encoder.keep_statistics = True
    encoder.train()(clips())
    assert all(torch.equal(encoder.state_dict()[part], value) for part, value in statistics.items())
    encoder.keep_statistics = False
    encoder.train()(clips())
    assert not any(torch.equal(encoder.state_dict()[part], value) for part, value in statistics.items())


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_every_layout_trains_a_step_with_and_without_single_joints(name, layout):
    encoder = narrow(name, layout=layout, in_channels=layout.dimensions)
    skeleton = clips(joints=layout.num_joints, channels=layout.dimensions)
    for absent in (False, True):
        if absent:
            skeleton[:, 2:5, :, 3] = math.nan
        encoder.zero_grad()
        feature = encoder(skeleton).feature
        feature.square().sum().backward()
        assert feature.shape == (2, WIDTH) and feature.isfinite().all()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in encoder.parameters())


@pytest.mark.parametrize(
    ("skeleton", "message"),
    [
        (clips(channels=2), "2 channels a joint, this encoder takes 3"),
        (clips(joints=17), "17 joints, this encoder's layout ntu-25 has 25"),
        (clips(persons=3), "3 persons, this encoder takes at most 2"),
        (torch.full((2, 8, 2, 25, 3), math.nan), r"clips \[0, 1\] of the batch show nobody"),
        (clips().index_fill(4, torch.tensor([1]), math.nan), "NaN must mark a joint that is absent"),
    ],
)
def test_refuses_what_it_cannot_encode(name, skeleton, message):
    with pytest.raises(ValueError, match=message):
        narrow(name)(skeleton)


def test_two_dimensional_joints_do_not_go_into_a_three_dimensional_encoder(name):
    with pytest.raises(ValueError, match="coco-17.*2 coordinates.*3 are needed.*never made up"):
        narrow(name, layout=LAYOUTS["coco-17"], in_channels=3)


def test_no_1x1_convolution_strides(name):
    """oneDNN's issue 6035: below 16 channels its gradient is written beyond its memory, which ends the process."""
    convolutions = [m for m in narrow(name).modules() if isinstance(m, torch.nn.Conv2d) and m.kernel_size == (1, 1)]
    assert {stride for m in convolutions for stride in m.stride} <= {1}


@pytest.mark.parametrize("is_training", [True, False])
@torch.no_grad()
def test_what_stands_under_a_mask_has_no_influence(name, is_training):
    encoder, skeleton = narrow(name).train(is_training), without_joints(clips())
    present, has_joint = presence_of(skeleton)
    features = []
    for garbage in (0.0, 1e3, -1e3):
        filled = skeleton if is_training else skeleton.nan_to_num(garbage)
        torch.manual_seed(0)
        features.append(encoder.feature_map(filled, present=present, has_joint=has_joint))
    assert torch.equal(features[0], features[1]) and torch.equal(features[0], features[2])
    absent = ~encoder.remaining(has_joint)
    assert absent.any() and not features[0].movedim(1, -1)[absent].any()


def test_an_absent_joint_has_no_gradient_and_others_have(name):
    encoder, skeleton = narrow(name).eval(), without_joints(clips()).requires_grad_()
    encoder(skeleton).feature.sum().backward()
    absent = skeleton.isnan()
    assert skeleton.grad.isfinite().all()
    assert not skeleton.grad[absent].any() and skeleton.grad[~absent].ne(0).float().mean() > 0.8


@torch.no_grad()
def test_a_clip_does_not_depend_on_its_neighbours_absent_joints(name):
    encoder, whole = narrow(name).eval(), clips()
    torn = whole.clone()
    torn[1, :, 0, 7] = math.nan
    assert torch.allclose(encoder(whole).feature[0], encoder(torn).feature[0], atol=1e-5)
    assert not torch.allclose(encoder(whole).feature[1], encoder(torn).feature[1], atol=1e-3)
    moment = whole.clone()
    moment[0, 4:9, 1] = math.nan  # a person who is absent for a moment is as ever
    assert torch.allclose(encoder(moment).feature[0], encoder(torch.stack([moment[0], torn[1]])).feature[0], atol=1e-5)


@pytest.mark.parametrize("name", ["hyperformer", "st_gcn"])
@torch.no_grad()
def test_a_joint_that_is_always_absent_is_as_if_the_skeleton_had_none(name):
    """Take the joint out of layout and weights instead: the same numbers. Shift-GCN's circle of joints has no gap."""
    encoder = narrow(name, strided=(2,)).eval()
    skeleton = clips()
    skeleton[:, :, :, 24] = math.nan  # a thumb, on which no other bone hangs
    remaining = [joint for joint in range(25) if joint != 24]
    smaller = dataclasses.replace(
        NTU,
        joints=NTU.joints[:24],
        bones=tuple(bone for bone in NTU.bones if 24 not in bone),
        groups=NTU.groups[:24],
    )
    other = narrow(name, layout=smaller, strided=(2,)).eval()
    state = encoder.state_dict()
    for part, value in state.items():
        if part.startswith("entrance_norm") and value.ndim:
            state[part] = value.view(-1, 25, 3)[:, remaining].flatten()
        elif part.endswith(("joint_matrix", "edges", "subsets")):
            state[part] = value[:, remaining][:, :, remaining]
    other.load_state_dict(state)
    assert torch.allclose(encoder(skeleton).tokens, other(skeleton[:, :, :, remaining]).tokens, atol=1e-5)
