import math

import numpy as np
import pytest
import torch
from einops import rearrange

from ski_lvlm.encoders.presence import presence_of
from ski_lvlm.encoders.shift_gcn import ShiftGCN, joint_shift
from ski_lvlm.encoders.skeleton_encoder import ActionClassifier
from ski_lvlm.encoders.temporal_shift import TemporalShift
from ski_lvlm.skeletons.layouts import LAYOUTS
from tests.cases.recordings import GOLDEN
from tests.cases.stand_in_case import published_shift_gcn, skeleton_input

NTU = LAYOUTS["ntu-25"]


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN / "shift_gcn_golden.npz") as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays}


@pytest.fixture(scope="module")
def published():
    return published_shift_gcn()


def narrow(**changes):
    """Return a small encoder whose parts all do something, which the masks do not at the start."""
    torch.manual_seed(0)
    encoder = ShiftGCN(**{"layout": NTU, "widths": (8, 8, 12), "strided": (2, 3), **changes})
    for name, weight in encoder.named_parameters():
        if name.endswith(("mask", "bias")):
            torch.nn.init.uniform_(weight, -0.5, 0.5)
        elif name.endswith("offset"):
            torch.nn.init.uniform_(weight, -3.0, 3.0)
    return encoder


def clips(batch=2, frames=16, persons=2, joints=25, channels=3):
    return torch.randn(batch, frames, persons, joints, channels, generator=torch.Generator().manual_seed(1))


def largest_difference(value, golden):
    return ((value - golden).abs().max() / golden.abs().max()).item()


@torch.no_grad()
def test_agrees_with_the_published_network(published, golden):
    skeleton = skeleton_input(clips=2, frames=16)
    present = torch.ones(skeleton.shape[:3], dtype=torch.bool)
    assert largest_difference(published(skeleton), golden["logits"]) < 1e-5
    assert largest_difference(published.encoder(skeleton).feature, golden["pooled"]) < 1e-5
    feature_map = published.encoder.feature_map(skeleton, present=present)
    assert largest_difference(feature_map, golden["feature_map"]) < 1e-5


@torch.no_grad()
def test_every_block_agrees_with_the_published_one(published, golden):
    outputs = []
    hooks = [b.register_forward_hook(lambda *call: outputs.append(call[2])) for b in published.encoder.blocks]
    published(skeleton_input(clips=2, frames=16))
    for hook in hooks:
        hook.remove()
    for output, mean, peak, shape in zip(
        outputs, golden["block_mean"], golden["block_absmax"], golden["block_shape"], strict=True
    ):
        assert rearrange(output, "j c t n -> n c t j").shape == tuple(shape)
        assert output.mean().item() == pytest.approx(mean.item(), rel=1e-4)
        assert output.abs().max().item() == pytest.approx(peak.item(), rel=1e-4)


@pytest.mark.parametrize("stride", [1, 2])
def test_the_temporal_shift_and_its_gradients_are_the_published_ones(golden, stride):
    shift = TemporalShift(6, stride=stride)
    shift.offset.data.copy_(golden[f"shift{stride}_ypos"])
    x, upstream = (
        rearrange(golden[f"shift{stride}_{name}"], "n c t j -> j c t n").contiguous() for name in ("in", "grad_out")
    )
    output = shift(x.requires_grad_())
    output.backward(upstream)
    to_golden = "j c t n -> n c t j"
    assert (rearrange(output, to_golden) - golden[f"shift{stride}_out"]).abs().max() < 1e-6
    assert largest_difference(rearrange(x.grad, to_golden), golden[f"shift{stride}_grad_in"]) < 1e-6
    assert torch.allclose(shift.offset.grad, golden[f"shift{stride}_grad_ypos"], atol=1e-7)
    assert not golden[f"shift{stride}_grad_xpos"].any()  # of the offset between joints, which is left out


def test_an_offset_without_a_gradient_still_takes_the_least_step():
    shift = TemporalShift(3)
    shift(torch.ones(2, 3, 40, 1))[:, :, 10:30].sum().backward()  # between equal frames
    assert torch.allclose(shift.offset.grad, torch.full((3,), 1e-4))


