"""The generalised test of skeleton-text models, calibrated by the rehearsal that they bring along."""

import json
import shutil

import pytest

import train_ski_vlm
from ski_lvlm.skeleton_text.folder import SkeletonTextCard
from tests.cases.skeleton_case import SPLIT
from tests.cases.skeleton_text_commands import encoder_home, flags, zero_shot_result

pytestmark = pytest.mark.slow
SMIE = ("--method", "smie", "--rounds", "2", "--round_length", "0")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return encoder_home(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def synse(home, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "synse"
    train_ski_vlm.main(flags(home, folder))
    return folder


def test_a_model_is_calibrated_by_its_own_rehearsal(home, synse, tmp_path, capsys):
    result = zero_shot_result(home, synse, tmp_path, "--generalised")
    place = result["generalised"]["calibrated"]["chosen_on"]
    held_out = json.loads((synse / "result.json").read_text())["choice"]["held_out"]
    assert place["rehearsal"] == str(synse / "rehearsal") and place["held_out"] == held_out
    assert (place["seen_clips"], place["held_out_clips"]) == (9, 3)
    (note,) = place["notes"]
    assert "easier than unseen ones" in note and note in capsys.readouterr().out
    assert result["unseen"] == zero_shot_result(home, synse, tmp_path / "plain")["unseen"]


@pytest.mark.parametrize("calibration", ["gate", "published_gate", "none"])
def test_other_calibrations(home, synse, tmp_path, calibration):
    result = zero_shot_result(home, synse, tmp_path, "--generalised", "--calibration", calibration)["generalised"]
    assert (result["seen_clips"], result["unseen_clips"], result["classes"]) == (12, 4, 16)
    assert result.get("calibrated", {"by": "none"})["by"] == calibration
    groups = 5 if calibration != "none" else 2  # SynSE's scores depend on the classes beside them
    assert len(list(tmp_path.glob("similarity_*.npy"))) == groups


@pytest.fixture(scope="module")
def smie(home, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "smie"
    train_ski_vlm.main(flags(home, folder, *SMIE))
    return folder


def test_scores_that_do_not_depend_on_other_classes_are_computed_once(home, smie, tmp_path):
    result = zero_shot_result(home, smie, tmp_path, "--generalised", "--calibration", "gate")
    assert 0 <= result["generalised"]["calibrated"]["harmonic_mean"] <= 1
    assert len(list(tmp_path.glob("similarity_*.npy"))) == 2


def test_a_model_chosen_on_unseen_clips_is_called_optimistic_and_is_no_rehearsal(home, smie, tmp_path, capsys):
    train_ski_vlm.main(flags(home, tmp_path / "run", *SMIE, "--select", "unseen_test"))
    result = zero_shot_result(home, tmp_path / "run", tmp_path / "out", "--generalised")
    assert result["note"].endswith("optimistic") and "calibrated" not in result["generalised"]
    out = capsys.readouterr().out
    assert result["note"] in out and "--rehearsal DIR" in out
    card = tmp_path / "run" / SkeletonTextCard.FILE
    card.write_text(json.dumps(json.loads(card.read_text()) | {"seen": SPLIT.seen[3:]}))
    with pytest.raises(ValueError, match="chosen on test clips of its unseen classes"):
        zero_shot_result(home, smie, tmp_path / "out", "--generalised", "--rehearsal", tmp_path / "run")


def test_a_model_of_another_method_is_no_rehearsal(home, synse, tmp_path):
    shutil.copytree(synse / "rehearsal", tmp_path / "other")
    card = tmp_path / "other" / SkeletonTextCard.FILE
    card.write_text(json.dumps(json.loads(card.read_text()) | {"published": ["relu"]}))
    with pytest.raises(ValueError, match="words --published relu, the model to test is .* --class_texts words; scores"):
        zero_shot_result(home, synse, tmp_path / "out", "--generalised", "--rehearsal", tmp_path / "other")
