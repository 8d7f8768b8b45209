"""Stage 4, a student and SkeletonCLIP together: from a recipe to what the Trainer needs and what is left behind."""

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

from torch import nn

from ski_lvlm.datasets.ntu import split_named
from ski_lvlm.datasets.paired_clips import PairedClips, collate_pairs
from ski_lvlm.dual_encoders.checkpoints import StudentCard, frozen_digests, load_student, save_student
from ski_lvlm.dual_encoders.skeleton_clip import (
    SkeletonCLIP,
    SkeletonEncoderCard,
    load_skeleton_clip,
    load_skeleton_encoder,
    read_card,
    save_skeleton_encoder,
)
from ski_lvlm.dual_encoders.students import Student, untrained_weights
from ski_lvlm.encoders.text_encoder import load_text_encoder
from ski_lvlm.recipe import DistillRecipe, paper_alpha
from ski_lvlm.skeletons.packed import PackedSkeletons
from ski_lvlm.skeletons.preprocessing import Preprocessing
from ski_lvlm.vlm.alignment import ALIGNMENTS
from ski_lvlm.vlm.distillation import DistillationLoss
from ski_lvlm.vlm.student_stage import augmentation_of, frames_of, seen_sentences, training_names
from ski_lvlm.vlm.trainer import Stage

TEACHER_FOLDER = "skeleton_clip"


def distill(recipe: DistillRecipe, *, seed: int) -> Stage:
    """Stage 4: SCD, or one of the other alignments of Table 1."""
    student, student_card = student_of(recipe)
    packed = PackedSkeletons.open(Path(recipe.prepared))
    teacher, teacher_card = teacher_of(recipe, packed, text_encoder=student.text_encoder.model_id)
    teacher_card = dataclasses.replace(teacher_card, prompt=student_card.prompt)  # both read the same sentences
    source = frames_of(recipe, side=student.side)
    names = training_names(recipe, source)
    data = PairedClips(
        source,
        names,
        actions=student_card.seen,
        num_frames=student.num_frames,
        side=student.side,
        seed=seed,
        skeletons=packed,
        preprocessing=Preprocessing.from_json(teacher_card.preprocessing),
        skeleton_frames=teacher_card.num_frames,
        augmentation=augmentation_of(recipe),
    )

    def save(folder: Path) -> None:
        save_skeleton_encoder(folder / TEACHER_FOLDER, teacher.float().eval(), card=teacher_card)
        card = dataclasses.replace(student_card, stage="distill", frozen=frozen_digests(student))
        save_student(folder, student.float().eval(), card=card)

    loss = loss_of(recipe, student, teacher, prompts=seen_sentences(student_card))
    if recipe.batch_norm == "trained" and data.num_without_skeleton and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ValueError(
            f"{data.num_without_skeleton} clips have no skeleton: a process whose batch has none would keep the others "
            "waiting for its batch statistics; use --batch_norm frozen, or one process"
        )
    return Stage(
        loss=loss,
        train=data,
        collate=collate_pairs,
        about=f"{len(names)} videos of {len(student_card.seen)} seen actions, {data.num_without_skeleton} of them "
        "without a skeleton: these train the video side only",
        save=save,
        test=lambda _: {"clips": len(names), "clips_without_skeleton": data.num_without_skeleton},
        untrained=untrained_of(recipe, loss, student),
        untrained_rate=recipe.untrained_rate,
    )


def loss_of(recipe: DistillRecipe, student: Student, teacher: SkeletonCLIP, *, prompts: tuple[str, ...]) -> nn.Module:
    """What the recipe minimises.

    Raises:
        ValueError: settings of SCD beside another alignment, or an offline teacher that is told to learn.
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
    return DistillationLoss(
        student,
        teacher,
        prompts=prompts,
        alpha=paper_alpha(recipe.split) if recipe.alpha is None else recipe.alpha,
        scale=recipe.scale,
        distance=recipe.distance,
        level=recipe.level,
        online=recipe.teacher == "online",
    )


def untrained_of(recipe: DistillRecipe, loss: nn.Module, student: Student) -> set[str]:
    """Names of the loss's weights that no stage before has trained."""
    parts = ["projection.", "to_skeleton."]
    if read_card(Path(recipe.skeleton_clip)).text_encoder is None:
        parts.append("teacher.projection.")
    names = {name for name, _ in loss.named_parameters() if name.startswith(tuple(parts))}
    if was_trained(Path(recipe.video_student)):
        return names
    return names | {f"student.{name}" for name in untrained_weights(student)}


