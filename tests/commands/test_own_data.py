"""All stages on a data set of one's own: odd names, 20 joints, untrimmed videos, and other classes for the test."""

import json
from pathlib import Path

import pytest

import train_ski_vlm
from eval.zero_shot import main as zero_shot
from scripts.cache_frames import main as cache_frames
from scripts.extract_features import main as extract_features
from ski_lvlm.dual_encoders.checkpoints import SkeletonEncoderCard, StudentCard, read_card
from tests.cases.data_set_case import ROWS, write_home
from tests.cases.recognition_commands import QUICK
from tests.cases.text_case import tiny_clip

pytestmark = pytest.mark.slow

NAMES = [row["clip"] for row in ROWS]
TINY = ["--num_heads", "1", "--head_dim", "12", "--depth", "2", "--strided", "2", "--num_frames", "8"]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_home(folder / "home")
    rows = [{"clip": f"o {i}", "class": name, "room": "büro"} for i, name in enumerate(("type", "drink", "type"))]
    write_home(folder / "office", rows=rows, name="office", classes=["type", "drink"], protocols={}, splits={})
    return folder


@pytest.fixture(scope="module")
def runs(home, tmp_path_factory):
    """A SkeletonCLIP, a student and its SKI twin, by the commands alone."""
    out, clip = tmp_path_factory.mktemp("runs"), tiny_clip(tmp_path_factory.mktemp("clip") / "clip")
    shared = ["--data", str(home / "home"), "--split", "A", *QUICK, "--num_train_epochs", "1"]

    def stage(name, *flags):
        train_ski_vlm.main(["--stage", name, *shared, "--output_dir", str(out / name), *flags])

    stage("skeleton_pretrain", *TINY)
    encoders = ["--skeleton_encoder", str(out / "skeleton_pretrain"), "--text_encoder", clip]
    stage("skeleton_align", *encoders, "--num_frames", "8", "--prompt", "{name}")
    stage("video_finetune", "--backbone", clip, "--num_frames", "2", "--prompt", "{name}")
    parts = ["--video_student", str(out / "video_finetune"), "--skeleton_clip", str(out / "skeleton_align")]
    stage("distill", *parts)
    return out


def result(out):
    return json.loads((out / "zero_shot.json").read_text())


def test_models_record_the_data_set_and_the_names_of_its_classes(runs):
    encoder, student = read_card(runs / "skeleton_align", SkeletonEncoderCard), read_card(runs / "distill", StudentCard)
    for card in (encoder, student):
        assert (card.dataset, card.split, card.protocol) == ("home", "home/A", "rooms")
        assert card.seen == ("pour tea", "sweep")
    assert encoder.encoder["layout"] == "kinect-20"


@pytest.mark.parametrize("modality", ["video", "skeleton", "both"])
def test_unseen_classes_of_the_same_data_set(runs, home, tmp_path, modality):
    flags = ["--model", str(runs / "distill"), "--modality", modality, "--device", "cpu", "--workers", "0"]
    assert (
        zero_shot([*flags, "--data", str(home / "home"), "--split", "A", "--generalised", "--out", str(tmp_path)]) == 0
    )
    scores = result(tmp_path)
    assert scores["data"] == "home" and list(scores["unseen"]["per_class"]) == ["wave", "fold"]
    assert scores["generalised"]["seen_clips"] == 6 and scores["unseen"]["clips"] == 6


def test_all_classes_of_another_data_set(runs, home, tmp_path):
    flags = ["--model", str(runs / "distill"), "--device", "cpu", "--workers", "0", "--clips", "all"]
    assert zero_shot([*flags, "--data", str(home / "office"), "--out", str(tmp_path)]) == 0
    assert list(result(tmp_path)["unseen"]["per_class"]) == ["type", "drink"] and result(tmp_path)["split"] == "office"
    with pytest.raises(ValueError, match="was trained on pour tea, sweep, which home expects to be unseen"):
        zero_shot([*flags, "--data", str(home / "home"), "--out", str(tmp_path / "leak")])


def test_two_data_sets_train_together(home, tmp_path):
    flags = ["--stage", "skeleton_pretrain", "--data", str(home / "home"), "--data", str(home / "office")]
    with pytest.raises(ValueError, match="unknown protocol 'rooms' of office"):
        train_ski_vlm.main([*flags, "--protocol", "rooms", "--output_dir", str(tmp_path / "x")])
    train_ski_vlm.main([*flags, *TINY, *QUICK, "--num_train_epochs", "1", "--output_dir", str(tmp_path / "both")])
    card = read_card(tmp_path / "both", SkeletonEncoderCard)
    assert card.dataset == "home+office" and card.seen == ("pour tea", "sweep", "wave", "fold", "type", "drink")


def test_frames_are_cached_and_features_extracted_by_the_names_of_clips(runs, home, tmp_path):
    data = ["--data", str(home / "home")]
    assert cache_frames([*data, "--out", str(tmp_path / "frames"), "--side", "16", "--workers", "0"]) == 0
    assert len(list((tmp_path / "frames").glob("müller * (*) *.npy"))) == len(NAMES)
    flags = ["--modalities", "skeleton", "--skeleton_encoder", str(runs / "skeleton_align"), "--skeleton_tokens", "4"]
    assert extract_features([*data, *flags, "--workers", "0", "--out", str(tmp_path / "features")]) == 0
    assert sorted(path.stem for path in Path(tmp_path / "features" / "skeleton").iterdir()) == sorted(NAMES)
