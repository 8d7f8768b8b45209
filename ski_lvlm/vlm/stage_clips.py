"""The clips, sentences and checks that the stages share."""

from pathlib import Path

from ski_lvlm.datasets.ntu import Part, clips, split_class_names, split_named
from ski_lvlm.datasets.paired_clips import PairedClips, SkeletonSettings, ViewSettings
from ski_lvlm.datasets.skeleton_clips import SkeletonClips
from ski_lvlm.dual_encoders.checkpoints import StudentCard
from ski_lvlm.dual_encoders.language import Student
from ski_lvlm.recipe import SkeletonDataRecipe, StudentRecipe
from ski_lvlm.recognition.class_sentences import class_prompts
from ski_lvlm.skeletons.packed import PackedSkeletons
from ski_lvlm.skeletons.preprocessing import Preprocessing
from ski_lvlm.videos.augmentation import NONE, VideoAugmentation
from ski_lvlm.videos.frame_cache import DecodedFrames, FrameCache, FrameSource


def skeleton_clips(
    recipe: SkeletonDataRecipe,
    packed: PackedSkeletons,
    preprocessing: Preprocessing,
    part: Part,
    *,
    seed: int | None = None,
) -> SkeletonClips:
    """Return the clips of one part of the recipe's split, with a seed augmented for training.

    Raises:
        ValueError: there is nothing to train on.
    """
    split = split_named(recipe.split)
    names = clips(packed.names, split=split, protocol=recipe.protocol, part=part)
    if part == "seen_train" and not names:
        raise ValueError(
            f"{recipe.prepared} holds {len(packed)} clips, but none of {split.name}'s seen actions that "
            f"{recipe.protocol} trains on; check --split, or prepare the folder that holds them"
        )
    return SkeletonClips(
        packed,
        names,
        actions=split.seen if part.startswith("seen") else split.unseen,
        num_frames=recipe.num_frames,
        preprocessing=preprocessing,
        seed=seed,
    )


def training_videos(
    recipe: StudentRecipe, student: Student, *, seed: int, skeletons: SkeletonSettings | None = None
) -> PairedClips:
    """Return the augmented videos of the split's seen actions that its protocol trains on.

    Raises:
        ValueError: there are none, or the frames are not such as the student takes.
    """
    source, split = _frames(recipe, side=student.side), split_named(recipe.split)
    names = clips(source.names, split=split, protocol=recipe.protocol, part="seen_train")
    if not names:
        raise ValueError(
            f"none of the {len(source.names)} videos shows a seen action of {recipe.split} that {recipe.protocol} "
            "trains on; check --split and --ntu"
        )
    view = ViewSettings(
        num_frames=student.num_frames,
        side=student.side,
        seed=seed,
        augmentation=VideoAugmentation() if recipe.augment else NONE,
    )
    return PairedClips(source, names, actions=split.seen, view=view, skeletons=skeletons)


def _frames(recipe: StudentRecipe, *, side: int) -> FrameSource:
    """Open the cache of frames if one is named, else the folder of videos."""
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


def seen_sentences(card: StudentCard) -> tuple[str, ...]:
    """Return the sentences of the actions a student is trained on."""
    names = split_class_names(split_named(card.split), card.names, actions=card.seen)
    return class_prompts(names, template=card.prompt)


def check_same_clips(recipe: StudentRecipe, folder: Path, *, seen_classes: tuple[int, ...], protocol: str) -> None:
    """Refuse a model that was trained on other clips than the recipe trains on.

    Raises:
        ValueError: it was trained on other actions, or on another protocol's clips.
    """
    split = split_named(recipe.split)
    if seen_classes != split.seen:
        raise ValueError(
            f"{folder} was trained on other actions than the seen ones of {split.name}; train it with --split "
            f"{split.name}"
        )
    if split.dataset != "synthetic" and protocol != recipe.protocol:
        raise ValueError(
            f"{folder} was trained on {protocol}'s clips, asked was --protocol {recipe.protocol}, which tests some of "
            f"them; pass --protocol {protocol}"
        )
