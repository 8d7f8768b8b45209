"""The real command with adapters, four bits and a trained language model: processes, kill, resume, stages."""

import pytest
import torch
from safetensors.torch import load_file

from ski_lvlm.lvlm.model import SkiLvlm
from ski_lvlm.storage.files import write_json
from ski_lvlm.storage.json_files import read_json
from tests.cases.command_case import ROOT, kill_at
from tests.cases.lvlm_case import write_case
from tests.cases.lvlm_commands import halted, needs_compiler, train_here, train_in_ranks, training
from tests.cases.tiny_llm import tiny_llm

pytestmark = pytest.mark.slow

# SGD, since Adam makes steps of rounding where a gradient is zero.
PLAIN = {"lora_rank": 4, "adapter_learning_rate": 0.1, "optim": "sgd", "num_train_epochs": 4, "save_total_limit": 9}


def weights(folder):
    """Read all weights of a run, but not those of its checkpoints."""
    files = [folder / "model.safetensors", *sorted(folder.glob("adapter/*.safetensors"))]
    files += sorted(folder.glob("llm/*.safetensors"))
    return {f"{file.relative_to(folder)} {name}": tensor for file in files for name, tensor in load_file(file).items()}


def is_same(one, other):
    a, b = weights(one), weights(other)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def apart(one, other):
    a, b = weights(one), weights(other)
    assert a.keys() == b.keys() and all(tensor.dtype == torch.float32 for tensor in a.values())
    return max((a[name] - b[name]).abs().max().item() for name in a)


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    folder = tmp_path_factory.mktemp("adapter")
    return write_case(folder) | {"base_llm": str(tiny_llm(folder / "wide", width=64))}


@pytest.fixture(scope="module")
def plain(case, tmp_path_factory):
    out = tmp_path_factory.mktemp("plain")
    train_here(case, out, **PLAIN)
    return out


def test_the_adapter_lies_beside_the_projectors_and_has_its_own_rate(case, plain, tmp_path, capsys):
    assert {file.name for file in (plain / "adapter").iterdir()} == {"adapter_config.json", "adapter_model.safetensors"}
    assert all("projectors." in name or "lora_" in name for name in weights(plain))
    assert apart(plain, plain / "checkpoint-1") > 1e-2, "what follows says nothing where no step moves the weights"
    train_here(case, tmp_path, **{**PLAIN, "adapter_learning_rate": 0.0})
    assert "trains 9,600 of 120,128 parameters" in capsys.readouterr().out
    still, moved = weights(tmp_path), weights(plain)
    assert {name for name in still if not still[name].any()} == {name for name in moved if "lora_B" in name}


@needs_compiler
def test_two_processes_of_zero_2_go_on_as_one_would(case, plain, tmp_path):
    """They take over one process's checkpoint, so its adapter and its optimizer get there too."""
    result = train_in_ranks(case, halted(plain, 1, tmp_path), deepspeed=ROOT / "zero2.json", **PLAIN)
    assert result.returncode == 0, result.stderr[-3000:]
    assert "resuming from" in result.stdout
    assert apart(plain, tmp_path) < 1e-5


def test_killed_it_ends_in_the_same_adapter(case, tmp_path):
    """Adam, DoRA and dropout: all that a checkpoint has to bring back."""
    settings = {"lora_rank": 4, "dora": True, "lora_dropout": 0.3, "num_train_epochs": 3}
    train_here(case, tmp_path / "whole", **settings)
    out = tmp_path / "killed"
    kill_at(training(case, out, **settings), "trainer_state.json", 2, folder=tmp_path)
    train_here(case, out, **settings)
    assert is_same(tmp_path / "whole", out)
    assert not is_same(out, out / "checkpoint-2")
    with pytest.raises(ValueError, match=r"begun with other settings \(lora_rank 4, now 2\)"):
        train_here(case, out, **{**settings, "lora_rank": 2})


