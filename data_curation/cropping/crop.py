"""Cut the acting persons out of a video and write them as a small, silent H.264 video of their own.

Paper: App. D ("for each video we first crop out the person(s) performing the action").
Assumption: one rectangle for the whole clip, brought to 224x224 with its aspect kept and black padding, as LLAVIDAL
does.
"""

import errno
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import chain, count, repeat
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from data_curation.cropping.boxes import KINECT, Boxes, CropError, static_box, tracking_boxes
from data_curation.cropping.crop_settings import CropSettings
from ski_lvlm.storage.files import atomic_path
from ski_lvlm.videos.decoding import Box
from ski_lvlm.videos.packets import open_video, timeline, whole_frames
from ski_lvlm.videos.picture import Picture, filter_graph, shown_picture, standard_range
from ski_lvlm.videos.timeline import Timeline

if TYPE_CHECKING:
    from av.filter import Graph
    from av.filter.context import FilterContext
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

__all__ = ["CropError", "CropResult", "CropSettings", "Fit", "fit", "write_crop"]

_TICKS = 90_000  # a second, as in MPEG
_CANNOT_WRITE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES}
# A constant quantiser with "ultrafast" is as near to the source as "veryfast" at crf 18 and takes a third of its time;
# one thread gives the same bytes each time.
_X264 = {"preset": "ultrafast", "qp": "18", "threads": "1"}


class CropResult(NamedTuple):
    """The rectangle that was cut out (of the first frame, where it moves) and how many frames were written.

    The rectangle is in the pixels of the video as a player shows it.
    """

    box: Box
    frames: int


class Fit(NamedTuple):
    """A scaled picture inside a square: its size, and how much black lies left of it and above."""

    width: int
    height: int
    left: int
    top: int