def test_accumulated_parts_of_a_batch_average_their_signs():
    shift, x = TemporalShift(3), torch.randn(2, 3, 9, 4, generator=torch.Generator().manual_seed(0))
    shift.num_parts = 2
    for part in x.chunk(2, dim=-1):
        shift(part).square().sum().backward()
    allowed = torch.tensor([-0.01, 0.0, 0.01])
    assert (shift.offset.grad[:, None] - allowed).abs().min(1).values.max() < 1e-7


@pytest.mark.parametrize("offset", [-50.0, 50.0, 3.0, -2.25])
def test_an_offset_reaches_beyond_the_clip_and_finds_zeros_there(offset):
    shift, x = TemporalShift(1), torch.arange(1.0, 9.0)[None, None, :, None]
    shift.offset.data.fill_(offset)
    frames = np.arange(8) + offset
    expected = np.interp(frames, np.arange(-1, 9), np.r_[0.0, np.arange(1.0, 9.0), 0.0], left=0.0, right=0.0)
    assert torch.allclose(shift(x).flatten(), torch.from_numpy(expected).float())


def test_channels_go_around_the_skeleton_and_back(golden):
    assert torch.equal(joint_shift(25, 4), golden["spatial_shift_in_C4"].long())
    assert torch.equal(joint_shift(25, 4).argsort(), golden["spatial_shift_out_C4"].long())


def test_has_the_published_number_of_parameters():
    model = ActionClassifier(ShiftGCN(layout=NTU), num_classes=60)
    offsets_between_joints = 2 * sum(model.encoder.widths)  # left out
    assert sum(p.numel() for p in model.parameters()) == 693_107 - offsets_between_joints


@pytest.mark.parametrize(("frames", "tokens"), [(64, 16), (300, 75), (5, 1), (4, 1)])
def test_token_count_follows_from_the_frames(frames, tokens):
    encoder = narrow().eval()
    assert encoder(clips(1, frames, 1)).tokens.shape == (1, tokens, 12)
    assert encoder.num_tokens(frames) == tokens


@torch.no_grad()
def test_an_absent_person_changes_nothing():
    encoder, skeleton = narrow().eval(), clips()
    alone = skeleton.clone()
    alone[0, :, 1] = math.nan
    both, one = encoder(skeleton), encoder(alone)
    assert torch.allclose(one.feature[0], encoder(skeleton[:1, :, :1]).feature[0], atol=1e-5)
    assert not torch.allclose(one.feature[0], both.feature[0], atol=1e-3)
    assert torch.allclose(one.feature[1], both.feature[1], atol=1e-5)


@torch.no_grad()
def test_zeros_for_the_absent_are_the_published_way(published):
    skeleton = skeleton_input(clips=2, frames=8)
    skeleton[:, :, 1] = 0.0
    everybody = torch.ones(2, 8, 2, dtype=torch.bool)
    halved = published.encoder.feature_map(skeleton, present=everybody).mean((2, 3)).unflatten(0, (2, 2)).mean(1)
    assert torch.allclose(published.encoder(skeleton).feature, halved, atol=1e-4)
    skeleton[:, :, 1] = math.nan
    assert not torch.allclose(published.encoder(skeleton).feature, halved, atol=1e-2)


def test_training_reaches_every_weight():
    model = ActionClassifier(narrow(), num_classes=4)
    skeleton = clips()
    skeleton[0, :, 1] = math.nan
    model(skeleton).logsumexp(1).sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_a_few_steps_lower_the_loss_and_move_the_offsets_by_the_rule():
    model = ActionClassifier(narrow(), num_classes=2).train()
    before = [p.detach().clone() for name, p in model.named_parameters() if name.endswith("offset")]
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    losses = []
    for _ in range(5):
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(clips()), torch.tensor([0, 1]))
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]
    after = [p for name, p in model.named_parameters() if name.endswith("offset")]
    for old, new in zip(before, after, strict=True):
        assert 0 < (new - old).abs().max() <= 5 * 0.001 + 1e-6


