"""The clips of an NTU folder: which files each has, and how its joints are read."""

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


class Joints(NamedTuple):
    """Reads a clip's joints by its name; `version` tells other sources of joints apart."""

    read: Callable[[str], Float[np.ndarray, "T M J 3"]]
    version: str


logger = logging.getLogger(__name__)


class Source(NamedTuple):
    """Where a clip's files are; None where one is absent."""

    video: Path | None
    skeleton: Path | None


def find_clips(ntu: Path) -> dict[str, Source]:
    """All clips of a folder that holds `rgb/` and `skeletons/`, by name, also those with only one of the two files.

    Files that are not named like NTU's clips are left out with a warning.

    Raises:
        ValueError: the folder holds neither.
    """
    videos = list_videos(ntu)
    skeletons = {
        file.stem: file for where in skeleton_folders(ntu) for file in where.glob("*.skeleton") if file.is_file()
    }
    names = sorted({*videos, *skeletons})
    clips = [name for name in names if is_clip_name(name)]
    strange = sorted(set(names) - set(clips))
    if not clips:
        raise ValueError(
            f"{ntu}: found no NTU clips; expected rgb/SsssCcccPpppRrrrAaaa_rgb.avi and skeletons/*.skeleton"
        )
    if strange:
        logger.warning("%s: left out %d files without an NTU clip's name, such as %s", ntu, len(strange), strange[0])
    return {name: Source(videos.get(name), skeletons.get(name)) for name in clips}


def is_clip_name(name: str) -> bool:
    """Whether a name is SsssCcccPpppRrrrAaaa, of an action that exists."""
    try:
        return 1 <= parse_name(name).action <= len(ACTION_PHRASES)
    except ValueError:
        return False


def skeleton_reader(sources: Mapping[str, Source], *, prepared: Path | None) -> Joints:
    """How a clip's joints are got: from the prepared set where given, else from the `.skeleton` file.

    The reader raises `Rejected` for a clip without usable joints, `Failed` for one that is yet to be prepared.

    Raises:
        ValueError: the prepared set is not of NTU's 25 joints.
    """
    if prepared is None:
        return Joints(lambda name: _from_file(sources[name]), "files")
    from ski_lvlm.skeletons.packed import PackedSkeletons

    packed = PackedSkeletons.open(prepared)
    if packed.layout.name != "ntu-25":
        raise ValueError(f"{prepared}: the joint layout is {packed.layout.name}, but motion is measured on ntu-25")

    def joints(name: str) -> Float[np.ndarray, "T M J 3"]:
        if name not in packed:
            raise Failed(f"not in the prepared set {prepared}; run scripts/prepare_ntu.py again")
        return packed.get(name)

    return Joints(joints, digest(packed.cleaning, remembered_digest(prepared / "joints.npy")))


def _from_file(source: Source) -> Float[np.ndarray, "T M J 3"]:
    if source.skeleton is None:
        raise Rejected("there is no skeleton to measure motion on")
    try:
        return clean(read_skeleton(source.skeleton, joints_only=True)).joints
    except (SkeletonFileError, CleaningError) as error:
        raise Rejected(str(error)) from error


class Motion(NamedTuple):
    """Tells a clip's measured motion by its name; `version` tells other sources of joints apart."""

    tell: Callable[[str], str]
    version: str


def motion_teller(joints: Joints) -> Motion:
    """Says in a sentence or two what the joints of a clip did; nothing where it has none."""

    def tell(name: str) -> str:
        try:
            return measured_sentences(name, joints=joints.read(name))
        except (Rejected, Failed):
            return ""

    return Motion(tell, joints.version)