def fit(box: Box, *, width: int, height: int, size: int) -> Fit:
    """How a box in a video of this size fills a black square with the persons' own aspect; all numbers even.

    A video that was squeezed when it was made smaller (1920x1080 to 340x256, as labs do) is unsqueezed. One that is
    higher than wide comes from no Kinect and keeps its aspect.

    >>> fit(Box(0, 0, 100, 400), width=1920, height=1080, size=224)
    Fit(width=56, height=224, left=84, top=0)
    """
    scale = (KINECT[0] / width, KINECT[1] / height) if width >= height else (1.0, 1.0)
    sides = ((box.right - box.left) * scale[0], (box.bottom - box.top) * scale[1])
    across, down = (max(2, 2 * round(side * size / max(sides) / 2)) for side in sides)
    return Fit(across, down, (size - across) // 4 * 2, (size - down) // 4 * 2)


def write_crop(source: Path, target: Path, *, boxes: Boxes, settings: CropSettings) -> CropResult:
    """Write the crop of `source` as H.264, without sound, atomically, the same bytes each time.

    Where the video is longer than the boxes, the last window stays. Cutting, scaling, padding and the change of frame
    rate happen inside FFmpeg's filters, in the video's own colour space and frame by frame.

    Raises:
        CropError: nobody is in the picture.
        VideoError: the video is empty, cut off or unreadable, or has no pictures.
        OSError: the crop cannot be written, as on a full disk.
    """
    shown = timeline(source)
    with open_video(source) as (container, stream), atomic_path(target) as temporary:
        frames = whole_frames(container, stream, source)
        first = next(frames)
        picture = shown_picture(first, stream)
        windows = _windows(boxes, settings, width=picture.width, height=picture.height)
        pace = _pace(shown, stream, settings)
        graph, window = _filters(first, picture, windows[0], settings, pace)
        cut = _cut(chain([first], frames), graph, window, windows, pace)
        written = _encode(cut, temporary, rate=_rate(stream, settings), pace=pace)
    return CropResult(windows[0], written)


class _Pace(NamedTuple):
    """When frames are shown and for how long, in units of seconds, and whether they keep these times in the crop."""

    unit: Fraction
    times: Iterable[tuple[int, int]]
    is_kept: bool


def _pace(shown: Timeline, stream: "VideoStream", settings: CropSettings) -> _Pace:
    """Frames of constant rate are counted anew, since an .avi has its time stamps in the order of decoding."""
    if shown.starts is None:
        return _Pace(1 / (stream.average_rate or Fraction(30)), zip(count(), repeat(1)), is_kept=False)
    edges = np.rint(np.append(shown.starts, shown.seconds) * _TICKS).astype(int)
    times = zip(edges[:-1].tolist(), np.diff(edges).tolist(), strict=True)
    return _Pace(Fraction(1, _TICKS), times, is_kept=settings.fps is None)


def _windows(boxes: Boxes, settings: CropSettings, *, width: int, height: int) -> Sequence[Box]:
    if settings.mode == "static":
        return [static_box(boxes, width=width, height=height, slack=settings.slack)]
    return tracking_boxes(boxes, width=width, height=height, slack=settings.slack)


def _rate(stream: "VideoStream", settings: CropSettings) -> Fraction:
    if settings.fps is None:
        return stream.average_rate or Fraction(30)
    return Fraction(settings.fps).limit_denominator(1001)


def _cut(
    frames: "Iterable[VideoFrame]", graph: "Graph", crop: "FilterContext", windows: Sequence[Box], pace: _Pace
) -> "Iterator[VideoFrame]":
    """The frames as they will be encoded, each cut to its window; the last window stays."""
    at = windows[0]
    for (start, duration), frame, window in zip(pace.times, frames, chain(windows, repeat(windows[-1]))):
        if window != at:
            crop.process_command("x", str(window.left))
            crop.process_command("y", str(window.top))
            at = window
        frame.pts, frame.duration = start, duration
        graph.vpush(frame)
        yield from _ready(graph)
    graph.vpush(None)
    yield from _ready(graph)


def _ready(graph: "Graph") -> "Iterator[VideoFrame]":
    import av

    try:
        while True:
            yield graph.vpull()
    except (av.error.BlockingIOError, av.error.EOFError):  # the next frame has not gone in yet, or there is none
        return


def _filters(
    first: "VideoFrame", picture: Picture, box: Box, settings: CropSettings, pace: _Pace
) -> "tuple[Graph, FilterContext]":
    """The chain of FFmpeg's filters, and the one of them that can be moved."""
    inside = fit(box, width=picture.width, height=picture.height, size=settings.size)
    steps = [*picture.steps, ("crop", f"{box.right - box.left}:{box.bottom - box.top}:{box.left}:{box.top}")]
    if settings.fps is not None:
        steps.append(("fps", f"{Fraction(settings.fps).limit_denominator(1001)}"))
    steps += [("scale", f"{inside.width}:{inside.height}:flags=area"), *standard_range(first)]
    if settings.shape == "pad":
        steps.append(("pad", f"{settings.size}:{settings.size}:{inside.left}:{inside.top}:black"))
    graph, filters = filter_graph(first, steps, pixel_format="yuv420p", time_base=pace.unit)
    return graph, filters[1 + len(picture.steps)]


def _encode(frames: "Iterable[VideoFrame]", target: Path, *, rate: Fraction, pace: _Pace) -> int:
    """Write the frames; returns how many."""
    import av
    from av.video.frame import PictureType

    written = 0
    try:
        with av.open(str(target), "w") as out:
            video = out.add_stream("libx264", rate=rate, options=_X264)
            video.pix_fmt = "yuv420p"
            if pace.is_kept:
                video.codec_context.time_base = pace.unit
            for written, frame in enumerate(frames, start=1):
                if written == 1:
                    video.width, video.height = frame.width, frame.height
                frame.pts = frame.pts if pace.is_kept else None
                frame.pict_type = PictureType.NONE  # the source's key frames are not ours
                out.mux(video.encode(frame))
            out.mux(video.encode())
    except av.FFmpegError as error:
        if error.errno in _CANNOT_WRITE:
            raise OSError(error.errno, f"cannot write: {error.strerror}", str(target)) from error
        raise
    return written
