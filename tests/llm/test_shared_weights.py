import json
import os
import shutil
import signal
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from ski_lvlm.encoders.digest import weights_digest
from ski_lvlm.llm import shared_weights as module
from ski_lvlm.llm.loading import load_llm
from ski_lvlm.llm.shared_weights import SharedWeightsError, is_shareable, shared_weights, weight_files
from tests.cases.tiny_llm import tiny_llm

pytestmark = pytest.mark.slow

BF16 = torch.bfloat16


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Let this be one of three processes that train together."""
    monkeypatch.setenv("SKI_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("WORLD_SIZE", "3")
    monkeypatch.setattr(module, "_SMALL", 0)
    return tmp_path / "cache"


def saved_as(folder: Path, kind: str) -> Path:
    """Write a tiny language model as older ones are published."""
    model = AutoModelForCausalLM.from_pretrained(tiny_llm(folder), dtype=BF16 if kind == "bf16" else torch.float16)
    if kind in ("fp16", "bf16"):
        model.save_pretrained(folder)
        return folder
    (folder / "model.safetensors").unlink()
    weights = model.state_dict()
    shards = [weights]
    if kind == "bin in parts":
        names = [name for name in weights if name != "lm_head.weight"]
        shards = [{name: weights[name] for name in part} for part in (names[:5], [*names[5:], "lm_head.weight"])]
        files = {name: f"pytorch_model-{k}.bin" for k, shard in enumerate(shards) for name in shard}
        (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"metadata": {}, "weight_map": files}))
    for k, shard in enumerate(shards):
        torch.save(shard, folder / ("pytorch_model.bin" if len(shards) == 1 else f"pytorch_model-{k}.bin"))
    return folder


def mapped_files(model: PreTrainedModel) -> set[str]:
    """Return the files that the weights are mapped from, "" for memory of the process's own."""
    ranges = []
    for line in Path("/proc/self/maps").read_text().splitlines():
        addresses, *_, name = [*line.split(maxsplit=5), ""][:6]
        ranges.append((*(int(address, 16) for address in addresses.split("-")), name if "/" in name else ""))
    addresses = [p.data_ptr() for p in model.parameters()]
    return {name for address in addresses for start, end, name in ranges if start <= address < end}


@pytest.mark.parametrize("kind", ["fp16", "bin", "bin in parts"])
def test_processes_that_train_together_map_one_file(tmp_path, cache, kind, monkeypatch):
    folder = saved_as(tmp_path / "llm", kind)
    model = load_llm(str(folder), dtype=BF16).model
    (converted,) = cache.glob("bf16-llm-*/model.safetensors")
    assert mapped_files(model) == {str(converted)}
    assert not list(cache.glob("*.partial"))
    monkeypatch.setenv("SKI_CACHE", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("WORLD_SIZE", "1")
    alone = load_llm(str(folder), dtype=BF16).model
    assert weights_digest(model) == weights_digest(alone)
    expected = alone.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in model.state_dict().items())
    assert not (tmp_path / "elsewhere").exists(), "a process alone converts nothing"
    monkeypatch.setenv("SKI_CACHE", str(cache))
    assert shared_weights(str(folder), BF16) == str(converted.parent), "but uses what is there"


def test_what_can_be_mapped_as_it_is_is_left_alone(tmp_path, cache):
    folder = str(saved_as(tmp_path / "llm", "bf16"))
    assert is_shareable(weight_files(folder))
    assert shared_weights(folder, BF16) == folder
    assert shared_weights(str(saved_as(tmp_path / "old", "bin")), torch.float32) == str(tmp_path / "old")
    assert not cache.exists()


def test_weights_that_change_are_converted_again(tmp_path, cache):
    folder = saved_as(tmp_path / "llm", "bin")
    first = shared_weights(str(folder), BF16)
    assert shared_weights(str(folder), BF16) == first
    weights = torch.load(folder / "pytorch_model.bin", weights_only=True)
    torch.save({name: value * 2 for name, value in weights.items()}, folder / "pytorch_model.bin")
    assert shared_weights(str(folder), BF16) != first


def test_settings_of_generation_stay_even_those_that_cannot_be_saved(tmp_path, cache):
    folder = saved_as(tmp_path / "llm", "bin")
    settings = {"temperature": 0.9, "top_p": 0.6, "eos_token_id": 2, "pad_token_id": 0}  # Vicuna's, without do_sample
    (folder / "generation_config.json").write_text(json.dumps(settings))
    generation = load_llm(str(folder), dtype=BF16).model.generation_config
    assert {name: getattr(generation, name) for name in settings} == settings
    (folder / "generation_config.json").unlink()
    expected = AutoModelForCausalLM.from_pretrained(folder).generation_config.eos_token_id
    shutil.rmtree(cache)
    assert load_llm(str(folder), dtype=BF16).model.generation_config.eos_token_id == expected is not None


def test_first_generation_llava_is_converted_to_the_llama_it_is(tmp_path, cache):
    folder = saved_as(tmp_path / "llm", "bin")
    expected = weights_digest(load_llm(str(folder), dtype=torch.float32).model)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "llava"}))
    assert weights_digest(load_llm(str(folder), dtype=BF16).model) == expected


def test_a_kill_in_the_middle_loses_nothing(tmp_path, cache):
    folder = str(saved_as(tmp_path / "llm", "bin"))
    process = os.fork()
    if not process:
        write = PreTrainedModel.save_pretrained
        PreTrainedModel.save_pretrained = lambda *args: (write(*args), os.kill(os.getpid(), signal.SIGKILL))
        shared_weights(folder, BF16)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == -signal.SIGKILL
    (partial,) = cache.glob("*.partial")
    (partial / "model.safetensors").write_bytes(b"half")
    assert mapped_files(load_llm(folder, dtype=BF16).model) == {str(partial.with_suffix("") / "model.safetensors")}
    assert not partial.exists()


def test_without_room_it_is_said_what_to_do(tmp_path, cache, monkeypatch):
    folder = str(saved_as(tmp_path / "llm", "bin"))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(PreTrainedModel, "save_pretrained", full)
        with pytest.raises(SharedWeightsError, match="No space left on device.*let SKI_CACHE name a folder with room"):
            load_llm(folder, dtype=BF16)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1 << 20))
    with pytest.raises(SharedWeightsError, match=r"found 0.0 GB of free disk, expected 0.3 GB .*SKI_CACHE"):
        load_llm(folder, dtype=BF16)
    assert [file.suffix for file in cache.iterdir()] == [".lock"]


def test_a_folder_without_weights_is_named(tmp_path, cache):
    folder = saved_as(tmp_path / "llm", "bf16")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ValueError, match="no model.safetensors and no pytorch_model.bin"):
        load_llm(str(folder), dtype=BF16)
