"""Stage 3, a student alone: from a recipe to what the Trainer needs and what is left behind."""

from pathlib import Path

from ski_lvlm.datasets.ntu import clips, split_class_names, split_named
from ski_lvlm.datasets.paired_clips import PairedClips, collate_pairs
from ski_lvlm.dual_encoders.checkpoints import StudentCard, frozen_digests, save_student
from ski_lvlm.dual_encoders.students import build_student, freeze_parts, untrained_weights
from ski_lvlm.recipe import StudentRecipe, VideoFinetuneRecipe
from ski_lvlm.recognition.classes import class_prompts
from ski_lvlm.videos.augmentation import NONE, VideoAugmentation
from ski_lvlm.videos.frame_cache import DecodedFrames, FrameCache, FrameSource
from ski_lvlm.vlm.distillation import StudentLoss
from ski_lvlm.vlm.trainer import Stage


def finetune(recipe: VideoFinetuneRecipe, *, seed: int) -> Stage:
    """Stage 3: fine-tune a student's towers on videos of the seen actions."""
    student = build_student(
        recipe.student,
        backbone=recipe.backbone,
        text_encoder=recipe.text_encoder,
        num_frames=recipe.num_frames,
        side=recipe.side or None,
    )
    freeze_parts(student, recipe.freeze)
    split = split_named(recipe.split)
    source = frames_of(recipe, side=student.side)
    names = training_names(recipe, source)
    card = StudentCard(
        stage="video_finetune",
        student=recipe.student,
        backbone=recipe.backbone,
        text_encoder=recipe.text_encoder,
        num_frames=student.num_frames,
        side=student.side,
        framing=recipe.framing,
        split=recipe.split,
        seen=split.seen,
        prompt=recipe.prompt,
        names=recipe.names,
        protocol=recipe.protocol,
        frozen=frozen_digests(student),
    )
    return Stage(
        loss=StudentLoss(student, prompts=seen_sentences(card)),
        train=PairedClips(
            source,
            names,
            actions=split.seen,
            num_frames=student.num_frames,
            side=student.side,
            seed=seed,
            augmentation=augmentation_of(recipe),
        ),
        collate=collate_pairs,
        about=f"{len(names)} videos of {len(split.seen)} seen actions",
        save=lambda folder: save_student(folder, student.float().eval(), card=card),
        test=lambda _: {},  # eval/zero_shot.py
        untrained={f"student.{name}" for name in untrained_weights(student)},
        untrained_rate=recipe.untrained_rate,
    )


def frames_of(recipe: StudentRecipe, *, side: int) -> FrameSource:
    """Where the stage's frames come from: the cache if one is named, else the videos.

    Raises:
        ValueError: no folder was given, or the cache's frames were framed otherwise.
    """
    if recipe.frames_cache:
        cache = FrameCache.open(Path(recipe.frames_cache))
        if cache.framing != recipe.framing:
            raise ValueError(
                f"{recipe.frames_cache} holds frames framed {cache.framing!r}, asked were {recipe.framing!r}; pass "
                f"--framing {cache.framing}, or make another cache"
            )
        return cache
    if not recipe.ntu:
        raise ValueError("give --ntu DIR, the folder with rgb/, or --frames_cache DIR of scripts/cache_frames.py")
    return DecodedFrames(Path(recipe.ntu), side=side, framing=recipe.framing)


def training_names(recipe: StudentRecipe, source: FrameSource) -> list[str]:
    """The clips of the split's seen actions that its protocol trains on.

    Raises:
        ValueError: there are none.
    """
    names = clips(source.names, split=split_named(recipe.split), protocol=recipe.protocol, part="seen_train")
    if not names:
        raise ValueError(
            f"none of the {len(source.names)} videos shows a seen action of {recipe.split} that {recipe.protocol} "
            "trains on; check --split and --ntu"
        )
    return names


def augmentation_of(recipe: StudentRecipe) -> VideoAugmentation:
    """How far training views differ from the clips."""
    return VideoAugmentation() if recipe.augment else NONE


def seen_sentences(card: StudentCard) -> tuple[str, ...]:
    """The sentences of the actions a student is trained on."""
    return class_prompts(
        split_class_names(split_named(card.split), card.names, actions=card.seen), template=card.prompt
    )
