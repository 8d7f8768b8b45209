"""The files of a data set's clips: packed skeletons, videos, and which stretch of a recording a clip is."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from jaxtyping import UInt8
from torch import Tensor

from ski_lvlm.datasets.catalogue import DataSet
from ski_lvlm.datasets.clip_table import ClipTable
from ski_lvlm.datasets.joined import MARK
from ski_lvlm.skeletons.joined import JoinedSkeletons
from ski_lvlm.skeletons.packed import PackedSkeletons
from ski_lvlm.storage.clip_names import ClipIndex
from ski_lvlm.videos.decoding import read_clip, read_listed_clip
from ski_lvlm.videos.folder import VideoClip, VideoError, VideoFolder, check_has_videos, list_videos
from ski_lvlm.videos.timeline import Span


def open_skeletons(prepared: Path | str | None, data: DataSet) -> PackedSkeletons:
    """Open the packed skeletons in `prepared`, by default those in the data set's folder.

    Raises:
        ValueError: there are none.
    """
    if len(data.sources) > 1:
        return JoinedSkeletons(
            {f"{s.name}{MARK}": open_skeletons(None if s.folder else prepared, s) for s in data.sources}
        )
    if not prepared and data.folder is None:
        raise ValueError(
            "give --prepared DIR, the output of scripts/prepare_ntu.py, or --data DIR with packed skeletons"
        )
    return PackedSkeletons.open(Path(prepared) if prepared else Path(str(data.folder)))


def video_clips(data: DataSet, folder: Path | None = None) -> dict[str, VideoClip]:
    """Return the video of each clip that has one, sorted by name.

    Args:
        data: whose table may name the files in a column `video`, relative to the folder. Otherwise a file is called as
            its clip.
        folder: with the videos, by default the data set's own. Of several, it is that of built-in ones.

    Raises:
        VideoError: there is no folder, no video, the table names a file that does not exist, or `folder` is given and
            the table names absolute paths.
    """
    if len(data.sources) > 1:
        by_source = {s.name: video_clips(s, None if s.folder else folder) for s in data.sources}
        return {f"{name}{MARK}{clip}": video for name, clips in by_source.items() for clip, video in clips.items()}
    root = folder or data.folder
    if root is None:
        raise VideoError(f"the data set {data.name} has no folder of its own; give --ntu DIR, the folder of its videos")
    if data.table is not None and "video" in data.table.columns:
        _check_is_relative(data.table, folder)
        return dict(sorted(_listed(data.table, root)))
    files = list_videos(root)
    check_has_videos(root, files, flag="the folder")
    if data.table is None:
        return {name: VideoClip(path) for name, path in files.items()}
    by_clip, spans = ClipIndex(files).find_all(data.table.names), _spans(data.table)
    clips = {clip: VideoClip(files[file], spans.get(clip)) for clip, file in by_clip.items()}
    if not clips:
        raise VideoError(
            f"{root}: none of its {len(files)} videos is called as a clip of {data.name}, such as "
            f"{data.table.names[0]!r}; name them so, or write the files into a column video of {data.table.file}"
        )
    return dict(sorted(clips.items()))


def stretches_of(data: DataSet, clips: Mapping[str, VideoClip]) -> str | None:
    """Return the name of the data set if some of its clips are stretches of videos, else None."""
    return data.name if any(clip.span for clip in clips.values()) else None


def clip_reader(
    videos: Mapping[str, VideoClip] | VideoFolder, *, num_frames: int, side: int, framing: str
) -> Callable[[str], UInt8[Tensor, "T_v 3 H W"]]:
    """Return a reader of frames by a clip's name, from a data set's `video_clips` or a folder of videos.

    It raises VideoError for a clip that has no video, or one that cannot be read.
    """
    if isinstance(videos, Mapping):
        return partial(read_listed_clip, clips=videos, num_frames=num_frames, side=side, framing=framing)
    return partial(read_clip, videos=videos, num_frames=num_frames, side=side, framing=framing)


def _check_is_relative(table: ClipTable, folder: Path | None) -> None:
    absolute = (file for file in table.column("video").to_pylist() if file and Path(file).is_absolute())
    if folder and (file := next(absolute, None)):
        raise VideoError(
            f"{table.file} names the video {file}, wherever the folder is, so {folder} would not be read; expected "
            "paths relative to the folder, or no folder (--ntu)"
        )


def _listed(table: ClipTable, root: Path) -> Iterator[tuple[str, VideoClip]]:
    """Yield the clips whose rows name a video."""
    spans, is_file = _spans(table), dict[Path, bool]()
    for row, (clip, file) in enumerate(zip(table.names, table.column("video").to_pylist(), strict=True)):
        if not file:
            continue
        path = root / file
        if not is_file.setdefault(path, path.is_file()):
            raise VideoError(
                f"{table.file}: line {row + 2} names the video {file!r}, but {path} is not there; correct the line, or "
                "leave its video empty"
            )
        yield clip, VideoClip(path, spans.get(clip))


def _spans(table: ClipTable) -> dict[str, Span]:
    """Return the stretches of recordings by clip. A clip without a start and end is a whole recording."""
    spans: dict[str, Span] = {}
    for unit, start, end in (("seconds", "start", "end"), ("frames", "start_frame", "end_frame")):
        if {start, end} <= set(table.columns):
            bounds = zip(table.names, table.column(start).to_pylist(), table.column(end).to_pylist(), strict=True)
            spans |= {clip: Span(a, b, unit) for clip, a, b in bounds if a is not None and b is not None}  # type: ignore[arg-type]
    return spans
