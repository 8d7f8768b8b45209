import pytest
import torch

from ski_lvlm.lvlm.projectors.projector import Projector, Statistics
from ski_lvlm.lvlm.projectors.settings import ProjectorSettings


def test_sizes_of_equation_4():
    """Paper: F_v = 1024 and F_s = 216 to K = 4096, one matrix and one bias each."""
    video, skeleton = Projector(1024, 4096), Projector(216, 4096)
    assert sum(p.numel() for p in video.parameters()) == 1024 * 4096 + 4096
    assert skeleton(torch.zeros(256, 216)).shape == (256, 4096)


def test_an_mlp_is_an_option_and_an_unknown_kind_is_not():
    assert Projector(8, 4, settings=ProjectorSettings("mlp"))(torch.zeros(2, 8)).shape == (2, 4)
    with pytest.raises(ValueError, match="linear or mlp or resampler or temporal"):
        Projector(8, 4, settings=ProjectorSettings("mlp2"))


def test_standardised_tokens_start_as_large_as_the_llms_own_embeddings():
    torch.manual_seed(0)
    tokens = torch.randn(500, 64) * torch.logspace(-2, 2, 64) + 7
    projector = Projector(64, 32, standardised=True)
    projector.standardise(Statistics(tokens.mean(0), tokens.std(0)), embedding_size=0.1)
    assert projector(tokens).square().mean().sqrt().item() == pytest.approx(0.1, rel=0.1)
    assert {"mean", "std"} <= set(projector.state_dict())


def test_a_channel_that_never_changes_does_not_divide_by_zero():
    projector = Projector(2, 3, standardised=True)
    projector.standardise(Statistics(torch.ones(2), torch.zeros(2)), embedding_size=1.0)
    assert projector(torch.ones(4, 2)).isfinite().all()


def test_standardising_works_in_the_precision_an_engine_leaves():
    projector = Projector(4, 3, standardised=True).to(torch.bfloat16)
    projector.standardise(Statistics(torch.full((4,), 5.0), torch.ones(4)), embedding_size=1.0)
    assert projector(torch.randn(2, 4)).dtype == torch.bfloat16
