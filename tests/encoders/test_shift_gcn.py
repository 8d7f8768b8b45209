import numpy as np
import pytest
import torch
from einops import rearrange

from ski_lvlm.encoders.shift_gcn import ShiftGCN, joint_shift
from ski_lvlm.encoders.skeleton_encoder import ActionClassifier
from ski_lvlm.encoders.temporal_shift import TemporalShift
from ski_lvlm.skeletons.layouts import LAYOUTS
from tests.cases.encoder_case import clips, narrow
from tests.cases.recordings import GOLDEN
from tests.cases.reference_weights import relative
from tests.cases.stand_in_case import published_shift_gcn, skeleton_input

NTU = LAYOUTS["ntu-25"]


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN / "shift_gcn_golden.npz") as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays}


@pytest.fixture(scope="module")
def published():
    return published_shift_gcn()


@torch.no_grad()
def test_agrees_with_the_published_network(published, golden):
    skeleton = skeleton_input(clips=2, frames=16)
    present = torch.ones(skeleton.shape[:3], dtype=torch.bool)
    assert relative(published(skeleton), golden["logits"]) < 1e-5
    assert relative(published.encoder(skeleton).feature, golden["pooled"]) < 1e-5
    feature_map = published.encoder.feature_map(skeleton, present=present)
    assert relative(feature_map, golden["feature_map"]) < 1e-5


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
    assert relative(rearrange(x.grad, to_golden), golden[f"shift{stride}_grad_in"]) < 1e-6
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


def test_a_few_steps_lower_the_loss_and_move_the_offsets_by_the_rule():
    model = ActionClassifier(narrow("shift_gcn"), num_classes=2).train()
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


def test_a_clip_needs_a_frame_for_each_halving():
    with pytest.raises(ValueError, match="3 frames, this encoder needs 4 for one token"):
        narrow("shift_gcn")(clips(frames=3))
