"""The teacher's part in stage 4: its loss, the skeletons it reads, and what is saved of it."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from ski_lvlm.datasets.paired_clips import SkeletonSettings
from ski_lvlm.datasets.selection import Selection
from ski_lvlm.dual_encoders.checkpoints import (
    SkeletonEncoderCard,
    StudentCard,
    load_skeleton_clip,
    load_skeleton_encoder,
    read_card,
    save_model,
)
from ski_lvlm.dual_encoders.language import Student
from ski_lvlm.dual_encoders.skeleton_clip import SkeletonCLIP
from ski_lvlm.encoders.text_encoder import load_text_encoder
from ski_lvlm.recipe import DistillRecipe, paper_alpha
from ski_lvlm.skeletons.packed import PackedSkeletons
from ski_lvlm.skeletons.preprocessing import Preprocessing
from ski_lvlm.vlm.alignment import ALIGNMENTS
from ski_lvlm.vlm.score_distillation import ScoreDistillationLoss
from ski_lvlm.vlm.stage_clips import check_same_clips
from ski_lvlm.vlm.stage_losses import Distillation, DistillationLoss, StageLoss
from ski_lvlm.vlm.teacher_folders import open_teachers, skeleton_clip_note

TEACHER_FOLDER = "skeleton_clip"


class StudentSide(NamedTuple):
    """A student, its card, and the sentences of the seen actions."""

    student: Student
    card: StudentCard
    prompts: tuple[str, ...]


@dataclass(frozen=True)
class Teaching:
    """The teacher's part in the stage."""

    loss: Callable[[], StageLoss]
    skeletons: SkeletonSettings
    save: Callable[[Path], None]
    notes: list[dict[str, str]]  # method, folder and digest of each teacher
    new_weights: tuple[str, ...]  # beginnings of the names of the loss's weights that no stage has trained


def teaching_by_scores(
    recipe: DistillRecipe,
    folders: Sequence[Path],
    packed: PackedSkeletons,
    selection: Selection,
    side: StudentSide,
) -> Teaching:
    """Prepare teachers that do not learn and are not saved.

    Raises:
        ValueError: the recipe needs more of a teacher than its scores, or as `open_teachers`.
    """
    _check_scores_suffice(recipe, folders)
    distillation = _distillation(recipe, selection)
    teachers = open_teachers(folders, packed, selection)
    loss = partial(ScoreDistillationLoss, side.student, teachers.model, prompts=side.prompts, distillation=distillation)
    return Teaching(loss, teachers.skeletons, save=lambda _: None, notes=teachers.notes, new_weights=())


def _check_scores_suffice(recipe: DistillRecipe, folders: Sequence[Path]) -> None:
    teachers = " and ".join(map(str, folders))
    alone = f"{teachers} {'teaches' if len(folders) == 1 else 'together teach'} by scores alone"
    for flag, value, usual in (("alignment", recipe.alignment, "scd"), ("level", recipe.level, "logit")):
        if value != usual:
            raise ValueError(
                f"{alone}, and --{flag} {value} needs features in the language space; leave --{flag} {usual}, or give "
                "one SkeletonCLIP as --skeleton_clip"
            )
    if recipe.teacher == "online":
        raise ValueError(f"{alone} and cannot learn beside the student; pass --teacher offline")
    if recipe.teacher_text_encoder:
        raise ValueError(f"{alone}, with the text encoder of its training; leave out --teacher_text_encoder")


def teaching_by_skeleton_clip(
    recipe: DistillRecipe,
    folders: Sequence[Path],
    packed: PackedSkeletons,
    selection: Selection,
    side: StudentSide,
) -> Teaching:
    """Prepare the SkeletonCLIP in a folder, which learns beside the student unless it is offline.

    Raises:
        ValueError: it was trained on other actions, in another scale, or for other skeletons than the packed ones.
    """
    (folder,) = folders
    stored = read_card(folder, SkeletonEncoderCard)
    teacher, card = _skeleton_clip(recipe, folder, packed, selection, text_encoder=side.student.text_encoder.model_id)
    card = dataclasses.replace(card, prompt=side.card.prompt)  # both read the same sentences
    return Teaching(
        loss=lambda: _loss(recipe, selection, side, teacher),
        skeletons=SkeletonSettings(packed, Preprocessing.from_json(card.preprocessing), card.num_frames),
        save=lambda run: save_model(run / TEACHER_FOLDER, teacher.float().eval(), card=card),
        notes=[skeleton_clip_note(folder, stored)],
        new_weights=("projection.", "to_skeleton.", *(() if stored.text_encoder else ("teacher.projection.",))),
    )


def _loss(recipe: DistillRecipe, selection: Selection, side: StudentSide, teacher: SkeletonCLIP) -> StageLoss:
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
        return ALIGNMENTS[recipe.alignment](side.student, teacher, prompts=side.prompts)
    distillation = _distillation(recipe, selection)
    return DistillationLoss(side.student, teacher, prompts=side.prompts, distillation=distillation)


def _distillation(recipe: DistillRecipe, selection: Selection) -> Distillation:
    if recipe.teacher == "offline" and (recipe.teacher_text, recipe.batch_norm) != ("frozen", "frozen"):
        raise ValueError("an offline teacher learns nothing; leave --teacher_text and --batch_norm frozen")
    return Distillation(
        alpha=paper_alpha(selection.split.name) if recipe.alpha is None else recipe.alpha,
        distance=recipe.distance,
        level=recipe.level,
        scale=recipe.scale,
        online=recipe.teacher == "online",
    )


def _skeleton_clip(
    recipe: DistillRecipe, folder: Path, packed: PackedSkeletons, selection: Selection, *, text_encoder: str
) -> tuple[SkeletonCLIP, SkeletonEncoderCard]:
    """Load SkeletonCLIP of stage 2, or of stage 1 with an untrained projection."""
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
