"""Stage 4, a student and SkeletonCLIP together: SCD, or one of the other alignments of Table 1."""

import dataclasses
import os
from pathlib import Path

from torch import nn

from ski_lvlm.datasets.clip_files import open_skeletons
from ski_lvlm.datasets.paired_clips import SkeletonSettings, collate_pairs
from ski_lvlm.datasets.selection import Selection
from ski_lvlm.dual_encoders.checkpoints import (
    SkeletonEncoderCard,
    StudentCard,
    frozen_digests,
    load_skeleton_clip,
    load_skeleton_encoder,
    load_student,
    read_card,
    save_model,
)
from ski_lvlm.dual_encoders.language import Student
from ski_lvlm.dual_encoders.skeleton_clip import SkeletonCLIP
from ski_lvlm.dual_encoders.students import untrained_weights
from ski_lvlm.encoders.text_encoder import load_text_encoder
from ski_lvlm.recipe import DistillRecipe, paper_alpha
from ski_lvlm.skeletons.packed import PackedSkeletons
from ski_lvlm.skeletons.preprocessing import Preprocessing
from ski_lvlm.storage.json_files import read_json
from ski_lvlm.vlm.alignment import ALIGNMENTS
from ski_lvlm.vlm.stage_clips import check_same_clips, seen_sentences, selection_of, training_videos
from ski_lvlm.vlm.stage_losses import Distillation, DistillationLoss, StageLoss
from ski_lvlm.vlm.trainer import Stage

TEACHER_FOLDER = "skeleton_clip"


def distill(recipe: DistillRecipe, *, seed: int) -> Stage:
    """Build stage 4.

    Paper: Sec. 3.2, Eq. (3).
    """
    selection = selection_of(recipe)
    student, student_card = _student(recipe, selection)
    packed = open_skeletons(recipe.prepared, selection.data)
    teacher, teacher_card = _teacher(recipe, packed, selection, text_encoder=student.text_encoder.model_id)
    teacher_card = dataclasses.replace(teacher_card, prompt=student_card.prompt)  # both read the same sentences
    skeletons = SkeletonSettings(packed, Preprocessing.from_json(teacher_card.preprocessing), teacher_card.num_frames)
    train = training_videos(recipe, selection, student, seed=seed, skeletons=skeletons)

    def save(folder: Path) -> None:
        save_model(folder / TEACHER_FOLDER, teacher.float().eval(), card=teacher_card)
        card = dataclasses.replace(student_card, stage="distill", frozen=frozen_digests(student))
        save_model(folder, student.float().eval(), card=card)

    prompts, alpha = seen_sentences(student_card, selection.data), paper_alpha(selection.split.name)
    loss = _loss(recipe, student, teacher, prompts=prompts, usual_alpha=alpha)
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
        "these train the video side only",
        save=save,
        test=lambda _: {"clips": len(train), "clips_without_skeleton": lacking},
        untrained=_untrained(recipe, loss, student),
        untrained_rate=recipe.untrained_rate,
    )


def _loss(
    recipe: DistillRecipe, student: Student, teacher: SkeletonCLIP, *, prompts: tuple[str, ...], usual_alpha: float
) -> StageLoss:
    """Build the loss that the recipe names.

    Raises:
        ValueError: settings of SCD beside another alignment, or an offline teacher that should learn.
    """
    if recipe.alignment != "scd":
        usual = DistillRecipe()
        of_scd = ("alpha", "scale", "distance", "teacher", "level")
        ignored = [name for name in of_scd if getattr(recipe, name) != getattr(usual, name)]
        if ignored:
            raise ValueError(f"--alignment {recipe.alignment} has no use for --{', --'.join(ignored)}; leave them out")
        return ALIGNMENTS[recipe.alignment](student, teacher, prompts=prompts)
    if recipe.teacher == "offline" and (recipe.teacher_text, recipe.batch_norm) != ("frozen", "frozen"):
        raise ValueError("an offline teacher learns nothing; leave --teacher_text and --batch_norm frozen")
    distillation = Distillation(
        alpha=usual_alpha if recipe.alpha is None else recipe.alpha,
        distance=recipe.distance,
        level=recipe.level,
        scale=recipe.scale,
        online=recipe.teacher == "online",
    )
    return DistillationLoss(student, teacher, prompts=prompts, distillation=distillation)


def _untrained(recipe: DistillRecipe, loss: nn.Module, student: Student) -> set[str]:
    """Return the names of the loss's weights that no stage before has trained."""
    parts = ["projection.", "to_skeleton."]
    if read_card(Path(recipe.skeleton_clip), SkeletonEncoderCard).text_encoder is None:
        parts.append("teacher.projection.")
    names = {name for name, _ in loss.named_parameters() if name.startswith(tuple(parts))}
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


def _teacher(
    recipe: DistillRecipe, packed: PackedSkeletons, selection: Selection, *, text_encoder: str
) -> tuple[SkeletonCLIP, SkeletonEncoderCard]:
    """Load SkeletonCLIP of stage 2, or of stage 1 with an untrained projection.

    Raises:
        ValueError: none was given, it was trained on other actions, or for other skeletons than the packed ones.
    """
    if not recipe.skeleton_clip:
        raise ValueError(
            "give --skeleton_clip DIR, the --output_dir of: python train_ski_vlm.py --stage skeleton_align "
            f"--prepared {packed.folder} --split {selection.split.name}"
        )
    folder = Path(recipe.skeleton_clip)
    card = read_card(folder, SkeletonEncoderCard)
    check_same_clips(selection, folder, card)
    if card.text_encoder is None:
        encoder, preprocessing = load_skeleton_encoder(folder)
        text = load_text_encoder(recipe.teacher_text_encoder or text_encoder)
        teacher = SkeletonCLIP(encoder, text)
        card = dataclasses.replace(card, text_encoder={"id": text.model_id, "digest": text.digest})
    else:
        if recipe.alignment == "scd" and card.scale != recipe.scale:
            raise ValueError(
                f"{folder} was aligned with --scale {card.scale}, but --scale is {recipe.scale} here, so its "
                f"similarities would mean something else; pass --scale {card.scale}, or align again with --scale "
                f"{recipe.scale}"
            )
        teacher, preprocessing = load_skeleton_clip(folder)
    packed.check_made_for(preprocessing)
    teacher.text_encoder.requires_grad_(recipe.teacher_text == "trainable")
    teacher.encoder.keep_statistics = recipe.batch_norm == "frozen"
    return teacher, dataclasses.replace(card, stage="distill")
