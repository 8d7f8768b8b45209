"""The drift of a projector from its start, by numbers that follow from how it was moved."""

import json

import numpy as np
import pytest
import torch

from scripts.projector_drift import main
from ski_lvlm.lvlm.drift import OutputDrift, open_projector, output_drift, weight_drift
from ski_lvlm.lvlm.features import FeatureError, FeatureFolder
from ski_lvlm.lvlm.model import SkiLvlm
from ski_lvlm.lvlm.projectors.settings import ProjectorSettings
from tests.cases.lvlm_case import CLIPS, TOKENS, write_features
from tests.cases.tiny_llm import tiny_llm

pytestmark = pytest.mark.slow

WIDTHS = {name: width for name, (_, width) in TOKENS.items()}


@pytest.fixture(scope="module")
def llm(tmp_path_factory):
    return str(tiny_llm(tmp_path_factory.mktemp("llm")))


def saved(llm, folder, scale, **settings):
    """Save a model whose video projector is that of seed 0 times `scale`."""
    torch.manual_seed(0)
    model = SkiLvlm.build(base_llm=llm, token_widths=WIDTHS, **settings)
    with torch.no_grad():
        for parameter in model.projectors["video"].parameters():
            parameter.mul_(scale)
    model.save_pretrained(folder)
    return folder


def drift(tmp_path, start, model, **flags):
    out = tmp_path / "new" / "drift.json"
    words = [word for name, value in flags.items() for word in (f"--{name}", str(value))]
    assert main(["--start", str(start), "--model", str(model), "--out", str(out), *words]) == 0
    return json.loads(out.read_text())


@pytest.mark.parametrize(("scale", "distance", "cosine"), [(1.0, 0.0, 0.0), (2.0, 1.0, 0.0), (-1.0, 2.0, 2.0)])
def test_a_scaled_projector_has_moved_by_what_it_was_scaled(llm, tmp_path, scale, distance, cosine):
    start, model = saved(llm, tmp_path / "start", 1.0), saved(llm, tmp_path / "model", scale)
    result = drift(tmp_path, start, model, features=write_features(tmp_path / "features"))
    assert set(result["weights"]) == {"all", "layers.weight", "layers.bias"}
    assert list(result["weights"].values()) == pytest.approx([distance] * 3, abs=1e-6)
    outputs = result["outputs"]
    assert outputs["clips"] == len(CLIPS) and result["modality"] == "video"
    assert outputs["relative_l2"]["mean"] == pytest.approx(distance, abs=1e-6)
    assert outputs["cosine_distance"]["mean"] == pytest.approx(cosine, abs=1e-6)
    assert outputs["relative_l2"]["interval"] == pytest.approx([distance] * 2, abs=1e-6)
    assert result["start"]["digest"] and result["model"]["folder"] == str(model)
    assert drift(tmp_path, start, model, modality="skeleton")["weights"]["all"] == 0


def test_measures_are_those_of_each_token_alone(llm, tmp_path):
    saved(llm, tmp_path, 1.0)
    start, model = (open_projector(tmp_path, "video").projector for _ in range(2))
    with torch.no_grad():
        model.layers.bias.add_(1.0)
    tokens = torch.randn(5, WIDTHS["video"], generator=torch.Generator().manual_seed(0))
    first, second = (projector(tokens).detach().double().numpy() for projector in (start, model))
    cosines = [a @ b / np.linalg.norm(a) / np.linalg.norm(b) for a, b in zip(first, second, strict=True)]
    distances = [np.linalg.norm(b - a) / np.linalg.norm(a) for a, b in zip(first, second, strict=True)]
    expected = OutputDrift(float(np.mean([1 - c for c in cosines])), float(np.mean(distances)))
    assert output_drift(start, model, tokens) == pytest.approx(expected, rel=1e-6)
    drifts = weight_drift(start, model)
    bias, weight = (float(getattr(start.layers, name).detach().norm()) for name in ("bias", "weight"))
    size = start.layers.bias.numel() ** 0.5
    assert drifts["layers.weight"] == 0 and drifts["layers.bias"] == pytest.approx(size / bias, rel=1e-5)
    assert drifts["all"] == pytest.approx(size / (bias**2 + weight**2) ** 0.5, rel=1e-5)


def test_a_weight_that_starts_at_zero_has_no_ratio(llm, tmp_path):
    saved(llm, tmp_path, 1.0)
    start, model = (open_projector(tmp_path, "video").projector for _ in range(2))
    torch.nn.init.zeros_(start.layers.bias)
    assert weight_drift(start, model)["layers.bias"] is None


def test_models_that_cannot_be_compared_are_refused(llm, tmp_path):
    start = saved(llm, tmp_path / "start", 1.0)
    other = saved(llm, tmp_path / "mlp", 1.0, projectors={name: ProjectorSettings("mlp") for name in WIDTHS})
    with pytest.raises(ValueError, match="found two kinds of projectors, .*linear.*mlp.*--init_from"):
        drift(tmp_path, start, other)
    stranger = saved(str(tiny_llm(tmp_path / "llm", seed=3)), tmp_path / "stranger", 1.0)
    with pytest.raises(ValueError, match="found two kinds of projectors"):
        drift(tmp_path, start, stranger)
    with pytest.raises(ValueError, match="nowhere: no model.safetensors"):
        drift(tmp_path, tmp_path / "nowhere", start)
    with pytest.raises(ValueError, match="expected one of sound"):
        open_projector(start, "sound")


def test_a_folder_lists_its_clips_evenly(tmp_path):
    names = [f"clip{k}" for k in range(8)]
    features = FeatureFolder(write_features(tmp_path / "apart", names))
    assert features.clips("video") == features.clips("skeleton") == names
    assert (
        features.clips("video", limit=3) == ["clip0", "clip2", "clip5"] and len(features.clips("video", limit=99)) == 8
    )
    together = tmp_path / "together"
    together.mkdir()
    for name in ("a_pose", "a", "b"):
        np.save(together / f"{name}.npy", np.ones((2, 3), np.float32))
    assert FeatureFolder(together).clips("video") == ["a", "b"]
    assert FeatureFolder(together).clips("skeleton") == ["a"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(FeatureError, match="no video features"):
        FeatureFolder(tmp_path / "empty").clips("video")
