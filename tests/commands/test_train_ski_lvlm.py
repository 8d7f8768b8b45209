"""The real command in real processes: launchers, kill and resume, what is left on disk."""

import json
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from huggingface_hub import ModelCard
from safetensors.torch import load_file

import train_ski_lvlm
from ski_lvlm.datasets.instruction_file import read_instructions
from ski_lvlm.encoders.vision_tower import CLIP_L14
from ski_lvlm.lvlm.collator import InstructCollator
from ski_lvlm.lvlm.features import FeatureFolder
from ski_lvlm.lvlm.flops import BatchWork
from ski_lvlm.lvlm.model import SkiLvlm
from ski_lvlm.lvlm.projectors.projector import PROJECTORS
from ski_lvlm.lvlm.samples import InstructDataset, SampleSettings
from ski_lvlm.recipe import SkiLvlmRecipe
from ski_lvlm.storage.files import write_json
from tests.cases.command_case import (
    BIN,
    ENVIRONMENT,
    ROOT,
    deepspeed,
    free_port,
    kill_at,
    run,
    run_together,
    torchrun,
)
from tests.cases.lvlm_case import CLIPS, TOKENS, write_case, write_features, write_instructions
from tests.cases.lvlm_commands import losses, needs_compiler, projectors, same, train_here, train_in_ranks, training

pytestmark = pytest.mark.slow


def train(case, output_dir, **settings):
    return run(training(case, output_dir, **settings))


