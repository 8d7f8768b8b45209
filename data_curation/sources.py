"""The clips of an NTU folder: their files, and readers of their joints."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from data_curation.action_phrases import ACTION_PHRASES
from data_curation.captioning.kinematics import measured_sentences
from data_curation.ledger import Failed, Rejected
from ski_lvlm.datasets.ntu import parse_name
from ski_lvlm.datasets.ntu_folder import skeleton_folders
from ski_lvlm.skeletons.cleaning import CleaningError, clean
from ski_lvlm.skeletons.ntu_file import SkeletonFileError, read_skeleton
from ski_lvlm.storage.digests import digest, remembered_digest
from ski_lvlm.videos.folder import list_videos


class JointReader(NamedTuple):
    """A reader of a clip's joints by its name. `version` identifies the source of the joints."""

    read: Callable[[str], Float[np.ndarray, "T M J 3"]]
    version: str


logger = logging.getLogger(__name__)


class ClipFiles(NamedTuple):
    """The files of a clip, with None for a missing one."""

    video: Path | None
    skeleton: Path | None


def find_clips(ntu: Path) -> dict[str, ClipFiles]:
    """Return all clips of a folder with `rgb/` and `skeletons/`, by name, also incomplete ones.

    Files without an NTU clip's name are skipped with a warning.

    Raises:
        ValueError: the folder holds neither.
    """
    videos = list_videos(ntu)
    skeletons = {
        file.stem: file for folder in skeleton_folders(ntu) for file in folder.glob("*.skeleton") if file.is_file()
    }
    names = sorted({*videos, *skeletons})
    clips = [name for name in names if is_clip_name(name)]
    strange = sorted(set(names) - set(clips))
    if not clips:
        raise ValueError(
            f"{ntu}: found no NTU clips; expected rgb/SsssCcccPpppRrrrAaaa_rgb.avi and skeletons/*.skeleton"
        )
    if strange:
        logger.warning("%s: skipped %d files without an NTU clip's name, such as %s", ntu, len(strange), strange[0])
    return {name: ClipFiles(videos.get(name), skeletons.get(name)) for name in clips}


def is_clip_name(name: str) -> bool:
    """Return whether a name is SsssCcccPpppRrrrAaaa with a valid action."""
    try:
        return 1 <= parse_name(name).action <= len(ACTION_PHRASES)
    except ValueError:
        return False


def skeleton_reader(sources: Mapping[str, ClipFiles], *, prepared: Path | None) -> JointReader:
    """Return a reader of joints from the prepared set, if given, else from the `.skeleton` files.

    The reader raises `Rejected` for a clip without usable joints, and `Failed` for one that is not prepared yet.

    Raises:
        ValueError: the prepared set is not of NTU's 25 joints.
    """
    if prepared is None:
        return JointReader(lambda name: _from_file(sources[name]), "files")
    from ski_lvlm.skeletons.packed import PackedSkeletons

    packed = PackedSkeletons.open(prepared)
    if packed.layout.name != "ntu-25":
        raise ValueError(f"{prepared}: the joint layout is {packed.layout.name}, but motion is measured on ntu-25")

    def joints(name: str) -> Float[np.ndarray, "T M J 3"]:
        if name not in packed:
            raise Failed(f"not in the prepared set {prepared}; run scripts/prepare_ntu.py again")
        return packed.get(name)

    return JointReader(joints, digest(packed.cleaning, remembered_digest(prepared / "joints.npy")))


def _from_file(source: ClipFiles) -> Float[np.ndarray, "T M J 3"]:
    if source.skeleton is None:
        raise Rejected("there is no skeleton to measure motion on")
    try:
        return clean(read_skeleton(source.skeleton, joints_only=True)).joints
    except (SkeletonFileError, CleaningError) as error:
        raise Rejected(str(error)) from error


class MotionText(NamedTuple):
    """A description of a clip's measured motion by its name. `version` identifies the source of the joints."""

    describe: Callable[[str], str]
    version: str


def motion_text(joints: JointReader) -> MotionText:
    """Return a description of motion in a sentence or two, empty for clips without joints."""

    def describe(name: str) -> str:
        try:
            return measured_sentences(name, joints=joints.read(name))
        except (Rejected, Failed):
            return ""

    return MotionText(describe, joints.version)
