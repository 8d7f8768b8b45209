import numpy as np
import pytest
import torch

from ski_lvlm.encoders.hyper_attention import hop_distances
from ski_lvlm.encoders.hyperformer import Hyperformer
from ski_lvlm.encoders.skeleton_encoder import ActionClassifier
from ski_lvlm.published.hyperformer_weights import load_hyperformer
from ski_lvlm.published.weights import PublishedWeightsError, read_published
from ski_lvlm.skeletons.layouts import LAYOUTS
from tests.cases.encoder_case import narrow
from tests.cases.recordings import GOLDEN
from tests.cases.reference_weights import hyperformer_weights, relative
from tests.cases.stand_in_case import skeleton_input

NTU = LAYOUTS["ntu-25"]


@pytest.fixture(scope="module")
def published():
    model = ActionClassifier(Hyperformer(layout=NTU), num_classes=120).eval()
    load_hyperformer(model, hyperformer_weights())
    return model


@pytest.mark.slow
@torch.no_grad()
def test_agrees_with_the_published_network(published):
    golden, skeleton = np.load(GOLDEN / "hyperformer_golden.npz"), skeleton_input(clips=2, frames=64)
    present = torch.ones(skeleton.shape[:3], dtype=torch.bool)
    assert relative(published(skeleton), golden["logits"]) < 1e-4
    assert relative(published.encoder(skeleton).feature, golden["penultimate"]) < 1e-4
    feature_map = published.encoder.feature_map(skeleton, present=present)
    assert relative(feature_map, golden["feature_map"]) < 1e-3  # stored in half precision


def test_has_the_published_number_of_parameters():
    language_projection = 216 * 512 + 512
    parameters = sum(p.numel() for p in Hyperformer(layout=NTU).parameters())
    assert round((parameters + language_projection) / 1e6, 2) == 2.83


def test_refuses_a_width_that_the_blocks_cannot_divide():
    with pytest.raises(ValueError, match="does not divide by 12"):
        Hyperformer(layout=NTU, num_heads=2, head_dim=10)


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_every_layout_brings_its_own_matrix_of_joints(layout):
    encoder = narrow("hyperformer", layout=layout, in_channels=layout.dimensions)
    assert encoder.blocks[0].attention.joint_matrix.shape[1:] == (layout.num_joints, layout.num_joints)


def test_hops_follow_the_bones():
    hops = hop_distances(NTU.bones, num_joints=25)
    assert hops.max() == 11  # from a hand tip to a foot: the 12 rows of the published table
    assert (hops == hops.T).all()
    assert all(hops[bone] == 1 for bone in NTU.bones)
    with pytest.raises(ValueError, match=r"joints \[2\] are not connected"):
        hop_distances([(0, 1)], num_joints=3)


@pytest.mark.slow
def test_published_weights_must_fit_exactly():
    weights = hyperformer_weights()
    del weights["l3.vit1.attn.rpe"]
    weights["l11.vit1.attn.rpe"] = torch.zeros(12, 216)
    model = ActionClassifier(Hyperformer(layout=NTU), num_classes=120)
    with pytest.raises(PublishedWeightsError, match="missing .*l3.vit1.attn.rpe.*left over .*l11.vit1.attn.rpe"):
        load_hyperformer(model, weights)
    with pytest.raises(PublishedWeightsError, match=r"head.weight: \(120, 216\), expected \(60, 216\)"):
        load_hyperformer(ActionClassifier(Hyperformer(layout=NTU), num_classes=60), hyperformer_weights())


def test_reads_published_files(tmp_path):
    weights = {"module.fc.weight": torch.ones(2, 3)}
    torch.save({"state_dict": weights}, tmp_path / "run.pt")
    assert torch.equal(read_published(tmp_path / "run.pt")["fc.weight"], torch.ones(2, 3))
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(PublishedWeightsError, match="holds list"):
        read_published(tmp_path / "list.pt")