def test_training_twice_gives_the_same_bits():
    states = []
    for _ in range(2):
        model = ActionClassifier(narrow(), num_classes=2).train()
        optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(2):
            model(clips()).logsumexp(1).sum().backward()
            optimiser.step()
        states.append(model.state_dict())
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def test_kept_statistics_do_not_move_and_others_do():
    encoder = narrow()
    statistics = {name: value.clone() for name, value in encoder.state_dict().items() if "running" in name}
    encoder.keep_statistics = True
    encoder.train()(clips())
    assert all(torch.equal(encoder.state_dict()[name], value) for name, value in statistics.items())
    encoder.keep_statistics = False
    encoder.train()(clips())
    assert not any(torch.equal(encoder.state_dict()[name], value) for name, value in statistics.items())


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_every_layout_trains_a_step_with_and_without_single_joints(layout):
    encoder = narrow(layout=layout, in_channels=layout.dimensions)
    skeleton = clips(joints=layout.num_joints, channels=layout.dimensions)
    for absent in (False, True):
        if absent:
            skeleton[:, 2:5, :, 3] = math.nan
        encoder.zero_grad()
        feature = encoder(skeleton).feature
        feature.square().sum().backward()
        assert feature.shape == (2, 12) and feature.isfinite().all()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in encoder.parameters())


@pytest.mark.parametrize(
    ("skeleton", "message"),
    [
        (clips(channels=2), "2 channels a joint, this encoder takes 3"),
        (clips(joints=17), "17 joints, this encoder's layout ntu-25 has 25"),
        (clips(persons=3), "3 persons, this encoder takes at most 2"),
        (clips(frames=3), "3 frames, this encoder needs 4 for one token"),
        (torch.full((2, 8, 2, 25, 3), math.nan), r"clips \[0, 1\] of the batch show nobody"),
    ],
)
def test_refuses_what_it_cannot_encode(skeleton, message):
    with pytest.raises(ValueError, match=message):
        narrow()(skeleton)


def test_refuses_to_have_no_block_or_to_make_up_a_dimension():
    with pytest.raises(ValueError, match="widths is empty"):
        narrow(widths=())
    with pytest.raises(ValueError, match="coco-17.*2 coordinates.*3 are needed.*never made up"):
        narrow(layout=LAYOUTS["coco-17"], in_channels=3)


def without_joints(skeleton):
    skeleton = skeleton.clone()
    skeleton[0, :, 0, 7] = math.nan
    skeleton[1, 3:6, 0, 11:15] = math.nan
    skeleton[1, 8, 1, 20] = math.nan
    return skeleton


@torch.no_grad()
def test_what_stands_under_a_mask_has_no_influence():
    encoder, skeleton = narrow().eval(), without_joints(clips())
    present, has_joint = presence_of(skeleton)
    features = [
        encoder.feature_map(skeleton.nan_to_num(garbage), present=present, has_joint=has_joint)
        for garbage in (0.0, 1e3, -1e3)
    ]
    assert torch.equal(features[0], features[1]) and torch.equal(features[0], features[2])
    absent = ~encoder.remaining(has_joint)
    assert absent.any() and not features[0].movedim(1, -1)[absent].any()


def test_an_absent_joint_has_no_gradient_and_others_have():
    encoder, skeleton = narrow().eval(), without_joints(clips()).requires_grad_()
    encoder(skeleton).feature.sum().backward()
    absent = skeleton.isnan()
    assert skeleton.grad.isfinite().all()
    assert not skeleton.grad[absent].any() and skeleton.grad[~absent].ne(0).float().mean() > 0.8


@torch.no_grad()
def test_a_clip_does_not_depend_on_its_neighbours_absent_joints():
    encoder, whole = narrow().eval(), clips()
    torn = whole.clone()
    torn[1, :, 0, 7] = math.nan
    assert torch.allclose(encoder(whole).feature[0], encoder(torn).feature[0], atol=1e-5)
    assert not torch.allclose(encoder(whole).feature[1], encoder(torn).feature[1], atol=1e-3)
