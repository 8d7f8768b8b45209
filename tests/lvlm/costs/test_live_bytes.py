import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from ski_lvlm.lvlm.costs.live_bytes import LiveBytes


def test_a_tensor_counts_while_it_lives_and_its_views_do_not():
    with LiveBytes(nn.Identity()) as live:
        x = torch.ones(100)
        y = x.view(10, 10)[:5]
        assert live.now == 400
        del x
        assert live.now == 400, "a view holds the whole"
        del y
        assert live.now == 0
        torch.ones(10)
    assert live.peak == 400


def test_weights_and_gradients_that_are_there_before_do_not_count():
    linear = nn.Linear(10, 10, bias=False)
    linear.weight.grad = torch.zeros(10, 10)
    with LiveBytes(linear) as live:
        linear.weight.detach()
        linear.weight.grad.add_(1)
    assert live.peak == 0


def test_fake_tensors_count_as_real_ones():
    def peak() -> int:
        mlp = nn.Sequential(nn.Linear(8, 64), nn.SiLU(), nn.Linear(64, 8), nn.LayerNorm(8))
        with LiveBytes(mlp) as live:
            mlp(torch.ones(3, 8, requires_grad=True)).sum().backward()
        return live.peak

    with FakeTensorMode():
        fake = peak()
    assert fake == peak() > 0
