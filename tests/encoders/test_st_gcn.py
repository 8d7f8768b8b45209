import dataclasses

import pytest
import torch

from ski_lvlm.encoders.st_gcn import STGCN, spatial_subsets
from ski_lvlm.skeletons.layouts import LAYOUTS
from tests.cases.encoder_case import clips, narrow
from tests.cases.reference_weights import fill_random, reference, relative
from tests.cases.stand_in_case import skeleton_input

NTU = LAYOUTS["ntu-25"]
PLACES = {
    "gcn.conv": "joints.linear",
    "tcn.0": "time.entrance_norm",
    "tcn.2": "time.conv",
    "tcn.3": "time.exit_norm",
    "residual.0": "residual.0",
    "residual.1": "residual.1",
}


def our_name(name):
    if name.startswith("data_bn."):
        return name.replace("data_bn", "entrance_norm")
    group, number, *parts, leaf = name.split(".") if name.count(".") > 1 else (*name.split("."), "edges")
    return ".".join(["blocks", number, *([PLACES[".".join(parts)]] if parts else []), leaf])


def stand_in(name, shape):
    if name.endswith("num_batches_tracked"):
        return torch.tensor(0)
    value = fill_random(name, shape) * (2.0 if name.endswith(("tcn.2.weight", "gcn.conv.weight")) else 1.0)
    if name.startswith("edge_importance"):
        return 1.0 + value
    return value[..., 0, 0] if name.endswith("gcn.conv.weight") else value


@torch.no_grad()
def test_agrees_with_the_published_network():
    arrays, weights = reference("smie")
    names = [name.removeprefix("stgcn.") for name in weights if name.startswith("stgcn.") and name != "stgcn.A"]
    encoder = STGCN(layout=NTU).eval()
    state = {our_name(name): stand_in(name, weights[f"stgcn.{name}"].shape) for name in names}
    encoder.load_state_dict({"subsets": arrays["stgcn_A"], **state})
    assert relative(encoder(skeleton_input(clips=2, frames=50)).feature, arrays["stgcn_features"]) < 1e-5


def test_has_the_published_number_of_parameters():
    assert sum(p.numel() for p in STGCN(layout=NTU).parameters()) == 821_380


def test_the_published_graph_is_ours_with_hand_tips_on_the_thumbs():
    """Compare the subsets around the centre alone, where published distances end."""
    arrays, _ = reference("smie")
    bones = tuple({(21, 7): (21, 22), (23, 11): (23, 24)}.get(bone, bone) for bone in NTU.bones)
    subsets, published = spatial_subsets(dataclasses.replace(NTU, bones=bones)), arrays["stgcn_A"]
    assert torch.allclose(subsets.sum(0), published.sum(0)) and torch.allclose(subsets[0], published[0])
    around = [1, 2, 4, 8, 20]
    assert torch.allclose(subsets[:, around][:, :, around], published[:, around][:, :, around])


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_every_joint_takes_a_mean_over_itself_and_its_neighbours(layout):
    subsets = spatial_subsets(layout)
    assert torch.allclose(subsets.sum((0, 1)), torch.ones(layout.num_joints))
    assert torch.equal(subsets.sum(0) > 0, (subsets.sum(0) > 0).T)
    assert subsets[0].count_nonzero() == layout.num_joints
    assert torch.equal(subsets[1] > 0, (subsets[2] > 0).T)  # no two neighbours are equally far from the centre
    assert subsets[1:].count_nonzero() == 2 * len(layout.bones)


def test_the_wrist_is_inside_of_the_hand_and_the_elbow_of_the_wrist():
    itself, outside, inside = spatial_subsets(NTU)
    elbow, wrist, hand = (NTU.joints.index(f"left {joint}") for joint in ("elbow", "wrist", "hand"))
    assert inside[wrist, hand] == 1 / 4 and inside[elbow, wrist] == 1 / 3  # with both tips, and with the hand
    assert outside[hand, wrist] == 1 / 3 and not itself[hand, wrist]


def test_an_encoder_starts_with_every_edge_at_one_and_learns_those_of_the_graph():
    encoder = narrow("st_gcn")
    encoder(clips()).feature.square().sum().backward()
    for block in encoder.blocks:
        assert block.edges.eq(1).all() and torch.equal(block.edges.grad != 0, encoder.subsets > 0)


def test_dropout_begins_at_the_second_block_and_ends_with_training():
    encoder = narrow("st_gcn")
    assert [block.time.dropout.p for block in encoder.blocks] == [0.0, 0.5, 0.5]
    assert not torch.equal(encoder(clips()).feature, encoder(clips()).feature)
    encoder.eval()
    assert torch.equal(encoder(clips()).feature, encoder(clips()).feature)


@torch.no_grad()
def test_persons_share_the_first_norm():
    encoder, skeleton = narrow("st_gcn").eval(), clips()
    assert encoder.entrance_norm.num_features == 25 * 3
    assert torch.allclose(encoder(skeleton).feature, encoder(skeleton.flip(2)).feature, atol=1e-5)
