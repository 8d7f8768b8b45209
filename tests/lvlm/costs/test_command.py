"""`train_ski_lvlm.py --estimate`: no weights, no features, no GPU, no hub."""

import json
import sys

import pytest

import train_ski_lvlm
from ski_lvlm.lvlm.costs.command import asks_estimate, run_estimate
from tests.cases.command_case import ROOT, run
from tests.cases.lvlm_case import write_case
from tests.cases.tiny_llm import tiny_llm

pytestmark = pytest.mark.slow


@pytest.fixture
def config(tmp_path):
    """Write a folder with the configuration of a tiny language model and nothing else."""
    tiny_llm(tmp_path / "llm")
    for file in (tmp_path / "llm").iterdir():
        if file.name != "config.json":
            file.unlink()
    return str(tmp_path / "llm")


def printed(capsys, *flags):
    run_estimate(train_ski_lvlm.flag_parser(), [*flags, "--estimate"])
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--estimate"], True),
        (["--estimate", "True"], True),
        (["--estimate=true", "--gpus", "8"], True),
        (["--estimate", "False"], False),
        (["--estimate_json", "True"], False),
        ([], False),
    ],
)
def test_estimates_are_asked_for_as_every_flag_is_set(flags, expected):
    assert asks_estimate(flags) == expected


def test_an_estimate_leaves_no_file_unless_asked(config, tmp_path, capsys):
    out = tmp_path / "out"
    text = printed(capsys, "--base_llm", config, "--output_dir", str(out))
    assert "Largest --per_device_train_batch_size" in text and "RTX A6000, 48 GB" in text
    assert not out.exists()
    printed(capsys, "--base_llm", config, "--output_dir", str(out), "--estimate-json", "True")
    assert [file.name for file in out.iterdir()] == ["estimate.json"]


def test_an_estimate_is_of_the_run_that_the_flags_describe(config, tmp_path, capsys):
    case, out = write_case(tmp_path / "case"), tmp_path / "out"
    flags = ["--output_dir", str(out), "--estimate_json", "True", "--base_llm", config, "--gpus", "8"]
    flags += ["--instructions", case["instructions"], "--features", case["features"], "--num_train_epochs", "5"]
    flags += ["--deepspeed", str(ROOT / "scripts" / "zero3.json"), "--sample_tokens", "6", "4", "20", "9"]
    text = printed(capsys, *flags)
    assert "Hours on 8 GPUs, ZeRO-3" in text
    estimate = json.loads((out / "estimate.json").read_text())
    assert (estimate["samples"], estimate["epochs"], estimate["tokens_a_sample"], estimate["gpus"]) == (4, 5.0, 30, 8)
    assert estimate["trained_parameters"] == 32 * (12 + 8 + 2), "the widths are those of the features"
    hours = estimate["hours"]["H200"]
    assert hours["60%"] == pytest.approx(4 * 5 * estimate["tflop_a_sample"] / (0.6 * 989 * 8) / 3600)


def test_other_processes_of_a_launcher_stay_silent(config, capsys, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    assert not printed(capsys, "--base_llm", config, "--local_rank=1")


def test_a_language_model_without_configuration_is_told_with_the_remedy(config, tmp_path, capsys):
    with pytest.raises(ValueError, match="no/such-llm.*a folder with its config.json, which is enough"):
        printed(capsys, "--base_llm", "no/such-llm")
    (tmp_path / "zero0.json").write_text("{}")
    with pytest.raises(ValueError, match="expected a zero_optimization of stage 1, 2 or 3"):
        printed(capsys, "--base_llm", config, "--deepspeed", str(tmp_path / "zero0.json"))


def test_what_cannot_be_estimated_is_refused(config, capsys):
    with pytest.raises(ValueError, match="--estimate beside --base_vlm: not built"):
        printed(capsys, "--base_llm", config, "--base_vlm", "v")
    with pytest.raises(ValueError, match="--lora_alpha"):
        printed(capsys, "--base_llm", config, "--lora_alpha", "8")


def test_the_command_alone_says_what_the_paper_s_training_costs(tmp_path):
    """Without a hub the default language model's sizes are known."""
    process = run([sys.executable, str(ROOT / "train_ski_lvlm.py"), "--estimate", "--gpus", "8"], cwd=tmp_path)
    assert process.returncode == 0, process.stderr[-3000:]
    assert "taking the sizes of Llama 7B" in process.stderr and "no GPU found" not in process.stderr
    assert "6,743,502,848 weights, 5,087,232 trained. 762 tokens" in process.stdout
    assert not list(tmp_path.iterdir())
