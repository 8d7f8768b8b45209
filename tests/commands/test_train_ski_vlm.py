import json

import pytest
import torch
from safetensors.torch import load_file

import train_ski_vlm
from ski_lvlm.dual_encoders.checkpoints import load_skeleton_clip, load_skeleton_encoder
from ski_lvlm.encoders.text_encoder import load_text_encoder
from tests.cases.command_case import kill_at, run
from tests.cases.recognition_commands import QUICK, TRAIN
from tests.cases.skeleton_case import packed_set
from tests.cases.text_case import tiny_sentence_encoder

pytestmark = pytest.mark.slow


TINY = ["--num_heads", "1", "--head_dim", "12", "--depth", "2", "--strided", "2", "--num_frames", "8"]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return packed_set(tmp_path_factory.mktemp("packed") / "set")


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    return tiny_sentence_encoder(tmp_path_factory.mktemp("text"))


def pretrain(prepared, output_dir, *flags, split="synthetic"):
    data = ["--prepared", str(prepared), "--split", split, "--output_dir", str(output_dir)]
    return ["--stage", "skeleton_pretrain", *data, *TINY, *QUICK, "--num_train_epochs", "2", *flags]


@pytest.fixture(scope="module")
def pretrained(prepared, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "pretrained"
    train_ski_vlm.main(pretrain(prepared, folder))
    return folder


def align(prepared, pretrained, text, output_dir, *flags):
    data = ["--prepared", str(prepared), "--split", "synthetic", "--output_dir", str(output_dir)]
    encoders = ["--skeleton_encoder", str(pretrained), "--text_encoder", text, "--num_frames", "8"]
    return ["--stage", "skeleton_align", *data, *encoders, *QUICK, "--num_train_epochs", "1", *flags]


def test_pretraining_leaves_encoder_recipe_metrics_versions_and_result(pretrained):
    encoder, _ = load_skeleton_encoder(pretrained)
    assert encoder.settings["num_heads"] == 1 and encoder.num_tokens(8) == 4
    assert json.loads((pretrained / "recipe.json").read_text())["learning_rate"] == 0.025
    assert "torch" in json.loads((pretrained / "run.json").read_text())["versions"]
    assert [json.loads(line) for line in (pretrained / "metrics.jsonl").read_text().splitlines()]
    result = json.loads((pretrained / "result.json").read_text())
    assert result["seen_test"]["clips"] == 12 and result["seen_test"]["chance"] == 0.0833


def test_alignment_tests_on_classes_never_trained_on(prepared, pretrained, text, tmp_path):
    train_ski_vlm.main(align(prepared, pretrained, text, tmp_path))
    model, _ = load_skeleton_clip(tmp_path)
    result = json.loads((tmp_path / "result.json").read_text())
    assert (result["unseen_test"]["clips"], result["unseen_all"]["clips"]) == (4, 16)
    assert result["unseen_test"]["classes"] == 4 and result["seen_test"]["clips"] == 12
    before, _ = load_skeleton_encoder(pretrained)
    assert not torch.equal(before.blocks[0].attention.joint_matrix, model.encoder.blocks[0].attention.joint_matrix)
    weights = load_file(sorted(tmp_path.glob("checkpoint-*"))[-1] / "model.safetensors")
    assert "model.projection.weight" in weights and not any("text_encoder" in name for name in weights)
    assert model.text_encoder.digest == load_text_encoder(text).digest


def test_a_finished_run_is_not_repeated(prepared, pretrained, capsys):
    before = (pretrained / "model.safetensors").stat().st_mtime_ns
    train_ski_vlm.main(pretrain(prepared, pretrained))
    assert "is finished" in capsys.readouterr().out
    assert (pretrained / "model.safetensors").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--learning_rate", "0.5"], "begun with other settings .learning_rate 0.025, now 0.5"),
        (["--batch_size", "12"], "a global batch of 12 cannot be made of"),
        (["--prepared", "nowhere"], "make them with scripts/prepare_ntu.py"),
        (["--split", "ntu60/50-10"], "unknown split"),
        (["--head_dim", "10"], "does not divide by 12"),
    ],
)
def test_mistakes_are_told(prepared, pretrained, tmp_path, flags, message):
    folder = pretrained if flags[0] == "--learning_rate" else tmp_path
    with pytest.raises(ValueError, match=message):
        train_ski_vlm.main(pretrain(prepared, folder, *flags))


