"""ZeRO-3 leaves each process a part of a weight: what reads weights must bring them together."""

import json
import sys

import pytest
import torch
from safetensors.torch import save_file
from transformers.integrations import HfDeepSpeedConfig, is_deepspeed_zero3_enabled

from ski_lvlm.lvlm.model import SkiLvlm
from ski_lvlm.parallel.partitioned import gathered, whole_models
from tests.cases.command_case import ROOT, run
from tests.cases.lvlm_case import TOKENS, write_case
from tests.cases.lvlm_commands import losses, needs_compiler, projectors, train_here, train_in_ranks

ZERO3 = ROOT / "scripts" / "zero3.json"


@pytest.mark.slow
@needs_compiler
def test_standardised_tokens_and_a_published_projector_train_as_in_one_process(tmp_path):
    """Statistics, the size of the embeddings, weights from a file, the digest, saving and loading."""
    case = write_case(tmp_path)
    published = {"mm_projector.weight": torch.full((32, TOKENS["video"][1]), 0.01), "mm_projector.bias": torch.ones(32)}
    save_file(published, tmp_path / "mm_projector.safetensors")
    settings = {"standardise": True, "num_train_epochs": 2, "video_projector": tmp_path / "mm_projector.safetensors"}
    train_here(case, tmp_path / "plain", **settings)
    process = train_in_ranks(case, tmp_path / "zero3", deepspeed=ZERO3, **settings)
    assert process.returncode == 0, process.stderr[-3000:]
    plain, zero3 = losses(tmp_path / "plain"), losses(tmp_path / "zero3")
    assert max(abs(plain[step] - zero3[step]) for step in plain) < 1e-4
    expected, projected = projectors(tmp_path / "plain"), projectors(tmp_path / "zero3")
    assert expected.keys() == projected.keys() and {"projectors.video.mean"} < expected.keys()
    assert max((expected[name] - projected[name]).abs().max() for name in expected) < 1e-4
    loaded = [SkiLvlm.from_pretrained(tmp_path / name) for name in ("plain", "zero3")]
    assert loaded[0].config.llm_digest == loaded[1].config.llm_digest


def test_a_model_that_one_process_prepares_for_all_is_whole():
    config = HfDeepSpeedConfig(str(ZERO3))
    assert is_deepspeed_zero3_enabled()
    with pytest.raises(ValueError, match="damaged"), whole_models():
        assert not is_deepspeed_zero3_enabled()
        raise ValueError("damaged")
    assert is_deepspeed_zero3_enabled(), "it is on again, whatever happens"
    del config


def test_a_weight_that_nobody_shares_out_is_itself():
    weight = torch.nn.Parameter(torch.ones(2))
    with gathered(weight) as whole:
        assert whole is weight


@pytest.mark.slow
def test_an_engine_that_shares_nothing_out_is_refused_at_once(tmp_path):
    config = json.loads((ROOT / "zero2.json").read_text())
    config["zero_optimization"]["stage"] = 0
    (tmp_path / "zero0.json").write_text(json.dumps(config))
    process = run([sys.executable, str(ROOT / "train_ski_lvlm.py"), "--deepspeed", str(tmp_path / "zero0.json")])
    assert process.returncode == 1 and "Traceback" not in process.stderr
    assert "expected a zero_optimization of stage 1, 2 or 3; name zero2.json" in process.stderr
