import torch
from torch import nn

from ski_lvlm.digest import weights_digest


def test_precision_does_not_change_the_digest_but_training_does():
    model = nn.Linear(64, 64)
    whole = weights_digest(model)
    assert weights_digest(model.to(torch.bfloat16)) == whole
    with torch.no_grad():
        model.weight[0, 0] += 1
    assert weights_digest(model) != whole


def test_every_tensor_counts():
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    before = weights_digest(model)
    model[1].running_mean += 1
    assert weights_digest(model) != before
