import math

import pytest
import torch

from ski_lvlm.dual_encoders.language import DualEncoder, clamp_temperatures, cosine_similarity, learnt_log_scale


class Temperature(DualEncoder):
    """A learnt temperature alone."""

    def __init__(self, start):
        super().__init__()
        self.log_scale = learnt_log_scale(start)


def test_similarity_is_the_cosine_whatever_the_lengths():
    z, z_t = torch.tensor([[3.0, 0.0], [1.0, 1.0]]), torch.tensor([[0.5, 0.0], [0.0, 7.0], [-1.0, 0.0]])
    half = 1 / math.sqrt(2)
    expected = torch.tensor([[1.0, 0.0, -1.0], [half, half, -half]])
    assert torch.allclose(cosine_similarity(z, z_t), expected, atol=1e-6)
    assert torch.allclose(cosine_similarity(10 * z, z_t / 3), expected, atol=1e-6)


def test_autocast_does_not_round_the_cosines():
    torch.manual_seed(0)
    z, z_t = torch.randn(4, 64), torch.randn(5, 64)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = cosine_similarity(z, z_t)
    assert rounded.dtype == torch.float32 and torch.equal(rounded, cosine_similarity(z, z_t))


def test_a_temperature_starts_within_its_bound_and_reading_changes_nothing():
    """SigLIP's is smaller."""
    model = Temperature(0.005)
    assert model.temperature.item() == pytest.approx(0.01)
    model.log_scale.data.add_(1.0)
    assert model.temperature.item() == pytest.approx(0.01 / math.e)


def test_the_temperature_keeps_its_gradient_at_its_bound():
    """Clamped in the forward pass it would never move again."""
    model = torch.nn.ModuleDict({"student": Temperature(0.07)})
    model["student"].log_scale.data.fill_(9.0)
    clamp_temperatures(model)
    tau = model["student"].temperature
    tau.backward()
    assert tau.item() == pytest.approx(0.01) and model["student"].log_scale.grad.item() != 0.0
