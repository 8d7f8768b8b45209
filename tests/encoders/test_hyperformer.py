import dataclasses
import json
import math
import zlib

import numpy as np
import pytest
import torch
from einops import rearrange

from ski_lvlm.encoders.hyper_attention import hop_distances
from ski_lvlm.encoders.hyperformer import Hyperformer
from ski_lvlm.encoders.presence import presence_of
from ski_lvlm.encoders.skeleton_encoder import ActionClassifier
from ski_lvlm.published.hyperformer_weights import load_hyperformer
from ski_lvlm.published.weights import PublishedWeightsError, read_published
from ski_lvlm.skeletons.layouts import LAYOUTS
from tests.cases.recordings import GOLDEN

NTU = LAYOUTS["ntu-25"]


def stand_in_weight(name, shape):
    """Return the golden file's weight, a function of the tensor's name (stated in the reference's notes)."""
    k = np.arange(math.prod(shape), dtype=np.float64)
    seed = zlib.crc32(name.encode()) % 10007
    wave = np.sin(k * 0.7310585 + seed) * 0.6 + np.sin(k * 0.1234567 + 2.0 * seed) * 0.4
    if name.endswith("running_var"):
        value = 1.0 + 0.3 * wave
    elif len(shape) <= 1:
        value = 1.0 + 0.2 * wave if name.endswith("weight") else 0.1 * wave
    else:
        value = wave * 1.2 / np.sqrt(math.prod(shape) / shape[0])
    return torch.from_numpy(value.astype(np.float32).reshape(shape))


def golden_input():
    a, c, f, j, p = np.meshgrid(*(np.arange(n) for n in (2, 3, 64, 25, 2)), indexing="ij")
    x = np.sin(0.11 * f * (1 + 0.3 * c) + 0.5 * j + 1.3 * a + 0.7 * p) * 0.4 + 0.05 * j - 0.3 * c + 0.2 * p
    return rearrange(torch.from_numpy(x.astype(np.float32)), "b c t j m -> b t m j c")


def released_weights():
    shapes = json.loads((GOLDEN / "hyperformer_keys.json").read_text())
    return {
        name: torch.tensor(0) if name.endswith("num_batches_tracked") else stand_in_weight(name, tuple(shape))
        for name, shape in shapes.items()
    }


@pytest.fixture(scope="module")
def published():
    model = ActionClassifier(Hyperformer(layout=NTU), num_classes=120).eval()
    load_hyperformer(model, released_weights())
    return model


def narrow(**changes):
    torch.manual_seed(0)
    return Hyperformer(**{"layout": NTU, "num_heads": 2, "head_dim": 12, "depth": 3, "strided": (2, 3), **changes})


def clips(batch=2, frames=16, persons=2, joints=25, channels=3):
    return torch.randn(batch, frames, persons, joints, channels, generator=torch.Generator().manual_seed(1))


def largest_difference(value, golden):
    golden = torch.from_numpy(golden.astype(np.float32))
    return ((value - golden).abs().max() / golden.abs().max()).item()


@pytest.mark.slow
@torch.no_grad()
def test_agrees_with_the_published_network(published):
    golden, skeleton = np.load(GOLDEN / "hyperformer_golden.npz"), golden_input()
    present = torch.ones(skeleton.shape[:3], dtype=torch.bool)
    assert largest_difference(published(skeleton), golden["logits"]) < 1e-4
    assert largest_difference(published.encoder(skeleton).feature, golden["penultimate"]) < 1e-4
    feature_map = published.encoder.feature_map(skeleton, present=present)
    assert largest_difference(feature_map, golden["feature_map"]) < 1e-3  # stored in half precision


def test_has_the_published_number_of_parameters():
    language_projection = 216 * 512 + 512
    parameters = sum(p.numel() for p in Hyperformer(layout=NTU).parameters())
    assert round((parameters + language_projection) / 1e6, 2) == 2.83


@pytest.mark.parametrize(("frames", "tokens"), [(64, 16), (300, 75), (1024, 256), (5, 2)])
def test_token_count_follows_from_the_frames(frames, tokens):
    encoder = narrow(depth=2, strided=(1, 2)).eval()
    assert encoder(clips(1, frames, 1)).tokens.shape == (1, tokens, 24)
    assert Hyperformer(layout=NTU, num_heads=1, head_dim=12).num_tokens(frames) == tokens


def test_feature_is_the_mean_of_the_tokens():
    tokens, feature = narrow()(clips())
    assert torch.equal(feature, tokens.mean(1))


@torch.no_grad()
def test_an_absent_person_changes_nothing():
    encoder, skeleton = narrow().eval(), clips()
    alone = skeleton.clone()
    alone[0, :, 1] = math.nan
    both, one = encoder(skeleton), encoder(alone)
    assert torch.allclose(one.feature[0], encoder(skeleton[:1, :, :1]).feature[0], atol=1e-6)
    assert not torch.allclose(one.feature[0], both.feature[0], atol=1e-3)
    assert torch.allclose(one.feature[1], both.feature[1], atol=1e-6)