def was_trained(folder: Path) -> bool:
    """Whether a run did more than write its untrained model, as `--num_train_epochs 0` does."""
    file = folder / "recipe.json"
    return not file.is_file() or json.loads(file.read_text(encoding="utf-8")).get("num_train_epochs") != 0


def student_of(recipe: DistillRecipe) -> tuple[Student, StudentCard]:
    """The student of stage 3, with the parts trainable that its own training left trainable.

    Raises:
        ValueError: none was given, or it was trained on other actions.
    """
    if not recipe.video_student:
        raise ValueError(
            "give --video_student DIR, the --output_dir of: python train_ski_vlm.py --stage video_finetune "
            f"--ntu {recipe.ntu or 'DIR'} --split {recipe.split}"
        )
    student, card = load_student(Path(recipe.video_student))
    _check_same_clips(recipe, Path(recipe.video_student), card.seen, card.protocol)
    if card.framing != recipe.framing:
        raise ValueError(f"{recipe.video_student} was trained with --framing {card.framing}; pass the same")
    return student, card


def teacher_of(
    recipe: DistillRecipe, packed: PackedSkeletons, *, text_encoder: str
) -> tuple[SkeletonCLIP, SkeletonEncoderCard]:
    """SkeletonCLIP of stage 2, or of stage 1 with an untrained projection.

    Raises:
        ValueError: none was given, it was trained on other actions, or for other skeletons than the packed ones.
    """
    if not recipe.skeleton_clip:
        raise ValueError(
            "give --skeleton_clip DIR, the --output_dir of: python train_ski_vlm.py --stage skeleton_align "
            f"--prepared {recipe.prepared or 'DIR'} --split {recipe.split}"
        )
    folder = Path(recipe.skeleton_clip)
    card = read_card(folder)
    _check_same_clips(recipe, folder, card.seen, card.protocol)
    if card.text_encoder is None:
        encoder, preprocessing = load_skeleton_encoder(folder)
        text = load_text_encoder(recipe.teacher_text_encoder or text_encoder)
        teacher = SkeletonCLIP(encoder, text)
        card = dataclasses.replace(card, text_encoder={"id": text.model_id, "digest": text.digest})
    else:
        _check_same_scale(recipe, folder, card.scale)
        teacher, preprocessing = load_skeleton_clip(folder)
    found: dict[str, Any] = {"layout": packed.layout.name, "cleaning": packed.cleaning}
    preprocessing.check_matches(dataclasses.replace(preprocessing, **found))
    teacher.text_encoder.requires_grad_(recipe.teacher_text == "trainable")
    teacher.encoder.keep_statistics = recipe.batch_norm == "frozen"
    return teacher, dataclasses.replace(card, stage="distill")


def _check_same_scale(recipe: DistillRecipe, folder: Path, scale: str) -> None:
    if recipe.alignment == "scd" and scale != recipe.scale:
        raise ValueError(
            f"{folder} was aligned with --scale {scale}, but --scale is {recipe.scale} here, so its similarities would "
            f"mean something else; pass --scale {scale}, or align again with --scale {recipe.scale}"
        )


def _check_same_clips(recipe: DistillRecipe, folder: Path, seen: tuple[int, ...], protocol: str) -> None:
    split = split_named(recipe.split)
    if seen != split.seen:
        raise ValueError(
            f"{folder} was trained on other actions than the seen ones of {split.name}; train it with --split "
            f"{split.name}"
        )
    if split.dataset != "synthetic" and protocol != recipe.protocol:
        raise ValueError(
            f"{folder} was trained on {protocol}'s clips, asked was --protocol {recipe.protocol}, which tests some of "
            f"them; pass --protocol {protocol}"
        )
