"""Stage 3, a student alone: its towers are fine-tuned on videos of the seen actions."""

from ski_lvlm.datasets.paired_clips import collate_pairs
from ski_lvlm.dual_encoders.checkpoints import StudentCard, frozen_digests, save_model
from ski_lvlm.dual_encoders.students import build_student, freeze_towers, untrained_weights
from ski_lvlm.recipe import VideoFinetuneRecipe
from ski_lvlm.vlm.stage_clips import seen_sentences, selection_of, training_videos
from ski_lvlm.vlm.stage_losses import StudentLoss
from ski_lvlm.vlm.trainer import Stage


def video_finetune(recipe: VideoFinetuneRecipe, *, seed: int) -> Stage:
    """Build stage 3.

    Paper: Sec. 3.2, L_CE(z^v, z^tv).
    """
    selection = selection_of(recipe)
    student = build_student(
        recipe.student,
        backbone=recipe.backbone,
        text_encoder=recipe.text_encoder,
        num_frames=recipe.num_frames,
        side=recipe.side or None,
    )
    freeze_towers(student, recipe.freeze)
    train = training_videos(recipe, selection, student, seed=seed)
    card = StudentCard(
        stage="video_finetune",
        student=recipe.student,
        backbone=recipe.backbone,
        text_encoder=recipe.text_encoder,
        num_frames=student.num_frames,
        side=student.side,
        framing=recipe.framing,
        split=selection.split.name,
        seen=selection.split.seen,
        prompt=recipe.prompt,
        names=recipe.names,
        protocol=selection.protocol_name,
        frozen=frozen_digests(student),
        dataset=selection.data.name,
    )
    return Stage(
        loss=StudentLoss(student, prompts=seen_sentences(card, selection.data)),
        train=train,
        collate=collate_pairs,
        about=f"{len(train)} videos of {len(selection.split.seen)} seen actions",
        save=lambda folder: save_model(folder, student.float().eval(), card=card),
        test=lambda _: {},  # eval/zero_shot.py
        untrained={f"student.{name}" for name in untrained_weights(student)},
        untrained_rate=recipe.untrained_rate,
    )