@pytest.mark.slow
@torch.no_grad()
def test_zeros_for_the_absent_are_the_published_way(published):
    skeleton = golden_input()[:, :12]
    skeleton[:, :, 1] = 0.0
    everybody = torch.ones(2, 12, 2, dtype=torch.bool)
    halved = published.encoder.feature_map(skeleton, present=everybody).mean((2, 3)).unflatten(0, (2, 2)).mean(1)
    assert torch.allclose(published.encoder(skeleton).feature, halved, atol=1e-5)
    skeleton[:, :, 1] = math.nan
    assert not torch.allclose(published.encoder(skeleton).feature, halved, atol=1e-2)


@torch.no_grad()
def test_a_person_counts_at_the_time_steps_where_present():
    encoder, skeleton = narrow(strided=(2,), depth=2).eval(), clips(1, 8)
    skeleton[:, 4:, 1] = math.nan
    first, second = encoder.feature_map(skeleton, present=torch.ones(1, 8, 2, dtype=torch.bool)).mean(-1)
    tokens = encoder(skeleton).tokens[0]
    assert torch.allclose(tokens[:2], ((first + second) / 2).T[:2], atol=1e-6)
    assert torch.allclose(tokens[2:], first.T[2:], atol=1e-6)


@torch.no_grad()
def test_where_nobody_is_seen_for_a_moment_all_persons_of_the_clip_count():
    skeleton = clips(1, 16)
    skeleton[:, 4:12] = math.nan
    assert narrow().eval()(skeleton).tokens.isfinite().all()


def test_training_reaches_every_weight():
    encoder = ActionClassifier(narrow(), num_classes=4)
    skeleton = clips()
    skeleton[0, :, 1] = math.nan
    for block in encoder.encoder.blocks:
        torch.nn.init.ones_(block.attention.alpha)  # zero at the start, which stops the gradient of the scores
        torch.nn.init.normal_(block.attention.group_weight)
    encoder(skeleton).logsumexp(1).sum().backward()
    assert [name for name, p in encoder.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_a_batch_with_one_person_only_trains():
    assert narrow().train()(clips(persons=1)).feature.isfinite().all()


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_every_layout_brings_its_own_graph(layout):
    encoder = narrow(layout=layout, in_channels=layout.dimensions)
    joints = len(layout.joints)
    assert encoder(clips(joints=joints, channels=layout.dimensions)).feature.shape == (2, 24)
    assert encoder.blocks[0].attention.joint_matrix.shape == (2, joints, joints)


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
def test_refuses_what_it_cannot_encode(skeleton, message):
    with pytest.raises(ValueError, match=message):
        narrow()(skeleton)


def test_refuses_a_width_that_the_blocks_cannot_divide():
    with pytest.raises(ValueError, match="does not divide by 12"):
        narrow(num_heads=2, head_dim=10)


def test_hops_follow_the_bones():
    hops = hop_distances(NTU.bones, num_joints=25)
    assert hops.max() == 11  # from a hand tip to a foot: the 12 rows of the published table
    assert (hops == hops.T).all()
    assert all(hops[bone] == 1 for bone in NTU.bones)
    with pytest.raises(ValueError, match=r"joints \[2\] are not connected"):
        hop_distances([(0, 1)], num_joints=3)


@pytest.mark.slow
def test_published_weights_must_fit_exactly():
    weights = released_weights()
    del weights["l3.vit1.attn.rpe"]
    weights["l11.vit1.attn.rpe"] = torch.zeros(12, 216)
    model = ActionClassifier(Hyperformer(layout=NTU), num_classes=120)
    with pytest.raises(PublishedWeightsError, match="missing .*l3.vit1.attn.rpe.*left over .*l11.vit1.attn.rpe"):
        load_hyperformer(model, weights)
    with pytest.raises(PublishedWeightsError, match=r"head.weight: \(120, 216\), expected \(60, 216\)"):
        load_hyperformer(ActionClassifier(Hyperformer(layout=NTU), num_classes=60), released_weights())


def test_reads_published_files(tmp_path):
    weights = {"module.fc.weight": torch.ones(2, 3)}
    torch.save({"state_dict": weights}, tmp_path / "run.pt")
    assert torch.equal(read_published(tmp_path / "run.pt")["fc.weight"], torch.ones(2, 3))
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(PublishedWeightsError, match="holds list"):
        read_published(tmp_path / "list.pt")


def test_two_dimensional_joints_do_not_go_into_a_three_dimensional_encoder():
    with pytest.raises(ValueError, match="coco-17.*2 coordinates.*3 are needed.*never made up"):
        narrow(layout=LAYOUTS["coco-17"], in_channels=3)


def test_no_1x1_convolution_strides():
    """oneDNN's issue 6035: below 16 channels its gradient is written beyond its memory, which ends the process."""
    model = Hyperformer(layout=LAYOUTS["ntu-25"], num_heads=1, head_dim=12, depth=2, strided=(2,))
    convolutions = [m for m in model.modules() if isinstance(m, torch.nn.Conv2d) and m.kernel_size == (1, 1)]
    assert model.num_tokens(8) == 4 and {m.stride for m in convolutions} == {(1, 1)}


def without_joints(skeleton):
    """Return the clips with joints absent: a hand throughout the first, some more in single frames of the second."""
    skeleton = skeleton.clone()
    skeleton[0, :, 0, 7] = math.nan
    skeleton[1, 3:6, 0, 11:15] = math.nan
    skeleton[1, 8, 1, 20] = math.nan
    return skeleton


def attentive(**changes):
    """Return an encoder whose attention and first norm do something, which they do not at the start."""
    encoder = narrow(**changes)
    for block in encoder.blocks:
        torch.nn.init.ones_(block.attention.alpha)
        for weight in (block.attention.group_weight, block.attention.hop_embedding, block.attention.joint_matrix):
            torch.nn.init.normal_(weight)
    torch.nn.init.uniform_(encoder.entrance_norm.running_mean)
    torch.nn.init.uniform_(encoder.entrance_norm.bias)
    return encoder


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_every_layout_trains_a_step_with_and_without_single_joints(layout):
    encoder = attentive(layout=layout, in_channels=layout.dimensions)
    skeleton = clips(joints=layout.num_joints, channels=layout.dimensions)
    for absent in (False, True):
        if absent:
            skeleton[:, 2:5, :, 3] = math.nan
        encoder.zero_grad()
        feature = encoder(skeleton).feature
        feature.square().sum().backward()
        assert feature.isfinite().all()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in encoder.parameters())


