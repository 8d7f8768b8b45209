import pytest
import torch

from benchmarks.shift_gcn import plain_feature
from ski_lvlm.encoders.shift_gcn import ShiftGCN
from ski_lvlm.encoders.temporal_shift import TemporalShift
from ski_lvlm.skeletons.layouts import LAYOUTS


@pytest.mark.parametrize("is_training", [True, False])
def test_the_plain_network_is_the_same_with_the_same_gradients(is_training):
    torch.manual_seed(0)
    encoder = ShiftGCN(layout=LAYOUTS["ntu-25"], widths=(6, 6, 10), strided=(2, 3)).train(is_training)
    offsets = {id(shift.offset) for shift in encoder.modules() if isinstance(shift, TemporalShift)}
    skeleton, gradients, features = torch.randn(2, 8, 2, 25, 3), [], []
    for feature in (plain_feature(encoder, skeleton), encoder(skeleton).feature):
        encoder.zero_grad()
        feature.square().sum().backward()
        features.append(feature)
        gradients.append([p.grad.clone() for p in encoder.parameters() if id(p) not in offsets])
    assert torch.allclose(*features, atol=1e-5)
    assert all(torch.allclose(plain, ours, atol=1e-4) for plain, ours in zip(*gradients, strict=True))
