"""The clips, sentences and checks that the stages share."""

from collections.abc import Sequence
from pathlib import Path

from ski_lvlm.datasets.catalogue import DataSet, Part
from ski_lvlm.datasets.clip_files import video_clips
from ski_lvlm.datasets.paired_clips import PairedClips, SkeletonSettings, ViewSettings
from ski_lvlm.datasets.selection import Selection, select
from ski_lvlm.datasets.skeleton_clips import SkeletonClips
from ski_lvlm.dual_encoders.checkpoints import Card, SkeletonEncoderCard, StudentCard
from ski_lvlm.dual_encoders.language import Student
from ski_lvlm.recipe import SkeletonDataRecipe, SkeletonTextRecipe, StudentRecipe
from ski_lvlm.recognition.class_sentences import class_prompts
from ski_lvlm.skeletons.packed import PackedSkeletons
from ski_lvlm.skeletons.preprocessing import Preprocessing
from ski_lvlm.videos.augmentation import NONE, VideoAugmentation
from ski_lvlm.videos.frame_cache import DecodedFrames, FrameCache, FrameSource


def selection_of(recipe: SkeletonDataRecipe | SkeletonTextRecipe | StudentRecipe) -> Selection:
    """Open the data set, split and protocol that a recipe names."""
    same_classes = Path(recipe.same_classes) if recipe.same_classes else None
    return select(recipe.data, split=recipe.split, protocol=recipe.protocol, same_classes=same_classes)


def skeleton_clips(
    selection: Selection,
    packed: PackedSkeletons,
    preprocessing: Preprocessing,
    part: Part,
    *,
    num_frames: int,
    seed: int | None = None,
) -> SkeletonClips:
    """Return the clips of one part of the selection, with a seed augmented for training.

    Raises:
        ValueError: there is nothing to train on.
    """
    names = selection.clips(packed.names, part)
    if part == "seen_train" and not names:
        protocol = (
            f" that {selection.protocol_name} trains on" if selection.protocol else ": the data set has no protocol"
        )
        raise ValueError(
            f"{packed.folder} holds {len(packed)} clips, but none of {selection.split.name}'s seen actions{protocol}; "
            "check --data, --split and --protocol, or prepare the folder that holds them"
        )
    labels = selection.labels(names, selection.classes(part))
    return SkeletonClips(packed, names, labels=labels, num_frames=num_frames, preprocessing=preprocessing, seed=seed)


def training_videos(
    recipe: StudentRecipe,
    selection: Selection,
    student: Student,
    *,
    seed: int,
    skeletons: SkeletonSettings | None = None,
) -> PairedClips:
    """Return the augmented videos of the split's seen actions that its protocol trains on.

    Raises:
        ValueError: there are none, or the frames are not such as the student takes.
    """
    source = _frames(recipe, selection.data, side=student.side)
    names = selection.clips(source.names, "seen_train")
    if not names:
        raise ValueError(
            f"none of the {len(source.names)} videos shows a seen action of {selection.split.name} that "
            f"{selection.protocol_name or 'a protocol'} trains on; check --data, --split and --ntu"
        )
    view = ViewSettings(
        num_frames=student.num_frames,
        side=student.side,
        seed=seed,
        augmentation=VideoAugmentation() if recipe.augment else NONE,
    )
    labels = selection.labels(names, selection.split.seen)
    return PairedClips(source, names, labels=labels, view=view, skeletons=skeletons)


def _frames(recipe: StudentRecipe, data: DataSet, *, side: int) -> FrameSource:
    """Open the cache of frames if one is named, else the videos."""
    if recipe.frames_cache:
        cache = FrameCache.open(Path(recipe.frames_cache))
        if cache.framing != recipe.framing:
            raise ValueError(
                f"{recipe.frames_cache} holds frames framed {cache.framing!r}, asked were {recipe.framing!r}; pass "
                f"--framing {cache.framing}, or make another cache"
            )
        return cache
    if not recipe.ntu and not all(source.folder for source in data.sources):
        raise ValueError(
            "give --ntu DIR, the folder with rgb/, --frames_cache DIR of scripts/cache_frames.py, or --data DIR with "
            "videos"
        )
    videos = video_clips(data, Path(recipe.ntu) if recipe.ntu else None)
    return DecodedFrames(videos, side=side, framing=recipe.framing)


def seen_sentences(card: StudentCard, data: DataSet) -> tuple[str, ...]:
    """Return the sentences of the actions a student is trained on."""
    return class_prompts(data.spellings(card.names, classes=card.seen), template=card.prompt)


def check_same_clips(selection: Selection, folder: Path, card: Card) -> None:
    """Refuse a model that was trained on other clips than the recipe trains on.

    Raises:
        ValueError: it was trained on other actions, or on another protocol's clips.
    """
    split = selection.split
    if card.seen != split.seen:
        raise ValueError(
            f"{folder} was trained on other actions than the seen ones of {split.name}"
            f"{_difference(card.seen, split.seen)}; train it with --split {split.name}"
        )
    selection.check_protocol(card.protocol, trained=f"{folder} was trained")


def check_pretraining(folder: Path, card: SkeletonEncoderCard, selection: Selection) -> None:
    """Refuse an encoder that was pretrained on clips of the test.

    Raises:
        ValueError: it was pretrained on unseen classes, or on another protocol's clips.
    """
    split = selection.split
    if leaked := sorted(set(card.seen) & set(split.unseen)):
        raise ValueError(
            f"{folder} was pretrained on actions that are unseen in {split.name}: {', '.join(leaked)}; pretrain with "
            f"--split {split.name}"
        )
    if card.dataset == selection.data.name:
        selection.check_protocol(card.protocol, trained=f"{folder} was pretrained")


def _difference(one: Sequence[str], other: Sequence[str]) -> str:
    differing = sorted(set(one) ^ set(other))
    return f" ({', '.join(differing[:5])}{', …' if len(differing) > 5 else ''})" if differing else ""