@pytest.mark.parametrize("is_training", [True, False])
def test_what_stands_under_a_mask_has_no_influence(is_training):
    encoder = attentive().train(is_training)
    skeleton = without_joints(clips())
    present, has_joint = presence_of(skeleton)
    features = []
    for garbage in (0.0, 1e3, -1e3):
        filled = skeleton.nan_to_num(garbage) if is_training is False else skeleton
        features.append(encoder.feature_map(filled, present=present, has_joint=has_joint))
    assert torch.equal(features[0], features[1]) and torch.equal(features[0], features[2])
    absent = ~encoder.remaining(has_joint)
    assert absent.any() and not features[0].movedim(1, -1)[absent].any()


def test_an_absent_joint_has_no_gradient_and_others_have():
    encoder, skeleton = attentive().eval(), without_joints(clips()).requires_grad_()
    encoder(skeleton).feature.sum().backward()
    absent = skeleton.isnan()
    assert skeleton.grad.isfinite().all()
    assert not skeleton.grad[absent].any() and skeleton.grad[~absent].ne(0).float().mean() > 0.9


@torch.no_grad()
def test_a_clip_does_not_depend_on_its_neighbours_absent_joints():
    encoder, whole = attentive().eval(), clips()
    torn = whole.clone()
    torn[1, :, 0, 7] = math.nan
    assert torch.allclose(encoder(whole).feature[0], encoder(torn).feature[0], atol=1e-5)
    assert not torch.allclose(encoder(whole).feature[1], encoder(torn).feature[1], atol=1e-3)
    moment = whole.clone()
    moment[0, 4:9, 1] = math.nan  # a person who is absent for a moment is as ever
    assert torch.allclose(encoder(moment).feature[0], encoder(torch.stack([moment[0], torn[1]])).feature[0], atol=1e-5)


@torch.no_grad()
def test_a_joint_that_is_always_absent_is_as_if_the_skeleton_had_none():
    """Take the joint out of layout and weights instead: the same numbers."""
    encoder = attentive(depth=2, strided=(2,)).eval()
    skeleton = clips()
    skeleton[:, :, :, 24] = math.nan  # a thumb, on which no other bone hangs
    remaining = [joint for joint in range(25) if joint != 24]
    smaller = dataclasses.replace(
        NTU,
        joints=NTU.joints[:24],
        bones=tuple(bone for bone in NTU.bones if 24 not in bone),
        groups=NTU.groups[:24],
    )
    other = narrow(layout=smaller, depth=2, strided=(2,)).eval()
    rows = torch.arange(2 * 25 * 3).view(2, 25, 3)[:, remaining].flatten()
    state = encoder.state_dict()
    for name, value in state.items():
        if name.startswith("entrance_norm") and value.ndim:
            state[name] = value[rows]
        elif name.endswith("joint_matrix"):
            state[name] = value[:, remaining][:, :, remaining]
    other.load_state_dict(state)
    assert torch.allclose(encoder(skeleton).tokens, other(skeleton[:, :, :, remaining]).tokens, atol=1e-5)
