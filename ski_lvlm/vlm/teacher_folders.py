"""Folders of models that teach by their scores: runs of skeleton_text, skeleton_align and distill."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ski_lvlm.datasets.paired_clips import SkeletonSettings
from ski_lvlm.datasets.selection import Selection
from ski_lvlm.dual_encoders.checkpoints import SkeletonEncoderCard, load_skeleton_clip, read_card
from ski_lvlm.recognition.class_sentences import PROMPT, class_prompts
from ski_lvlm.recognition.recogniser import folder_digest
from ski_lvlm.recognition.skeleton_text_recogniser import holds_skeleton_text
from ski_lvlm.skeleton_text.folder import ENCODER, SkeletonTextCard, load_recogniser
from ski_lvlm.skeletons.packed import PackedSkeletons
from ski_lvlm.skeletons.preprocessing import Preprocessing
from ski_lvlm.storage.digests import digest
from ski_lvlm.vlm.stage_clips import check_same_clips
from ski_lvlm.vlm.teacher import Teacher, Teachers

SKELETON_CLIP = "skeleton_clip"  # name of the method in notes


@dataclass(frozen=True)
class OpenTeachers:
    """Teachers, how they read skeletons, and a note about each: method, folder and digest of its files."""

    model: Teachers
    skeletons: SkeletonSettings
    notes: list[dict[str, str]]


@dataclass(frozen=True)
class _Opened:
    folder: Path
    teacher: Teacher
    preprocessing: Preprocessing
    num_frames: int
    note: dict[str, str]


def teach_by_scores(folders: Sequence[Path]) -> bool:
    """Return whether folders hold what teaches by scores alone: any but one SkeletonCLIP."""
    return len(folders) > 1 or any(holds_skeleton_text(folder) for folder in folders)


def open_teachers(folders: Sequence[Path], packed: PackedSkeletons, selection: Selection) -> OpenTeachers:
    """Open teachers of the split's seen classes.

    Raises:
        ValueError: a folder holds none, or one that was trained on other actions or clips, or for other skeletons than
            the packed ones or those of the first.
    """
    opened = [_open(folder, selection) for folder in folders]
    first = opened[0]
    for other in opened[1:]:
        _check_same_input(first, other)
    packed.check_made_for(first.preprocessing)
    skeletons = SkeletonSettings(packed, first.preprocessing, first.num_frames)
    return OpenTeachers(Teachers([one.teacher for one in opened]), skeletons, [one.note for one in opened])


def _open(folder: Path, selection: Selection) -> _Opened:
    return _skeleton_text(folder, selection) if holds_skeleton_text(folder) else _skeleton_clip(folder, selection)


def _skeleton_text(folder: Path, selection: Selection) -> _Opened:
    card, encoder = read_card(folder, SkeletonTextCard), read_card(folder / ENCODER, SkeletonEncoderCard)
    check_same_clips(selection, folder, card)
    teacher = Teacher(load_recogniser(folder), selection.split.seen)
    content = digest(folder_digest(folder, card), folder_digest(folder / ENCODER, encoder))
    note = {"method": card.method, "folder": str(folder), "digest": content}
    return _Opened(folder, teacher, Preprocessing.from_json(encoder.preprocessing), card.num_frames, note)


def _skeleton_clip(folder: Path, selection: Selection) -> _Opened:
    card = read_card(folder, SkeletonEncoderCard)
    check_same_clips(selection, folder, card)
    model, preprocessing = load_skeleton_clip(folder)
    sentences = class_prompts(selection.split.seen, template=card.prompt or PROMPT)
    teacher = Teacher(model, sentences, scale="published" if card.scale == "published" else "cosine")
    return _Opened(folder, teacher, preprocessing, card.num_frames, skeleton_clip_note(folder, card))


def skeleton_clip_note(folder: Path, card: SkeletonEncoderCard) -> dict[str, str]:
    """Return the note about a SkeletonCLIP."""
    return {"method": SKELETON_CLIP, "folder": str(folder), "digest": digest(folder_digest(folder, card))}


def _check_same_input(first: _Opened, other: _Opened) -> None:
    if first.num_frames != other.num_frames:
        raise ValueError(
            f"{other.folder} reads {other.num_frames} frames of a skeleton, {first.folder} {first.num_frames}; "
            "teachers of one student read the same skeletons: train them with the same --num_frames"
        )
    try:
        first.preprocessing.check_matches(other.preprocessing)
    except ValueError as error:
        raise ValueError(f"{other.folder} reads skeletons otherwise than {first.folder}: {error}") from error