def read_result(output_dir):
    return json.loads((output_dir / "result.json").read_text())


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Train six steps without interruption."""
    folder = tmp_path_factory.mktemp("lvlm")
    case = write_case(folder)
    result = train(case, folder / "out")
    assert result.returncode == 0, result.stderr[-3000:]
    return case, folder / "out", result


def test_the_run_says_what_it_trains(trained):
    _, _, result = trained
    assert "no GPU found" in result.stderr
    assert "⟦The person does action 001.<|im_end|>" in result.stdout
    assert "⟨video × 6⟩\n⟨skeleton × 4⟩" in result.stdout


def test_the_run_leaves_weights_recipe_versions_and_metrics(trained):
    case, out, _ = trained
    names = {file.name for file in out.iterdir()}
    assert {"model.safetensors", "config.json", "recipe.json", "run.json", "metrics.jsonl", "sample.txt"} <= names
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    step = next(line for line in lines if line["step"] == 3)
    tokens = {f"{kind}_tokens_per_second" for kind in ("trained", "real", "padded")}
    speed = {"samples_per_second", "tflops_per_second", "useful_share", "data_wait_share", "peak_memory_gb"} | tokens
    assert {"loss", "learning_rate", "grad_norm"} | speed <= step.keys()
    assert "mfu" not in step, "a CPU has no peak in the table"
    assert 0 <= step["data_wait_share"] < 1 and step["useful_share"] == 1
    assert speed <= read_result(out).keys()
    card, records = ModelCard.load(out / "README.md"), json.loads(Path(case["instructions"]).read_text())
    assert card.data.pipeline_tag == "video-text-to-text" and f"| conversations | {len(records)} |" in card.text


def test_a_run_counts_the_operations_of_each_of_its_samples_once(trained):
    case, out, _ = trained
    model = SkiLvlm.from_pretrained(out)
    conversations, features = read_instructions(Path(case["instructions"])), FeatureFolder(case["features"])
    data = InstructDataset(conversations, features, model.tokenizer, SampleSettings())
    samples = [data[k] for k in range(len(data))]
    assert len({len(sample.ids) for sample in samples}) == 1, "no batch is padded"
    work, collate = BatchWork(model.llm, model.projectors), InstructCollator(0, model.config.token_widths)
    expected = 6 * float(work(collate(samples))["flops"])
    assert read_result(out)["total_flos"] == pytest.approx(expected)


def test_checkpoints_hold_no_frozen_weights(trained):
    _, out, _ = trained
    checkpoint = out / "checkpoint-6"
    assert all("llm" not in name for name in load_file(checkpoint / "model.safetensors"))
    assert sum(file.stat().st_size for file in checkpoint.rglob("*") if file.is_file()) < 200_000
    assert not (out / ".partial").exists() or not any((out / ".partial").iterdir())


def test_killed_at_any_step_the_same_command_ends_in_the_same_projectors(trained, tmp_path):
    """SIGKILL from outside, before, amid and after the writing of a checkpoint, then one run to the end."""
    case, undisturbed, _ = trained
    out = tmp_path / "out"
    command = training(case, out)
    for file, times, newest in (("checkpoint-*", 1, 0), ("trainer_state.json", 2, 1), ("metrics.jsonl", 3, 3)):
        kill_at(command, file, times, folder=tmp_path)
        assert max((int(folder.name.split("-")[1]) for folder in out.glob("checkpoint-*")), default=0) == newest
    result = train(case, out)
    assert result.returncode == 0, result.stderr[-3000:]
    assert "resuming from" in result.stdout
    assert same(projectors(out), projectors(undisturbed))
    assert (out / "README.md").read_text() == (undisturbed / "README.md").read_text()
    assert read_result(out)["total_flos"] == pytest.approx(read_result(undisturbed)["total_flos"])


def test_the_number_of_accumulation_steps_does_not_change_the_run(trained, tmp_path):
    case, undisturbed, _ = trained
    result = train(case, tmp_path / "out", per_device_train_batch_size=4)
    assert result.returncode == 0, result.stderr[-3000:]
    actual, expected = losses(tmp_path / "out"), losses(undisturbed)
    assert actual.keys() == expected.keys()
    assert max(abs(actual[step] - expected[step]) for step in actual) < 1e-4


@pytest.fixture(scope="module")
def two_processes(trained, tmp_path_factory):
    """Train the same in two processes."""
    case, _, _ = trained
    out = tmp_path_factory.mktemp("two") / "out"
    result = train(case, out, launcher=torchrun(2))
    assert result.returncode == 0, result.stderr[-3000:]
    return out


def test_torchrun_with_two_processes_equals_one(trained, two_processes):
    _, undisturbed, _ = trained
    actual, expected = projectors(two_processes), projectors(undisturbed)
    assert max((actual[name] - expected[name]).abs().max().item() for name in actual) < 1e-4
    assert read_result(two_processes)["total_flos"] == pytest.approx(read_result(undisturbed)["total_flos"])


def test_two_machines_of_one_process_equal_one_of_two(trained, two_processes, tmp_path):
    """The line of docs/training.md, started twice on this machine."""
    case, _, _ = trained
    document = (ROOT / "docs" / "training.md").read_text()
    line = next(line for line in document.splitlines() if line.startswith("torchrun --nnodes 2 "))
    words = line.partition(" train_ski_lvlm.py")[0].replace("NAME:29500", f"127.0.0.1:{free_port()}").split()
    words[words.index("--nproc_per_node") + 1] = "1"
    command = training(case, tmp_path / "out", launcher=(str(BIN / "torchrun"), *words[1:]))
    results = run_together([command, command])
    assert [result.returncode for result in results] == [0, 0], [result.stderr[-3000:] for result in results]
    assert sum("conversations; the first" in result.stdout for result in results) == 1, "one process writes"
    assert same(projectors(tmp_path / "out"), projectors(two_processes))


@pytest.fixture(scope="module")
def mixed(trained, tmp_path_factory):
    """Train plainly where two of four clips have no skeleton, so that ranks differ in the modalities of a step."""
    case, _, _ = trained
    folder = tmp_path_factory.mktemp("mixed")
    case = case | {"instructions": str(write_instructions(folder / "mixed.json", video_only=CLIPS[:2]))}
    result = train(case, folder / "out")
    assert result.returncode == 0, result.stderr[-3000:]
    return case, losses(folder / "out")


@pytest.mark.parametrize("config", ["zero2.json", "scripts/zero3.json"])
@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=needs_compiler)])
def test_deepspeed_equals_the_plain_run_though_batches_lack_a_modality(mixed, tmp_path, config, processes):
    case, expected = mixed
    settings = {"deepspeed": ROOT / config, "per_device_train_batch_size": 1}
    if (config, processes) == ("zero2.json", 2):  # the launcher itself
        result = train(case, tmp_path / "out", launcher=deepspeed(2), **settings)
    else:
        result = train_in_ranks(case, tmp_path / "out", processes=processes, **settings)
    assert result.returncode == 0, result.stderr[-3000:]
    measured = losses(tmp_path / "out")
    assert measured.keys() == expected.keys()
    assert max(abs(measured[step] - expected[step]) for step in measured) < 1e-3
    assert not [f for f in (tmp_path / "out" / "checkpoint-6").rglob("*") if f.stat().st_size > 100_000]


def test_zero2_resumes_bit_for_bit(trained, tmp_path):
    case, _, _ = trained
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    zero2 = {"processes": 1, "deepspeed": ROOT / "zero2.json"}
    for result in (train(case, whole, launcher=deepspeed(1)), train_in_ranks(case, resumed, **zero2)):
        assert result.returncode == 0, result.stderr[-3000:]
    (resumed / "result.json").unlink()
    shutil.rmtree(resumed / "checkpoint-6")
    result = train_in_ranks(case, resumed, **zero2)
    assert "resuming from" in result.stdout, result.stderr[-3000:]
    assert same(projectors(whole), projectors(resumed))


def test_a_finished_run_is_not_repeated_and_another_recipe_is_refused(trained):
    case, out, _ = trained
    before = (out / "model.safetensors").stat().st_mtime_ns
    again = train(case, out)
    assert "is finished" in again.stdout
    assert (out / "model.safetensors").stat().st_mtime_ns == before
    with pytest.raises(ValueError, match="begun with other settings .*projector 'linear', now 'mlp'"):
        train_here(case, out, projector="mlp")


def test_without_files_it_names_the_command_that_makes_them(tmp_path):
    script = tmp_path / "train_ski_lvlm.py"
    script.write_text((ROOT / "train_ski_lvlm.py").read_text())
    result = run([sys.executable, str(script)], env=ENVIRONMENT | {"PYTHONPATH": str(ROOT)})
    assert result.returncode == 1
    assert "bash scripts/quickstart.sh" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_full_disk_is_one_clear_line_and_costs_no_whole_checkpoint(trained, tmp_path):
    """A limit on the size of files stands for the disk: the third checkpoint's optimiser state does not fit."""
    case, _, _ = trained
    out = tmp_path / "out"
    assert train(case, out, max_steps=2).returncode == 0
    (out / "result.json").unlink()
    command = training(case, out)
    limited = ["bash", "-c", 'ulimit -f 5; "$0" "$@"', *command]
    result = run(limited)
    assert result.returncode == 1
    assert "could not be written" in result.stderr
    assert "same command again" in result.stderr
    assert "Traceback" not in result.stderr
    assert (out / "checkpoint-2").exists()
    assert not (out / "checkpoint-3").exists()


