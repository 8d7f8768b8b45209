"""The generalised test of a student and of a SkeletonCLIP, calibrated by a rehearsal."""

import json
import shutil

import numpy as np
import pytest
import torch

from eval.zero_shot import main
from ski_lvlm.recognition.calibration import choose_gamma, stacked
from tests.cases.recognition_case import clip, ntu_videos, skeleton_run, student_run, whole_run
from tests.cases.skeleton_case import SELECTION, SPLIT, numbers, packed_set

pytestmark = pytest.mark.slow

HELD_OUT = SPLIT.seen[:3]
REMAINDER = SPLIT.seen[3:]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """run/ and rehearsal/ of a distillation, ntu/rgb of 48 clips, prepared/ of them."""
    home = tmp_path_factory.mktemp("home")
    whole_run(home / "run", home / "clip")
    student_run(home / "rehearsal", backbone=str(home / "clip"), seen=REMAINDER)
    skeleton_run(home / "rehearsal" / "skeleton_clip", text=str(home / "clip"), seen=REMAINDER)
    ntu_videos(home / "ntu")
    packed_set(home / "prepared", performers=(1, 9, 10))
    return home


def evaluated(home, out, *flags, rehearsal="rehearsal"):
    places = ["--model", home / "run", "--prepared", home / "prepared", "--ntu", home / "ntu", "--out", out]
    places += ["--rehearsal", home / rehearsal] if rehearsal else []
    usual = ["--split", "synthetic", "--generalised", "--device", "cpu", "--workers", "0"]
    assert main([*map(str, places), *usual, *flags]) == 0
    return json.loads((out / "zero_shot.json").read_text())


def clips_of(classes):
    """Return the test clips of classes, in the order of their names."""
    return sorted(clip(action, performer) for action in numbers(classes) for performer in (9, 10))


def stored(out, clips):
    """Return the stored scores of so many clips."""
    (rows,) = [rows for rows in map(np.load, out.glob("similarity_*.npy")) if len(rows) == clips]
    return torch.from_numpy(rows)


def test_the_shift_is_chosen_on_test_clips_of_seen_classes_alone(home, tmp_path, capsys):
    result = evaluated(home, tmp_path)["generalised"]
    calibrated, place = result["calibrated"], result["calibrated"]["chosen_on"]
    assert calibrated["by"] == "stacking" and place["held_out"] == list(HELD_OUT)
    assert (place["seen_clips"], place["held_out_clips"], place["notes"]) == (18, 6, [])
    names = [*clips_of(HELD_OUT), *clips_of(REMAINDER)]
    classes = [name for name in SELECTION.data.class_names if name in SPLIT.seen]
    labels = torch.tensor(SELECTION.labels(names, classes))
    is_seen = torch.tensor([name in REMAINDER for name in classes])
    best = choose_gamma(stored(tmp_path, 24), labels, is_seen)
    assert calibrated["gamma"] == best.gamma
    assert place["harmonic_mean"] == round(best.harmonic_mean, 4)
    assert f"gamma {best.gamma:.4g}, chosen on {home / 'rehearsal'}, without {HELD_OUT[0]}" in capsys.readouterr().out


def test_the_shift_is_applied_to_the_tested_model(home, tmp_path):
    result = evaluated(home, tmp_path)["generalised"]
    is_seen = torch.tensor([name in SPLIT.seen for name in SELECTION.data.class_names])
    answers = stacked(stored(tmp_path, 32), is_seen, result["calibrated"]["gamma"])
    names = [*clips_of(SPLIT.unseen), *clips_of(SPLIT.seen)]
    is_right = answers == torch.tensor(SELECTION.labels(names, SELECTION.data.class_names))
    assert (result["classes"], result["seen_clips"], result["unseen_clips"]) == (16, 24, 8)
    assert result["calibrated"]["unseen"] == is_right[:8].double().mean().item()
    assert result["calibrated"]["seen"] == pytest.approx(is_right[8:].double().mean().item(), abs=1e-4)


def test_without_a_rehearsal_nothing_is_calibrated_and_the_command_says_how(home, tmp_path, capsys):
    result = evaluated(home, tmp_path / "plain", rehearsal=None)
    assert "calibrated" not in result["generalised"]
    assert '--data synthetic --split "A6,A23,A60,A64,' in (out := capsys.readouterr().out)
    assert "pass --rehearsal DIR" in out
    calibrated = evaluated(home, tmp_path / "calibrated")
    assert calibrated["generalised"] | result["generalised"] == calibrated["generalised"]
    assert calibrated["unseen"] == result["unseen"]


