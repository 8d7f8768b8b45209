"""A trained model for recognition: how it reads a clip, and what it was trained on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from ski_lvlm.datasets.catalogue import DataSet
from ski_lvlm.datasets.clip_files import video_clips
from ski_lvlm.datasets.selection import Selection
from ski_lvlm.dual_encoders.checkpoints import (
    WEIGHTS,
    Card,
    SkeletonEncoderCard,
    StudentCard,
    load_skeleton_clip,
    load_student,
    read_card,
)
from ski_lvlm.dual_encoders.language import DualEncoder
from ski_lvlm.encoders.pretrained import freeze
from ski_lvlm.recognition.class_sentences import PROMPT
from ski_lvlm.skeleton_text.recogniser import SkeletonTextRecogniser
from ski_lvlm.skeletons.packed import PackedSkeletons
from ski_lvlm.skeletons.preprocessing import Preprocessing, is_present, preprocess
from ski_lvlm.storage.digests import remembered_digest
from ski_lvlm.videos.augmentation import scaled
from ski_lvlm.videos.frame_cache import DecodedFrames, FrameCache, FrameSource

Modality = Literal["video", "skeleton"]


@dataclass(frozen=True)
class Recogniser:
    """A frozen model, its clips, and its training."""

    modality: Modality
    model: DualEncoder | SkeletonTextRecogniser
    digest: str  # of its files
    clips: Sequence[str]  # that it can read
    read: Callable[[str], Tensor]
    origin: str  # where it reads
    prompt: str
    names: str  # the spelling of class names
    seen: tuple[str, ...]
    protocol: str = "xsub"  # whose training clips it saw
    dataset: str = ""  # whose clips it was trained on
    kind: str = ""  # models of one kind score on one scale
    encoder_seen: tuple[str, ...] = ()  # classes that its frozen encoder was trained on
    is_optimistic: bool = False  # whether it was chosen on the unseen test clips
    scores_depend_on_classes: bool = False  # whether a class's score changes with the classes beside it


def video_recogniser(
    folder: Path, *, videos: Path | None = None, cache: Path | None = None, data: DataSet | None = None
) -> Recogniser:
    """Load the student of a `video_finetune` or `distill` run. It needs no skeletons.

    Args:
        folder: the run.
        videos: folder of the videos, or with NTU's rgb/ in it.
        cache: instead of `videos`, a folder of frames that scripts/cache_frames.py decoded.
        data: the data set whose clips these are, which may have a folder of its own.

    Raises:
        ValueError: the folder holds no student, there are no videos, or the cache holds other frames than the student
            was trained on.
    """
    origin = cache or videos or (data.folder if data else None)
    if origin is None:
        raise ValueError(
            "a model of videos needs --ntu DIR, the folder that holds rgb/, --frames_cache DIR, or --data DIR with "
            "videos"
        )
    if not (folder / StudentCard.FILE).is_file() and (folder / SkeletonEncoderCard.FILE).is_file():
        raise ValueError(
            f"{folder} holds a SkeletonCLIP ({SkeletonEncoderCard.FILE}), expected a student of videos "
            f"({StudentCard.FILE}); use --modality skeleton, or give the --output_dir of --stage video_finetune or "
            "distill"
        )
    student, card = load_student(folder)
    source: FrameSource
    if cache:
        source = _fitting_cache(cache, card)
    else:
        files = video_clips(data, videos) if data else origin
        source = DecodedFrames(files, side=card.side, framing=card.framing)
    return Recogniser(
        "video",
        digest=folder_digest(folder, card),
        model=freeze(student),
        clips=source.names,
        read=partial(whole_clip, source, num_frames=card.num_frames, side=card.side),
        origin=f"{origin.resolve()} {source.num_frames if isinstance(source, FrameCache) else ''}",
        prompt=card.prompt,
        names=card.names,
        seen=card.seen,
        protocol=card.protocol,
        dataset=card.dataset,
        kind=f"a student {card.student} of --stage {card.stage}",
    )


def _fitting_cache(cache: Path, card: StudentCard) -> FrameCache:
    source = FrameCache.open(cache)
    if source.framing != card.framing or source.side < card.side:
        raise ValueError(
            f"{cache} holds {source.framing!r} frames of {source.side} px; the student was trained on {card.framing!r} "
            f"frames of {card.side} px or more; make it again with: python scripts/cache_frames.py --framing "
            f"{card.framing} --side {card.side} --ntu DIR --out DIR"
        )
    return source


def whole_clip(source: FrameSource, name: str, *, num_frames: int, side: int) -> UInt8[Tensor, "T 3 S S"]:
    """Return a clip as a student takes it, without augmentation."""
    return scaled(source.window(name, start=0.0, stop=1.0, num_frames=num_frames), side=side)


def skeleton_recogniser(folder: Path, packed: PackedSkeletons) -> Recogniser:
    """Load the SkeletonCLIP of a `distill` run (`skeleton_clip/` in it) or of a `skeleton_align` run.

    Raises:
        ValueError: there is none, or the packed set has another layout or cleaning than it was trained on.
    """
    home = folder / "skeleton_clip" if (folder / "skeleton_clip").is_dir() else folder
    file = SkeletonEncoderCard.FILE
    if not (home / file).is_file():
        _check_no_foreign_teacher(folder)
        raise ValueError(
            f"found no SkeletonCLIP in {folder}, neither {file} nor skeleton_clip/{file}; give the --output_dir of: "
            "python train_ski_vlm.py --stage skeleton_align (or distill), or use --modality video"
        )
    card = read_card(home, SkeletonEncoderCard)
    model, preprocessing = load_skeleton_clip(home)
    packed.check_made_for(preprocessing)
    return Recogniser(
        "skeleton",
        digest=folder_digest(home, card),
        model=freeze(model),
        clips=packed.names,
        read=partial(whole_skeleton, packed, num_frames=card.num_frames, preprocessing=preprocessing),
        origin=f"{packed.folder.resolve()} {packed.source}",
        prompt=card.prompt or PROMPT,
        names="canonical" if home == folder else read_card(folder, StudentCard).names,  # trained together
        seen=card.seen,
        protocol=card.protocol,
        dataset=card.dataset,
        kind=f"a SkeletonCLIP of --stage {card.stage}",
    )


def _check_no_foreign_teacher(folder: Path) -> None:
    """Say where the teachers are that taught a student by scores, and learnt nothing beside it."""
    teachers = read_card(folder, StudentCard).teachers if (folder / StudentCard.FILE).is_file() else []
    if teachers:
        titles = " and ".join(f"{teacher['method']} in {teacher['folder']}" for teacher in teachers)
        raise ValueError(
            f"{folder} holds a student alone, since its teacher did not learn beside it ({titles}); use --modality "
            f"video, or test the teacher itself: --modality skeleton --model {teachers[0]['folder']}"
        )


def folder_digest(folder: Path, card: Card) -> str:
    """Return a digest of the card and the weights in a folder."""
    # Of whole files: a few steps of fine-tuning change too little for `weights_digest`, which rounds.
    return f"{remembered_digest(folder / card.FILE)} {remembered_digest(folder / WEIGHTS)}"


def whole_skeleton(
    packed: PackedSkeletons, name: str, *, num_frames: int, preprocessing: Preprocessing
) -> Float[Tensor, "T M J C"]:
    """Return a clip as the encoder takes it, without augmentation.

    Raises:
        ValueError: nobody is in it.
    """
    if not is_present(packed.get(name)).any():
        raise ValueError(f"{name}: nobody is in any frame of the skeleton")
    return torch.from_numpy(preprocess(packed.get(name), num_frames=num_frames, preprocessing=preprocessing))


def check_classes(recogniser: Recogniser, selection: Selection, *, folder: Path, generalised: bool = False) -> None:
    """Make sure that the split's unseen classes are new to the model.

    For a generalised test the seen ones must not be, and their clips that the protocol tests must be new as well.

    Raises:
        ValueError: the message names the classes for which it is otherwise.
    """
    split = selection.split
    if leaked := sorted(set(recogniser.seen) & set(split.unseen)):
        raise ValueError(
            f"the {recogniser.modality} model in {folder} was trained on {', '.join(leaked)}, which {split.name} "
            f"expects to be unseen; give the split that it was trained for, or train it with --split {split.name}"
        )
    if generalised and (new := sorted(set(split.seen) - set(recogniser.seen))):
        raise ValueError(
            f"the {recogniser.modality} model in {folder} was not trained on {', '.join(new)}, which {split.name} "
            f"expects to be seen; leave out --generalised, or train it with --split {split.name}"
        )
    if generalised:
        check_clips_new(recogniser, selection, folder=folder)


def check_training(recogniser: Recogniser, selection: Selection, *, folder: Path) -> None:
    """Make sure that a closed-set test asks for the classes of training, on other clips.

    Raises:
        ValueError: it asks for other classes, or a protocol tests clips of training.
    """
    if new := sorted(set(selection.split.unseen) - set(recogniser.seen)):
        raise ValueError(
            f"the {recogniser.modality} model in {folder} was not trained on {', '.join(new)}, which --closed_set "
            "expects to be seen; give the --split of its training"
        )
    check_clips_new(recogniser, selection, folder=folder)


def check_clips_new(recogniser: Recogniser, selection: Selection, *, folder: Path) -> None:
    """Make sure that no clip that the protocol tests was one of training."""
    if recogniser.dataset == selection.data.name:
        trained = f"the {recogniser.modality} model in {folder} was trained"
        selection.check_protocol(recogniser.protocol, trained=trained)