def write_origin(features, **video):
    write_json(Path(features) / "features.json", {"video": {"tower": "t", "width": TOKENS["video"][1]} | video})


def test_a_run_resumes_with_the_features_of_the_same_tower_alone(tmp_path):
    case, out = write_case(tmp_path), tmp_path / "out"
    write_origin(case["features"], digest="0123", num_frames=4)
    train_here(case, out, max_steps=1)
    (out / "result.json").unlink()
    moved_case = case | {"features": str(write_features(tmp_path / "moved"))}
    write_origin(moved_case["features"], digest="4567", num_frames=4)
    with pytest.raises(ValueError, match=r"checkpoint-1 was trained on other video features \(digest '0123' → '4567'"):
        train_here(moved_case, out, max_steps=1)
    write_origin(moved_case["features"], digest="0123", num_frames=8)
    with pytest.raises(ValueError, match=r"num_frames 4 → 8.*resume with the same features"):
        train_here(moved_case, out, max_steps=1)
    write_origin(moved_case["features"], digest="0123", num_frames=4, tower="/moved/as/well")
    train_here(moved_case, out, max_steps=1)
    assert (out / "result.json").is_file()


@pytest.fixture
def llava(monkeypatch):
    """Stand-ins for the default language model's projector and for the tower that it was trained with."""
    sources = []
    monkeypatch.setattr(train_ski_lvlm, "load_video_projector", lambda source, projector: sources.append(source))
    monkeypatch.setattr(train_ski_lvlm, "load_vision_tower", lambda name: SimpleNamespace(digest="0123"))
    return sources