def test_alignment_needs_an_encoder_that_never_saw_the_unseen(prepared, text, tmp_path):
    with pytest.raises(ValueError, match="give --skeleton_encoder DIR, the --output_dir of: python train_ski_vlm.py"):
        train_ski_vlm.main(align(prepared, "", text, tmp_path / "aligned"))
    train_ski_vlm.main(pretrain(prepared, tmp_path / "all", "--max_steps", "1", split="ntu60/55-5"))
    with pytest.raises(ValueError, match="pretrained on actions that are unseen in synthetic: hand waving, pickup"):
        train_ski_vlm.main(align(prepared, tmp_path / "all", text, tmp_path / "aligned"))


def test_alignment_keeps_to_the_speed_and_the_clips_of_pretraining(prepared, pretrained, text, tmp_path):
    with pytest.raises(ValueError, match="pretrained on clips of 8 frames, but --num_frames is 64"):
        train_ski_vlm.main(align(prepared, pretrained, text, tmp_path, "--num_frames", "64"))
    ntu60 = ["--split", "ntu60/55-5"]
    train_ski_vlm.main(pretrain(prepared, tmp_path / "xsub", "--max_steps", "1", *ntu60))
    with pytest.raises(ValueError, match="pretrained on xsub.s clips, asked was --protocol xview"):
        train_ski_vlm.main(align(prepared, tmp_path / "xsub", text, tmp_path, *ntu60, "--protocol", "xview"))


def test_a_folder_without_training_clips_is_told(tmp_path):
    packed = packed_set(tmp_path / "set", performers=(9,))
    with pytest.raises(ValueError, match="16 clips, but none of synthetic's seen actions that"):
        train_ski_vlm.main(pretrain(packed, tmp_path / "run"))


def test_command_line_mistakes_leave_one_line_and_no_traceback(tmp_path):
    process = run([*TRAIN, "--stage", "skeleton_pretrain", "--prepared", str(tmp_path)])
    assert process.returncode == 1
    assert "no GPU found: training on the CPU" in process.stderr
    assert process.stderr.strip().splitlines()[-1].startswith("error: ") and "Traceback" not in process.stderr


def test_killed_and_started_again_it_ends_with_the_same_weights(prepared, tmp_path):
    """A real SIGKILL, in the middle of an epoch. The last checkpoint is in the middle of one too."""
    steps = ["--save_strategy", "steps", "--save_steps", "3", "--num_train_epochs", "4"]
    assert run([*TRAIN, *pretrain(prepared, tmp_path / "whole", *steps)]).returncode == 0
    again = [*TRAIN, *pretrain(prepared, tmp_path / "killed", *steps)]
    kill_at(again, "checkpoint-*", 2, folder=tmp_path)
    assert len(list((tmp_path / "killed").glob("checkpoint-*"))) == 1
    process = run(again)
    assert process.returncode == 0 and "resuming from" in process.stdout
    whole, killed = (load_file(tmp_path / run / "model.safetensors") for run in ("whole", "killed"))
    assert all(torch.equal(whole[name], killed[name]) for name in whole)


@pytest.mark.parametrize("flag", ["--gradient_checkpointing", "--use_liger_kernel"])
def test_what_the_stages_cannot_do_is_refused_before_anything_is_loaded(tmp_path, flag):
    with pytest.raises(ValueError, match="checkpointing .*are not built for|--use_liger_kernel is for"):
        train_ski_vlm.main(pretrain(tmp_path, tmp_path / "run", flag, "True"))
