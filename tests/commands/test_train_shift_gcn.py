"""Every stage and command that takes a skeleton encoder, with Shift-GCN: joints of a layout of one's own, single ones
absent, and a kill."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import train_ski_vlm
from eval.zero_shot import main as zero_shot
from scripts.extract_features import main as extract_features
from ski_lvlm.dual_encoders.checkpoints import SkeletonEncoderCard, load_skeleton_clip, load_skeleton_encoder, read_card
from ski_lvlm.encoders.shift_gcn import ShiftGCN
from ski_lvlm.lvlm.features import FeatureFolder
from ski_lvlm.skeletons.layouts import LAYOUTS
from ski_lvlm.skeletons.packed import packed_writer
from tests.cases.command_case import kill_at, run
from tests.cases.data_set_case import ROWS, write_home
from tests.cases.recognition_commands import QUICK, TRAIN
from tests.cases.skeleton_case import packed_set
from tests.cases.text_case import tiny_clip

pytestmark = pytest.mark.slow

TINY = ["--encoder", "shift_gcn", "--widths", "8", "12", "--strided", "2", "--num_frames", "8"]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Write videos, and skeletons of 17 joints of the picture of which single ones are absent."""
    folder = write_home(tmp_path_factory.mktemp("data") / "home", layout="coco-17")
    for file in ("joints.npy", "index.json"):
        (folder / file).unlink()
    rng = np.random.default_rng(0)
    with packed_writer(folder, layout=LAYOUTS["coco-17"], cleaning="centred-1", source="test") as writer:
        for row in ROWS:
            joints = rng.normal(size=(9, 1, 17, 2)).astype(np.float32)
            joints[2:5, :, 9] = np.nan
            writer.add(row["clip"], joints)
    return folder


@pytest.fixture(scope="module")
def runs(home, tmp_path_factory):
    out, clip = tmp_path_factory.mktemp("runs"), tiny_clip(tmp_path_factory.mktemp("clip") / "clip")
    shared = ["--data", str(home), "--split", "A", *QUICK, "--num_train_epochs", "1"]

    def stage(name, *flags):
        train_ski_vlm.main(["--stage", name, *shared, "--output_dir", str(out / name), *flags])

    stage("skeleton_pretrain", *TINY)
    encoders = ["--skeleton_encoder", str(out / "skeleton_pretrain"), "--text_encoder", clip]
    stage("skeleton_align", *encoders, "--num_frames", "8", "--prompt", "{name}", "--learning_rate", "0.01")
    stage("video_finetune", "--backbone", clip, "--num_frames", "2", "--prompt", "{name}")
    parts = ["--video_student", str(out / "video_finetune"), "--skeleton_clip", str(out / "skeleton_align")]
    stage("distill", *parts, "--learning_rate", "0.01")
    return out


def test_every_stage_hands_the_network_on(runs):
    for folder in ("skeleton_pretrain", "skeleton_align", "distill/skeleton_clip"):
        encoder, _ = load_skeleton_encoder(runs / folder)
        assert isinstance(encoder, ShiftGCN) and encoder.layout.name == "coco-17"
        assert read_card(runs / folder, SkeletonEncoderCard).encoder == encoder.settings
    recipe = json.loads((runs / "skeleton_pretrain" / "recipe.json").read_text())
    assert (recipe["encoder"], recipe["learning_rate"], recipe["widths"]) == ("shift_gcn", 0.1, [8, 12])


def test_distillation_trains_the_weights_and_not_the_statistics(runs):
    before, after = (
        load_skeleton_clip(runs / run)[0].encoder.state_dict() for run in ("skeleton_align", "distill/skeleton_clip")
    )
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert not any("running" in name or "num_batches" in name for name in changed)
    assert {"blocks.0.joints.weight", "blocks.1.joints.mask", "blocks.0.time.shift_in.offset"} <= changed


def test_unseen_classes_and_tokens(runs, home, tmp_path):
    flags = ["--model", str(runs / "distill"), "--modality", "skeleton", "--device", "cpu", "--workers", "0"]
    assert zero_shot([*flags, "--data", str(home), "--split", "A", "--out", str(tmp_path / "scores")]) == 0
    assert json.loads((tmp_path / "scores" / "zero_shot.json").read_text())["unseen"]["clips"] == 6
    flags = ["--modalities", "skeleton", "--skeleton_encoder", str(runs / "skeleton_align"), "--skeleton_tokens", "8"]
    assert extract_features([*flags, "--data", str(home), "--workers", "0", "--out", str(tmp_path / "tokens")]) == 0
    features = FeatureFolder(tmp_path / "tokens")
    assert features.load(ROWS[0]["clip"], "skeleton").shape == (8, 12)


def pretrain(prepared, output_dir, *flags):
    data = ["--prepared", str(prepared), "--split", "synthetic", "--output_dir", str(output_dir)]
    return ["--stage", "skeleton_pretrain", *data, *TINY, *QUICK, *flags]


def test_mistakes_are_told(tmp_path):
    prepared = packed_set(tmp_path / "set")
    with pytest.raises(ValueError, match="Shift-GCN has no --depth, --num_heads; leave them out. Its sizes are --wid"):
        train_ski_vlm.main(pretrain(prepared, tmp_path / "run", "--num_heads", "1", "--depth", "2"))
    with pytest.raises(ValueError, match="2 frames, this encoder needs 4 for one token"):
        train_ski_vlm.main(pretrain(prepared, tmp_path / "short", "--num_frames", "2", "--strided", "1", "2"))


@pytest.mark.parametrize("encoder", ["shift_gcn", "st_gcn"])
def test_killed_and_started_again_it_ends_with_the_same_weights(encoder, tmp_path):
    """A real SIGKILL, in the middle of an epoch. The last checkpoint is in the middle of one too."""
    prepared = packed_set(tmp_path / "set")
    steps = ["--encoder", encoder, "--save_strategy", "steps", "--save_steps", "3", "--num_train_epochs", "4"]
    steps += ["--per_device_train_batch_size=4"]  # two parts a batch
    assert run([*TRAIN, *pretrain(prepared, tmp_path / "whole", *steps)]).returncode == 0
    again = [*TRAIN, *pretrain(prepared, tmp_path / "killed", *steps)]
    kill_at(again, "checkpoint-*", 2, folder=tmp_path)
    assert len(list((tmp_path / "killed").glob("checkpoint-*"))) == 1
    process = run(again)
    assert process.returncode == 0 and "resuming from" in process.stdout
    whole, killed = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "killed"))
    assert all(torch.equal(whole[name], killed[name]) for name in whole)
