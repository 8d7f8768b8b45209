import json
import math
import zlib

import numpy as np
import pytest
import torch
from einops import rearrange

from ski_lvlm.encoders.hyper_attention import hop_distances
from ski_lvlm.encoders.hyperformer import Hyperformer
from ski_lvlm.encoders.skeleton_encoder import ActionClassifier
from ski_lvlm.published.hyperformer_weights import load_hyperformer
from ski_lvlm.published.weights import PublishedWeightsError, read_published
from ski_lvlm.skeletons.layouts import LAYOUTS
from tests.cases.encoder_case import narrow
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
