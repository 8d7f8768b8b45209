import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.checkpoint import checkpoint

from ski_lvlm.training.kept_bytes import KeptBytes


def test_a_storage_counts_once_and_weights_do_not_count():
    linear, x = nn.Linear(4, 4), torch.ones(2, 4, requires_grad=True)
    with KeptBytes(linear) as counter:
        y = linear(x)
        (y * y.view(4, 2).view(2, 4)).sum()
    assert counter.bytes == x.nbytes + y.nbytes


def test_a_view_counts_as_the_whole_storage_that_it_keeps():
    x = torch.ones(100, requires_grad=True)
    with KeptBytes(nn.Identity()) as counter:
        x[:1].exp().sum()
        x[:1].square().sum()
    assert counter.bytes == 100 * 4 + 4


def test_frozen_layers_keep_no_input():
    linear = nn.Linear(4, 4).requires_grad_(False)
    with KeptBytes(linear) as counter:
        linear(torch.ones(2, 4, requires_grad=True))
    assert counter.bytes == 0


def test_checkpointing_keeps_the_input_alone():
    x = torch.ones(2, 4, requires_grad=True)
    with KeptBytes(nn.Identity()) as counter:
        checkpoint(lambda x: x.exp().sin().exp(), x, use_reentrant=False).sum()
    assert counter.bytes == x.nbytes


def test_fake_tensors_count_as_real_ones():
    def kept_bytes() -> int:
        mlp = nn.Sequential(nn.Linear(8, 16), nn.SiLU(), nn.Linear(16, 8), nn.LayerNorm(8))
        with KeptBytes(mlp) as counter:
            mlp(torch.ones(3, 8, requires_grad=True))
        return counter.bytes

    with FakeTensorMode():
        fake = kept_bytes()
    assert fake == kept_bytes() > 0
