import math

import pytest
import torch
from einops import reduce

from ski_lvlm.encoders.clip_maps import mean_map, scrambled_map
from ski_lvlm.encoders.hyperformer import Hyperformer
from ski_lvlm.encoders.shift_gcn import ShiftGCN
from ski_lvlm.skeletons.layouts import LAYOUTS
from tests.cases.reference_weights import reference, relative
from tests.cases.stand_in_case import published_shift_gcn, skeleton_input

NTU = LAYOUTS["ntu-25"]


def encoders():
    torch.manual_seed(0)
    return [
        Hyperformer(layout=NTU, num_heads=2, head_dim=12, depth=3, strided=(2, 3)).eval(),
        ShiftGCN(layout=NTU, widths=(8, 8, 12), strided=(2, 3)).eval(),
    ]


def clips(batch=2, frames=16):
    return torch.randn(batch, frames, 2, 25, 3, generator=torch.Generator().manual_seed(1))


@pytest.mark.slow
@torch.no_grad()
def test_maps_of_the_published_backbone():
    (arrays, _), encoder = reference("star"), published_shift_gcn(prefix="pretraining_model.").encoder
    skeleton = skeleton_input(clips=4, frames=16)
    differences = {
        "backbone_pooled": relative(encoder(skeleton).feature, arrays["backbone_pooled"]),
        "backbone_map_intended": relative(mean_map(encoder, skeleton)[:1], arrays["backbone_map_intended"]),
        "backbone_map_published": relative(scrambled_map(encoder, skeleton)[:1], arrays["backbone_map_published"]),
    }
    assert max(differences.values()) < 1e-5, differences


@pytest.mark.parametrize("encoder", encoders(), ids=lambda encoder: encoder.network)
@torch.no_grad()
def test_its_mean_over_joints_are_the_tokens(encoder):
    skeleton = clips()
    skeleton[0, :, 1] = math.nan
    skeleton[1, 4:, 0] = math.nan
    tokens = reduce(mean_map(encoder, skeleton), "b f u j -> b u f", "mean")
    assert torch.allclose(tokens, encoder(skeleton).tokens, atol=1e-5)


@pytest.mark.parametrize("encoder", encoders(), ids=lambda encoder: encoder.network)
@torch.no_grad()
def test_an_absent_joint_is_nan_where_nobody_has_it_and_else_the_other_person_s(encoder):
    skeleton = clips(1)
    skeleton[0, 4:8, 0, 7] = math.nan
    skeleton[0, 8:12, :, 7] = math.nan
    result = mean_map(encoder, skeleton)
    absent = result.isnan()
    assert absent[:, :, 2, 7].all() and absent.sum() == encoder.width
    alone = skeleton.clone()
    alone[:, :, 0] = math.nan
    second = mean_map(encoder, alone)
    assert torch.allclose(result[0, :, 1, 7], second[0, :, 1, 7], atol=1e-5)
    assert not torch.allclose(result[0, :, 1, 8], second[0, :, 1, 8], atol=1e-3)


@torch.no_grad()
def test_the_published_map_takes_an_absent_person_as_zeros_and_no_absent_joint():
    encoder, skeleton = encoders()[1], clips()
    skeleton[0, :, 1] = 0.0
    zeros = scrambled_map(encoder, skeleton)
    skeleton[0, :, 1] = math.nan
    assert torch.equal(scrambled_map(encoder, skeleton), zeros)
    skeleton[1, 3, 0, 7] = math.nan
    with pytest.raises(ValueError, match="some joints are absent.*leave out --published scrambled_map"):
        scrambled_map(encoder, skeleton)


@pytest.mark.parametrize("map_of", [mean_map, scrambled_map])
def test_skeletons_that_are_none_are_told(map_of):
    encoder = encoders()[1]
    with pytest.raises(ValueError, match="show nobody"):
        map_of(encoder, torch.full((1, 8, 2, 25, 3), math.nan))
    with pytest.raises(ValueError, match="17 joints"):
        map_of(encoder, torch.randn(1, 8, 2, 17, 3))
    with pytest.raises(ValueError, match="2 frames, this encoder needs 4"):
        map_of(encoder, clips(1, 2))
