"""Commands behind the rows of skeleton-text systems."""

from pathlib import Path

import pytest

import train_ski_vlm
from scripts.tables.jobs import Step, in_order
from scripts.tables.methods import SkeletonAligned, SkeletonText
from scripts.tables.recognition_plan import RecognitionPlan, Replicate
from scripts.tables.rows import Row
from scripts.tables.scales import PAPER, SYNTHETIC


def commands(method, *, scale=SYNTHETIC, seed=0):
    plan = RecognitionPlan(Path("/ntu"), Path("/prepared"), None, Path("/out"), scale)
    row = Row(("Row",), (None,), method, modality="skeleton")
    step = plan.evaluation(row, Replicate("synthetic", seed))
    assert isinstance(step, Step)
    return {step.folder.relative_to("/out/synthetic").as_posix(): step.command for step in in_order([step])}


def value(command, flag):
    return command[command.index(flag) + 1]


def test_a_system_is_trained_on_the_pretrained_encoder_and_tested_by_skeletons():
    steps = commands(SkeletonText("synse"))
    assert list(steps) == [f"seed_0/{name}" for name in ("skeleton_pretrain", "synse", "synse/zero_shot_skeleton")]
    train, test = steps["seed_0/synse"], steps["seed_0/synse/zero_shot_skeleton"]
    assert value(train, "--skeleton_encoder") == Path("/out/synthetic/seed_0/skeleton_pretrain")
    assert (value(train, "--method"), value(train, "--cycles")) == ("synse", "3")
    assert "--ntu" not in train and value(test, "--modality") == "skeleton"


def test_variants_and_encoders_have_folders_of_their_own():
    steps = commands(SkeletonText("synse", encoder="shift_gcn", variant="published"), scale=PAPER, seed=1)
    train = steps["seed_1/synse-variant_published-encoder_shift_gcn"]
    assert value(train, "--variant") == "published" and value(train, "--seed") == "1" and "--cycles" not in train
    assert value(steps["seed_1/skeleton_pretrain-encoder_shift_gcn"], "--encoder") == "shift_gcn"


@pytest.mark.parametrize("method", [SkeletonText("synse", encoder="shift_gcn"), SkeletonAligned("shift_gcn")])
@pytest.mark.parametrize("scale", [PAPER, SYNTHETIC])
def test_every_stage_knows_its_flags(method, scale):
    stages = [command[1:] for command in commands(method, scale=scale).values() if command[0] == "train_ski_vlm.py"]
    assert [train_ski_vlm.parse([str(word) for word in command])[0] for command in stages][0] == "skeleton_pretrain"
    assert len(stages) == 2
