"""The clips of a data set: class, video and skeleton file of each."""

import logging
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from ski_lvlm.datasets.action_classes import ActionClass
from ski_lvlm.datasets.catalogue import DataSet
from ski_lvlm.datasets.clip_files import video_clips
from ski_lvlm.datasets.clip_groups import recognised
from ski_lvlm.datasets.clip_table import ClipTable
from ski_lvlm.datasets.ntu_folder import skeleton_folders
from ski_lvlm.videos.folder import VideoClip, list_videos

logger = logging.getLogger(__name__)
SKELETON = ".skeleton"  # NTU's files, the only ones with the joints' places in the picture


class SourceClip(NamedTuple):
    """The class of a clip and its files, with None for a missing one.

    `is_kinect` says that the video is of NTU's camera, perhaps at another size and aspect. `facts` are those on
    which a crop depends beside its files. `remark` is on an absent skeleton.
    """

    action: ActionClass
    video: VideoClip | None
    skeleton: Path | None
    is_kinect: bool
    facts: tuple[object, ...] = ()
    remark: str = ""


def find_clips(data: DataSet, folder: Path | None = None) -> dict[str, SourceClip]:
    """Return all clips by name, also incomplete ones.

    Without a table they are the files in `folder` (by default the data set's own) with a clip's name, in `rgb/` and
    `skeletons/`. Files of other names are skipped with a warning.

    Raises:
        ValueError: the folder holds none, the table names a file that is not there, or a clip's name leads elsewhere.
        VideoError: no clip of the table has a video.
    """
    if data.table is None:
        videos, skeletons = _files(data, folder)
    else:
        videos, skeletons = video_clips(data, folder), _listed_skeletons(data.table, data.folder or Path())
    names = sorted({*videos, *skeletons} if data.table is None else data.table.names)
    classes = recognised(data, names)
    _check_names(data, names, classes)
    actions = {name: data.action(name) for name in set(classes.values())}
    remark = f" ({data.name} lists this clip among those without)"

    def source(name: str, action: ActionClass) -> SourceClip:
        video = videos.get(name)
        is_known_without = name in data.description.without_skeleton
        is_kinect = data.table is None or name in skeletons
        facts: tuple[object, ...] = (video and video.span, action.persons) if data.table is not None else ()
        facts += () if is_kinect else ("the video's own aspect",)
        return SourceClip(action, video, skeletons.get(name), is_kinect, facts, remark if is_known_without else "")

    return {name: source(name, actions[class_name]) for name, class_name in classes.items()}


def _files(data: DataSet, folder: Path | None) -> tuple[dict[str, VideoClip], dict[str, Path]]:
    root = folder or data.folder
    if root is None:
        raise ValueError(f"the data set {data.name} has no folder of its own; give --ntu DIR, with its rgb/")
    videos = {name: VideoClip(path) for name, path in list_videos(root).items()}
    files = (file for place in skeleton_folders(root) for file in place.glob(f"*{SKELETON}") if file.is_file())
    skeletons = {file.stem: file for file in files}
    if not recognised(data, [*videos, *skeletons]):
        example = data.description.clip_example or "NAME"
        raise ValueError(
            f"{root}: found no clips of {data.name}; expected rgb/{example}_rgb.avi and skeletons/{example}{SKELETON}"
        )
    return videos, skeletons


def _listed_skeletons(table: ClipTable, root: Path) -> dict[str, Path]:
    """Return the skeleton files with places in the picture that the rows name."""
    if "skeleton" not in table.columns:
        return {}
    rows = enumerate(zip(table.names, table.column("skeleton").to_pylist(), strict=True))
    listed = {row: (clip, root / file) for row, (clip, file) in rows if file and file.endswith(SKELETON)}
    for row, (_, path) in listed.items():
        if not path.is_file():
            raise ValueError(f"{table.file}: line {row + 2} names the skeleton {path}, which is not there; correct it")
    return dict(listed.values())


def _check_names(data: DataSet, names: Iterable[str], classes: dict[str, str]) -> None:
    if data.table is None:
        if strange := [name for name in names if name not in classes]:
            logger.warning("skipped %d files that are no clips of %s, such as %s", len(strange), data.name, strange[0])
        return
    for name in names:  # crops are written under the clips' names
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts:
            raise ValueError(f"{data.table.file}: the clip {name!r} would lie outside of a folder; rename it")
