"""Commands behind the rows of skeleton-text systems and of the students that they teach."""

from dataclasses import replace
from pathlib import Path

import pytest

import train_ski_vlm
from scripts.table_published import TABLE as PUBLISHED_TABLE
from scripts.table_teachers import STUDENTS, TEACHERS
from scripts.table_teachers import TABLE as TEACHERS_TABLE
from scripts.tables.jobs import Step, in_order
from scripts.tables.methods import SkeletonAligned, SkeletonText, Taught
from scripts.tables.recognition_plan import RecognitionPlan, Replicate
from scripts.tables.rows import Row
from scripts.tables.scales import PAPER, SYNTHETIC
from ski_lvlm.skeleton_text.methods import METHODS

PLAN = RecognitionPlan(Path("/ntu"), Path("/prepared"), None, Path("/out"), SYNTHETIC)


def commands(method, *, scale=SYNTHETIC, seed=0, modality="skeleton", split="synthetic"):
    row = Row(("Row",), (None,), method, modality=modality)
    step = replace(PLAN, scale=scale).evaluation(row, Replicate(split, seed))
    assert isinstance(step, Step)
    folder = Path("/out") / split.replace("/", "_")
    return {step.folder.relative_to(folder).as_posix(): step.command for step in in_order([step])}


def value(command, flag):
    return command[command.index(flag) + 1]


def test_a_system_is_trained_on_the_pretrained_encoder_and_tested_by_skeletons():
    steps = commands(SkeletonText("synse"))
    assert list(steps) == [f"seed_0/{name}" for name in ("skeleton_pretrain", "synse", "synse/zero_shot_skeleton")]
    train, test = steps["seed_0/synse"], steps["seed_0/synse/zero_shot_skeleton"]
    assert value(train, "--skeleton_encoder") == Path("/out/synthetic/seed_0/skeleton_pretrain")
    assert (value(train, "--method"), value(train, "--rounds")) == ("synse", "3")
    assert "--ntu" not in train and value(test, "--modality") == "skeleton"


def test_several_models_teach_a_student_together():
    teachers = (SkeletonAligned(), SkeletonAligned("shift_gcn"), SkeletonText("synse"))
    steps = commands(Taught("xclip", teachers), modality="video")
    names = ["skeleton_align", "skeleton_align-encoder_shift_gcn", "synse"]
    train = steps[f"seed_0/ski_xclip-by_{'+'.join(names)}"]
    place = train.index("--skeleton_clip") + 1
    assert [folder.name for folder in train[place : place + 3]] == names and value(train, "--teacher") == "offline"
    assert value(train, "--video_student").name == "xclip" and value(train, "--untrained_rate") == "30"


def test_the_table_of_teachers_has_each_student_by_each_teacher():
    assert len(TEACHERS_TABLE.rows) == len(TEACHERS) + len(STUDENTS) * (len(TEACHERS) + 4)
    assert len({row.name for row in TEACHERS_TABLE.rows}) == len(TEACHERS_TABLE.rows)
    pairs = {(row.name, other.name) for row, other in TEACHERS_TABLE.comparisons()}
    assert {("XCLIP SynSE", "XCLIP none"), ("XCLIP SynSE", "XCLIP SkeletonCLIP")} <= pairs
    folders = [
        step.folder
        for row in TEACHERS_TABLE.rows
        for step in [PLAN.evaluation(row, Replicate("synthetic", 0))]
        if isinstance(step, Step)
    ]
    assert len(set(folders)) == len(TEACHERS_TABLE.rows)


def test_a_system_that_chooses_nothing_has_a_folder_of_its_own():
    train = commands(SkeletonText("smie", select="last"))["seed_0/smie-select_last"]
    assert value(train, "--select") == "last"


def test_variants_and_encoders_have_folders_of_their_own():
    steps = commands(SkeletonText("synse", encoder="shift_gcn", published="relu"), scale=PAPER, seed=1)
    train = steps["seed_1/synse-published_relu-encoder_shift_gcn"]
    assert value(train, "--published") == "relu" and value(train, "--seed") == "1" and "--rounds" not in train
    assert value(steps["seed_1/skeleton_pretrain-encoder_shift_gcn"], "--encoder") == "shift_gcn"


def test_the_scale_decides_on_the_encoder_where_a_row_names_none():
    assert "seed_0/synse" in commands(SkeletonText("synse", encoder=None))
    full = commands(SkeletonText("synse", encoder=None), scale=PAPER)
    assert value(full["seed_0/skeleton_pretrain-encoder_shift_gcn"], "--encoder") == "shift_gcn"


@pytest.mark.parametrize(
    ("method", "split", "flag", "expected"),
    [
        ("synse", "ntu60/55-5", "--round_length", "1700"),
        ("msf", "ntu60/48-12", "--round_length", None),
        ("star", "ntu120/96-24", "--rounds", "30"),
        ("star", "ntu60/48-12", "--rounds", None),
    ],
)
def test_each_split_has_the_published_schedule(method, split, flag, expected):
    steps = commands(SkeletonText(method), scale=PAPER, split=split)
    train = steps[f"seed_0/{method}"]
    assert (value(train, flag) if flag in train else None) == expected


def test_each_published_way_is_compared_with_the_corrected_method():
    pairs = [(row.name, other.name) for row, other in PUBLISHED_TABLE.comparisons()]
    ways = [f"{method.title.partition(' (')[0]} {way}" for method in METHODS.values() for way in method.deviations]
    assert [row for row, _ in pairs] == ways and ("SMIE raw_test", "SMIE corrected") in pairs
    assert all(row.method.published in row.name for row in PUBLISHED_TABLE.rows)


@pytest.mark.parametrize(
    ("method", "stages"),
    [
        (SkeletonText("synse", encoder="shift_gcn"), ["skeleton_pretrain", "skeleton_text"]),
        (SkeletonAligned("shift_gcn"), ["skeleton_pretrain", "skeleton_align"]),
        (
            Taught("vificlip", (SkeletonText("synse"),)),
            ["video_finetune", "skeleton_pretrain", "skeleton_text", "distill"],
        ),
    ],
)
@pytest.mark.parametrize("scale", [PAPER, SYNTHETIC])
def test_every_stage_knows_its_flags(method, stages, scale):
    steps = commands(method, scale=scale).values()
    train = [[str(word) for word in command[1:]] for command in steps if command[0] == "train_ski_vlm.py"]
    assert [train_ski_vlm.parse(command)[0] for command in train] == stages
