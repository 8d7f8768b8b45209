"""Readers of the joints on which motion is measured, from packed skeletons or from NTU's own files."""

from collections.abc import Callable, Container, Mapping
from pathlib import Path
from typing import NamedTuple

from data_curation.captioning.key_joints import KeyJoints, key_joints
from data_curation.captioning.kinematics import measured_sentences
from data_curation.ledger import Failed, Rejected
from data_curation.sources import SourceClip
from ski_lvlm.datasets.catalogue import DataSet
from ski_lvlm.skeletons.cleaning import CleaningError, clean
from ski_lvlm.skeletons.layouts import layout_named
from ski_lvlm.skeletons.ntu_file import SkeletonFileError, read_skeleton
from ski_lvlm.skeletons.packed import PackedSkeletons
from ski_lvlm.storage.digests import digest, remembered_digest


class JointReader(NamedTuple):
    """A reader of a clip's key joints by its name, None where there are none to measure.

    `version` identifies the source of the joints. `packed` are the clips with a skeleton in a packed set.
    """

    read: Callable[[str], KeyJoints | None]
    version: str
    packed: Container[str] = frozenset()


def joint_reader(sources: Mapping[str, SourceClip], *, data: DataSet, prepared: Path | None) -> JointReader:
    """Return a reader of the packed set in `prepared` or in the data set's folder, else of the `.skeleton` files.

    Where a table lists the clips, a clip may have no skeleton. Otherwise every clip should: the reader raises
    `Rejected` for one without usable joints, and `Failed` for one that is not prepared yet.

    Raises:
        ValueError: `prepared` holds no packed set.
    """
    if prepared is None and data.folder and (data.folder / "index.json").is_file():
        prepared = data.folder
    if prepared is not None:
        return _packed_reader(PackedSkeletons.open(prepared), is_complete=data.table is None)

    def read(name: str) -> KeyJoints | None:
        skeleton = sources[name].skeleton
        if skeleton is None and data.table is None:
            raise Rejected("there is no skeleton to measure motion on")
        return None if skeleton is None else _from_file(skeleton)

    return JointReader(read, "files")


def _packed_reader(packed: PackedSkeletons, *, is_complete: bool) -> JointReader:
    def read(name: str) -> KeyJoints | None:
        if name in packed:
            return key_joints(packed.get(name), layout=packed.layout)
        if is_complete:
            raise Failed(f"not in the prepared set {packed.folder}; run scripts/prepare_ntu.py again")
        return None

    return JointReader(read, digest(packed.cleaning, remembered_digest(packed.folder / "joints.npy")), packed)


def _from_file(skeleton: Path) -> KeyJoints | None:
    try:
        joints = clean(read_skeleton(skeleton, joints_only=True)).joints
    except (SkeletonFileError, CleaningError) as error:
        raise Rejected(str(error)) from error
    return key_joints(joints, layout=layout_named("ntu-25"))


class MotionText(NamedTuple):
    """A description of a clip's measured motion by its name. `version` identifies the source of the joints."""

    describe: Callable[[str], str]
    version: str


def motion_text(joints: JointReader) -> MotionText:
    """Return a description of motion in a sentence or two, empty for clips without joints."""

    def describe(name: str) -> str:
        try:
            body = joints.read(name)
            return "" if body is None else measured_sentences(name, joints=body)
        except (Rejected, Failed):
            return ""

    return MotionText(describe, joints.version)