@pytest.mark.parametrize("calibration", ["gate", "published_gate"])
def test_a_gate_is_trained_on_the_same_clips(home, tmp_path, calibration, capsys):
    result = evaluated(home, tmp_path, "--calibration", calibration, "--modality", "skeleton")["generalised"]
    calibrated = result["calibrated"]
    assert calibrated["by"] == calibration and calibrated["size"] == 3
    assert 1 <= calibrated["temperature"] <= 9 and 0.25 <= calibrated["threshold"] <= 0.74
    assert (calibrated["chosen_on"]["seen_clips"], calibrated["chosen_on"]["held_out_clips"]) == (18, 6)
    assert "among 3 held-out classes with those among 4 unseen ones" in calibrated["chosen_on"]["notes"][0]
    assert 0 <= calibrated["unseen"] <= 1 and "threshold" in capsys.readouterr().out


def test_both_models_have_a_rehearsal(home, tmp_path):
    result = evaluated(home, tmp_path, "--modality", "both")["generalised"]
    assert result["calibrated"]["chosen_on"]["held_out_clips"] == 6


def test_shards_compare_the_clips_of_the_rehearsal_too(home, tmp_path):
    whole = evaluated(home, tmp_path / "whole")
    command = [
        "--model",
        home / "run",
        "--ntu",
        home / "ntu",
        "--rehearsal",
        home / "rehearsal",
        "--split",
        "synthetic",
    ]
    command += ["--generalised", "--device", "cpu", "--workers", "0", "--out", tmp_path / "out"]
    for part in ("1/2", "2/2"):
        assert main([*map(str, command), "--shard", part]) == 0
    before = {file.name: file.read_bytes() for file in (tmp_path / "out").glob("*-of-2.npy")}
    assert len(before) == 4
    assert evaluated(home, tmp_path / "out") == whole


def rehearsal_of(home, folder, *, seen, **changes):
    shutil.copytree(home / "rehearsal", folder)
    for file in ("student.json", "skeleton_clip/skeleton_encoder.json"):
        card = json.loads((folder / file).read_text()) | {"seen": list(seen)}
        (folder / file).write_text(json.dumps(card | (changes if file == "student.json" else {})))


@pytest.mark.parametrize(
    ("seen", "changes", "message"),
    [
        (SPLIT.seen, {}, 'was trained on 12 of the 12 seen classes .* train it with --data synthetic --split "A6,'),
        (SPLIT.seen[1:], {}, "so that 1 can play the unseen ones, expected 2 or more"),
        (SPLIT.seen[:1], {}, "was trained on 1 of the 12 seen classes"),
        (
            (*REMAINDER, SPLIT.unseen[1]),
            {},
            "trained on hand waving, unseen classes of synthetic; a rehearsal must not",
        ),
        (
            REMAINDER,
            {"stage": "distill"},
            "a student vificlip of --stage distill, the model to test is a student vificlip",
        ),
        (REMAINDER, {"protocol": "xview"}, "--protocol"),
    ],
)
def test_a_rehearsal_that_would_leak_or_is_of_another_kind_is_refused(home, tmp_path, seen, changes, message):
    rehearsal_of(home, tmp_path / "other", seen=seen, **changes)
    with pytest.raises(ValueError, match=message):
        evaluated(home, tmp_path / "out", rehearsal=tmp_path / "other")


def test_two_models_that_hold_out_other_classes_are_refused(home, tmp_path):
    rehearsal_of(home, tmp_path / "other", seen=REMAINDER)
    skeleton_run(tmp_path / "other" / "skeleton_clip", text=str(home / "clip"), seen=SPLIT.seen[2:])
    with pytest.raises(ValueError, match=f"one of them was trained on {HELD_OUT[2]}"):
        evaluated(home, tmp_path / "out", "--modality", "both", rehearsal=tmp_path / "other")


def test_a_folder_that_is_no_model_is_no_rehearsal(home, tmp_path):
    with pytest.raises(ValueError, match="holds no finished student"):
        evaluated(home, tmp_path / "out", rehearsal=tmp_path)
