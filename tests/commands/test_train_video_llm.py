"""train_ski_lvlm.py with --base_vlm: processes, kill and resume, folders, and flags that contradict each other."""

import json
import shutil
import sys

import pytest
import torch
from safetensors.torch import load_file

import ski_lvlm
import train_ski_lvlm
from ski_lvlm import chat
from ski_lvlm.parallel.launch import adapted_flags
from tests.cases.command_case import ROOT, has_compiler, kill_at, run_ranks
from tests.cases.lvlm_case import CLIPS
from tests.cases.video_llm_case import write_video_case

pytestmark = pytest.mark.slow
SCRIPT = ROOT / "tests" / "cases" / "train_video_llm.py"
SETTINGS = {
    "batch_size": 4,
    "per_device_train_batch_size": 2,
    "num_train_epochs": 4,
    "learning_rate": 0.01,
    "save_steps": 1,
    "logging_steps": 1,
    "dataloader_num_workers": 0,
    "video_frames": 5,
    "lora_rank": 2,
    "skeleton_projector": "temporal",
    "projector_stride": 2,
    "skeleton_dropout": 0.3,
}


def flags(case, out, **settings):
    values = case | SETTINGS | {"output_dir": out} | settings
    return [part for name, value in values.items() for part in (f"--{name}", str(value))]


def train(case, out, **settings):
    train_ski_lvlm.main(adapted_flags(flags(case, out, **settings)))


def weights(out):
    return load_file(out / "model.safetensors") | load_file(out / "adapter" / "adapter_model.safetensors")


def losses(out):
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return {line["step"]: line["loss"] for line in lines if "loss" in line}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Round as the commands do, which run with one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Train projector and adapter without interruption. One of four clips has no skeleton."""
    folder = tmp_path_factory.mktemp("video_llm")
    case = write_video_case(folder, video_only=(CLIPS[1],))
    train(case, folder / "out")
    return case, folder / "out"


def test_killed_amid_the_run_the_same_command_ends_in_the_same_weights(trained, tmp_path):
    case, undisturbed = trained
    out = tmp_path / "out"
    kill_at([sys.executable, str(SCRIPT), *flags(case, out)], "trainer_state.json", 3, folder=tmp_path)
    assert not (out / "result.json").exists()
    train(case, out)
    actual, expected = weights(out), weights(undisturbed)
    assert actual.keys() == expected.keys()
    assert all(torch.equal(tensor, actual[name]) for name, tensor in expected.items())


@pytest.mark.skipif(not has_compiler(), reason="DeepSpeed compiles its shared-memory communication")
def test_zero2_with_two_processes_equals_one_though_a_rank_may_have_no_skeleton(trained, tmp_path):
    case, undisturbed = trained
    settings = {"deepspeed": ROOT / "zero2.json", "per_device_train_batch_size": 1}
    result = run_ranks([sys.executable, str(SCRIPT), *flags(case, tmp_path / "out", **settings)], 2)
    assert result.returncode == 0, result.stderr[-3000:]
    actual, expected = losses(tmp_path / "out"), losses(undisturbed)
    assert actual.keys() == expected.keys()
    assert max(abs(actual[step] - expected[step]) for step in actual) < 1e-3


def test_the_folder_has_the_trained_parts_alone_and_is_opened(trained, capsys):
    case, out = trained
    assert sum(file.stat().st_size for file in (out / "checkpoint-4").rglob("*") if file.is_file()) < 200_000
    assert "⟨skeleton × 2⟩" in (out / "sample.txt").read_text()
    video = f"{case['videos']}/{CLIPS[0]}_rgb.avi"
    answer = ski_lvlm.from_pretrained(out).generate(video, "Why?", max_new_tokens=4)
    assert chat.main([video, "--model", str(out), "--question", "Why?", "--max_new_tokens", "4"]) == 0
    assert capsys.readouterr().out.startswith(answer.split()[0] if answer else "")


def test_stages_hand_the_projector_over_to_one_with_an_adapter(trained, tmp_path):
    case, _ = trained
    train(case, tmp_path / "one", lora_rank=0, max_steps=1)
    train(case, tmp_path / "two", init_from=tmp_path / "one", freeze="skeleton", max_steps=2)
    first, second = load_file(tmp_path / "one" / "model.safetensors"), load_file(tmp_path / "two" / "model.safetensors")
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())


def test_clips_without_video_or_skeleton_are_named_or_skipped(trained, tmp_path):
    case, _ = trained
    shutil.copytree(case["videos"], tmp_path / "videos")
    (tmp_path / "videos" / f"{CLIPS[2]}_rgb.avi").unlink()
    lacking = case | {"videos": str(tmp_path / "videos")}
    with pytest.raises(ValueError, match=rf"1 of 4 conversations .*{CLIPS[2]}.*--skip_missing True"):
        train(lacking, tmp_path / "out")
    train(lacking, tmp_path / "out", skip_missing=True, batch_size=3, per_device_train_batch_size=3, max_steps=1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"base_vlm": ""}, "--videos is for --base_vlm"),
        ({"base_llm": "smollm2"}, "--base_llm smollm2 beside --base_vlm"),
        ({"modalities": "video"}, "--modalities video beside --base_vlm"),
        ({"train": "llm", "lora_rank": 0}, "--train llm beside --base_vlm: not built"),
        ({"videos": ""}, "give --videos DIR"),
        ({"video_frames": 0}, "expected 1 or more frames"),
        ({"base_vlm": "no/such-model"}, "no video LLM could be loaded from 'no/such-model'"),
        ({"videos": "/nowhere"}, "/nowhere"),
    ],
)
def test_a_wrong_flag_is_named(trained, tmp_path, change, message):
    case, _ = trained
    with pytest.raises(ValueError, match=message):
        train(case, tmp_path / "out", **change)


def test_a_language_model_is_no_video_llm(trained, tmp_path):
    from tests.cases.tiny_llm import tiny_llm

    with pytest.raises(ValueError, match="is no video LLM of transformers; give a language model with --base_llm"):
        train(trained[0], tmp_path / "out", base_vlm=tiny_llm(tmp_path / "llm"))