@pytest.mark.parametrize(
    "settings", [{"lora_rank": 4, "load_in_4bit": True}, {"train": "llm"}], ids=["4-bit", "language-model"]
)
def test_other_ways_train_and_resume(case, plain, tmp_path, settings):
    settings = settings | {"num_train_epochs": 3, "save_total_limit": 9}
    train_here(case, tmp_path / "whole", **settings)
    train_here(case, halted(tmp_path / "whole", 1, tmp_path / "again"), **settings)
    assert is_same(tmp_path / "whole", tmp_path / "again")
    assert apart(tmp_path / "whole", tmp_path / "whole" / "checkpoint-1") > 1e-3
    loaded = SkiLvlm.from_pretrained(tmp_path / "again")
    assert loaded.config.train == settings.get("train", "projectors")


@pytest.mark.parametrize("is_reentrant", ["true", "false"])
def test_activation_checkpointing_changes_no_weight(case, tmp_path, plain, is_reentrant):
    """With frozen projectors no input of the language model has a gradient, which reentrant checkpoints ask for."""
    settings = {"init_from": plain, "freeze": "video,skeleton", "num_train_epochs": 2, "lora_rank": 4, "optim": "sgd"}
    train_here(case, tmp_path / "plain", **settings)
    kwargs = f'{{"use_reentrant": {is_reentrant}}}'
    checkpointing = {"gradient_checkpointing": True, "gradient_checkpointing_kwargs": kwargs}
    train_here(case, tmp_path / "less", **settings, **checkpointing)
    assert apart(tmp_path / "plain", tmp_path / "less") < 1e-6
    assert apart(plain, tmp_path / "less") > 1e-6


def test_stages_hand_over_and_frozen_weights_stay_to_the_last_bit(case, tmp_path):
    """Video alone, then skeletons and an adapter."""
    train_here(case, tmp_path / "video", modalities="video", num_train_epochs=2)
    second = {"init_from": tmp_path / "video", "freeze": "video", "lora_rank": 4, "num_train_epochs": 2}
    train_here(case, tmp_path / "both", bf16=True, **second)
    video, both = weights(tmp_path / "video"), weights(tmp_path / "both")
    assert {tensor.dtype for tensor in both.values()} == {torch.float32}
    assert all(torch.equal(tensor, both[name]) for name, tensor in video.items())
    endings = {name.split(" ")[1].split(".", 1)[1] for name in both.keys() - video.keys()}
    assert "skeleton.layers.weight" in endings and any(".lora_B." in name for name in endings)
    digest = read_json(tmp_path / "both" / "recipe.json")["init_digest"]
    assert digest and read_json(tmp_path / "video" / "recipe.json")["init_digest"] is None
    (tmp_path / "video").rename(tmp_path / "moved")
    train_here(case, tmp_path / "both", bf16=True, **second | {"init_from": tmp_path / "moved"})
    train_here(case, tmp_path / "other", modalities="video", num_train_epochs=3)
    with pytest.raises(ValueError, match=f"init_digest '{digest}', now"):
        train_here(case, tmp_path / "both", **second | {"init_from": tmp_path / "other"})


def test_runs_from_before_there_were_adapters_go_on(case, tmp_path):
    train_here(case, tmp_path, num_train_epochs=1)
    recipe = read_json(tmp_path / "recipe.json")
    new = {"lora_rank", "dora", "train", "init_from", "freeze", "init_digest"}
    write_json(tmp_path / "recipe.json", {n: value for n, value in recipe.items() if n not in new})
    train_here(case, tmp_path, num_train_epochs=1)
    with pytest.raises(ValueError, match=r"lora_rank 0, now 4"):
        train_here(case, tmp_path, num_train_epochs=1, lora_rank=4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dora": True}, "--dora without an adapter does nothing"),
        ({"lora_rank": 4, "lora_target": "query"}, "--lora_target: found"),
        ({"init_from": "/nowhere"}, "--init_from /nowhere: no model.safetensors"),
        ({"freeze": "video"}, "have not been trained; give --init_from"),
        (
            {"lora_rank": 4, "learning_rate": 0, "adapter_learning_rate": 0.1},
            "--learning_rate 0 beside --adapter_learning_rate",
        ),
    ],
)
def test_a_wrong_flag_is_named(case, tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        train_here(case, tmp_path, **change)
