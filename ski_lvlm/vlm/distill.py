"""Stage 4, a student and its teacher: SCD, or one of the other alignments of Table 1."""

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path

from torch import nn

from ski_lvlm.datasets.clip_files import open_skeletons
from ski_lvlm.datasets.paired_clips import collate_pairs
from ski_lvlm.datasets.selection import Selection
from ski_lvlm.dual_encoders.checkpoints import StudentCard, frozen_digests, load_student, save_model
from ski_lvlm.dual_encoders.language import Student
from ski_lvlm.dual_encoders.students import untrained_weights
from ski_lvlm.recipe import DistillRecipe
from ski_lvlm.skeletons.packed import PackedSkeletons
from ski_lvlm.storage.json_files import read_json
from ski_lvlm.vlm.stage_clips import check_same_clips, seen_sentences, selection_of, training_videos
from ski_lvlm.vlm.teacher_folders import teach_by_scores
from ski_lvlm.vlm.teaching import StudentSide, teaching_by_scores, teaching_by_skeleton_clip
from ski_lvlm.vlm.trainer import Stage


def distill(recipe: DistillRecipe, *, seed: int) -> Stage:
    """Build stage 4.

    Paper: Sec. 3.2, Eq. (3).
    """
    selection = selection_of(recipe)
    student, student_card = _student(recipe, selection)
    packed = open_skeletons(recipe.prepared, selection.data)
    side = StudentSide(student, student_card, seen_sentences(student_card, selection.data))
    folders = _teacher_folders(recipe, packed, selection)
    has_scores_alone = teach_by_scores(folders)
    teach = teaching_by_scores if has_scores_alone else teaching_by_skeleton_clip
    teaching = teach(recipe, folders, packed, selection, side)
    train = training_videos(recipe, selection, student, seed=seed, skeletons=teaching.skeletons)
    loss = teaching.loss()
    teachers = teaching.notes if has_scores_alone else []  # which are not saved

    def save(folder: Path) -> None:
        teaching.save(folder)
        card = dataclasses.replace(student_card, stage="distill", frozen=frozen_digests(student), teachers=teachers)
        save_model(folder, student.float().eval(), card=card)

    lacking = train.num_without_skeleton
    if recipe.batch_norm == "trained" and lacking and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ValueError(
            f"{lacking} clips have no skeleton: a process whose batch has none would keep the others waiting for its "
            "batch statistics; use --batch_norm frozen, or one process"
        )
    return Stage(
        loss=loss,
        train=train,
        collate=collate_pairs,
        about=f"{len(train)} videos of {len(student_card.seen)} seen actions, {lacking} of them without a skeleton: "
        f"these train the video side only. Taught by {', '.join(map(_with_accuracy, teaching.notes))}",
        save=save,
        test=lambda _: {"clips": len(train), "clips_without_skeleton": lacking},
        untrained=_untrained(recipe, loss, student, beginnings=teaching.new_weights),
        untrained_rate=recipe.untrained_rate,
        origin={"teachers": [f"{note['method']} {note['digest']}" for note in teaching.notes]},
    )


def _with_accuracy(note: Mapping[str, str]) -> str:
    """Return the name of a teacher and how many seen actions it recognised in the test of its own training."""
    file = Path(note["folder"]) / "result.json"
    test = read_json(file).get("seen_test", {}) if file.is_file() else {}
    return note["method"] + (f" (seen_test {test['top1']:.1%}, chance {test['chance']:.1%})" if test else "")


def _untrained(recipe: DistillRecipe, loss: nn.Module, student: Student, *, beginnings: tuple[str, ...]) -> set[str]:
    """Return the names of the loss's weights that no stage before has trained."""
    names = {name for name, _ in loss.named_parameters() if name.startswith(beginnings)}
    # With --num_train_epochs 0 a run writes its untrained model.
    run = Path(recipe.video_student) / "recipe.json"
    if run.is_file() and read_json(run).get("num_train_epochs") == 0:
        names |= {f"student.{name}" for name in untrained_weights(student)}
    return names


def _student(recipe: DistillRecipe, selection: Selection) -> tuple[Student, StudentCard]:
    """Load the student of stage 3, with the parts trainable that were trainable there.

    Raises:
        ValueError: none was given, or it was trained on other actions.
    """
    if not recipe.video_student:
        raise ValueError(
            "give --video_student DIR, the --output_dir of: python train_ski_vlm.py --stage video_finetune "
            f"--ntu {recipe.ntu or 'DIR'} --split {selection.split.name}"
        )
    folder = Path(recipe.video_student)
    student, card = load_student(folder)
    check_same_clips(selection, folder, card)
    if card.framing != recipe.framing:
        raise ValueError(f"{recipe.video_student} was trained with --framing {card.framing}; pass the same")
    return student, card


def _teacher_folders(recipe: DistillRecipe, packed: PackedSkeletons, selection: Selection) -> list[Path]:
    """Return the folders of the teachers.

    Raises:
        ValueError: none was given.
    """
    folders = [Path(folder) for folder in recipe.skeleton_clip if folder]
    if not folders:
        raise ValueError(
            "give --skeleton_clip DIR, the --output_dir of: python train_ski_vlm.py --stage skeleton_align "
            f"--prepared {packed.folder} --split {selection.split.name}"
        )
    return folders
