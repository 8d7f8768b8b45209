import json

import pytest
import torch
from safetensors.torch import save_file

from ski_lvlm.projector import Projector, Statistics, load_video_projector


def test_sizes_of_equation_4():
    """Paper: F_v = 1024 → K = 4096 and F_s = 216 → K = 4096, one matrix and one bias each."""
    video, skeleton = Projector(1024, 4096), Projector(216, 4096)
    assert sum(p.numel() for p in video.parameters()) == 1024 * 4096 + 4096
    assert skeleton(torch.zeros(256, 216)).shape == (256, 4096)


def test_an_mlp_is_an_option_and_nothing_else_is():
    assert Projector(8, 4, kind="mlp")(torch.zeros(2, 8)).shape == (2, 4)
    with pytest.raises(ValueError, match="linear or mlp"):
        Projector(8, 4, kind="resampler")


@pytest.mark.parametrize("ending", ["bin", "safetensors"])
def test_a_published_projector_is_copied_exactly(tmp_path, ending):
    weights = {f"model.mm_projector.{name}": torch.randn(shape) for name, shape in [("weight", (4, 8)), ("bias", (4,))]}
    file = tmp_path / f"mm_projector.{ending}"
    save_file(weights, file) if ending == "safetensors" else torch.save(weights, file)
    projector = Projector(8, 4)
    load_video_projector(str(file), projector)
    assert torch.equal(projector.layers.weight, weights["model.mm_projector.weight"])
    assert torch.equal(projector.layers.bias, weights["model.mm_projector.bias"])


def test_a_projector_inside_a_sharded_checkpoint_is_found(tmp_path):
    weights = {"model.mm_projector.weight": torch.randn(4, 8), "model.mm_projector.bias": torch.randn(4)}
    torch.save(weights | {"model.norm.weight": torch.ones(3)}, tmp_path / "pytorch_model-00002-of-00002.bin")
    weight_map = dict.fromkeys(weights, "pytorch_model-00002-of-00002.bin")
    weight_map["lm_head.weight"] = "pytorch_model-00001-of-00002.bin"
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": weight_map}))
    projector = Projector(8, 4)
    load_video_projector(str(tmp_path), projector)
    assert torch.equal(projector.layers.weight, weights["model.mm_projector.weight"])


def test_another_shape_is_refused_and_nothing_is_copied(tmp_path):
    torch.save({"mm_projector.weight": torch.randn(4, 9), "mm_projector.bias": torch.randn(4)}, tmp_path / "p.bin")
    projector = Projector(8, 4)
    before = projector.layers.weight.clone()
    with pytest.raises(ValueError, match=r"\(4, 9\).*expected.*\(4, 8\)"):
        load_video_projector(str(tmp_path / "p.bin"), projector)
    assert torch.equal(projector.layers.weight, before)


def test_code_in_a_projector_file_is_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    torch.save({"mm_projector.weight": Evil()}, tmp_path / "mm_projector.bin")
    with pytest.raises(Exception, match="(?i)weights.only"):
        load_video_projector(str(tmp_path / "mm_projector.bin"), Projector(8, 4))
    assert not (tmp_path / "ran").exists()


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