def build(case, features, **settings):
    recipe = SkiLvlmRecipe(base_llm=case["base_llm"], **settings)
    return train_ski_lvlm.build_model(recipe, FeatureFolder(features), CLIPS, bf16=False)


@pytest.mark.parametrize("origin", [{"tower": CLIP_L14, "digest": "4567"}, {"digest": "0123"}, None])
def test_llavas_projector_is_loaded_for_features_of_its_tower(tmp_path, llava, monkeypatch, origin):
    case = write_case(tmp_path)
    monkeypatch.setattr(SkiLvlmRecipe, "base_llm", case["base_llm"])
    if origin is not None:
        write_origin(case["features"], **origin)
    build(case, case["features"])
    assert llava == [case["base_llm"]]


def test_llavas_projector_is_linear_and_not_loaded_into_another_kind(tmp_path, llava, monkeypatch):
    case = write_case(tmp_path)
    monkeypatch.setattr(SkiLvlmRecipe, "base_llm", case["base_llm"])
    build(case, case["features"], projector="mlp")
    assert not llava


def test_llavas_projector_is_not_loaded_for_features_of_another_tower(tmp_path, llava, monkeypatch):
    case = write_case(tmp_path)
    monkeypatch.setattr(SkiLvlmRecipe, "base_llm", case["base_llm"])
    write_origin(case["features"], digest="4567")
    with pytest.raises(ValueError, match=r"auto takes a projector for openai/clip.*made by 't' with weights 4567"):
        build(case, case["features"])

    def unreachable(name):
        raise ValueError("no network")

    monkeypatch.setattr(train_ski_lvlm, "load_vision_tower", unreachable)
    with pytest.raises(ValueError, match=r"could not be compared \(no network\); give --video_projector none or"):
        build(case, case["features"])
    build(case, case["features"], video_projector="none")
    assert not llava
    build(case, case["features"], modalities="skeleton")
    with pytest.raises(ValueError, match="--video_projector x: --modalities has no video"):
        build(case, case["features"], modalities="skeleton", video_projector="x")


def test_the_projectors_of_the_recipe_are_those_that_there_are():
    choices = SkiLvlmRecipe.__dataclass_fields__["projector"].metadata["help"]
    assert all(f"{kind}" in choices for kind in PROJECTORS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features": "/nowhere"}, "/nowhere"),
        ({"base_llm": "no/such-llm"}, "no/such-llm"),
        ({"instructions": "/nowhere.json"}, "/nowhere.json"),
        ({"modalities": "video,audio"}, "audio.*expected video, skeleton"),
        ({"batch_size": 5}, "global batch of 5"),
        ({"projector": "mlp2"}, "linear or mlp or resampler or temporal"),
        ({"projector": "temporal"}, "no order in time.*--skeleton_projector temporal"),
        ({"projector": "resampler", "projector_heads": 5}, "--projector_heads 1 or 2 or 3 or 4 or 6 or 12"),
        ({"projector_kernel": 4}, "--projector_kernel 4: expected an odd number"),
        ({"modalities": "video", "skeleton_projector": "mlp"}, "--modalities has no skeleton"),
    ],
)
def test_a_wrong_flag_is_named(trained, tmp_path, change, message):
    case, _, _ = trained
    with pytest.raises((ValueError, OSError), match=message):
        train_here(case, tmp_path / "out", **change)
