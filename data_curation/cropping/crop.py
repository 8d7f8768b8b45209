"""Crop the acting persons from a video to a small, silent H.264 video.

Paper: App. D ("for each video we first crop out the person(s) performing the action").
Assumption: one rectangle for the whole clip, scaled to 224x224 with its aspect and black padding, as in LLAVIDAL.
"""

import errno
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import chain, count, islice, repeat
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from data_curation.cropping.boxes import KINECT, Boxes, CropError, static_box, tracking_boxes
from data_curation.cropping.crop_settings import CropSettings
from ski_lvlm.storage.files import atomic_path
from ski_lvlm.videos.decoding import Box
from ski_lvlm.videos.folder import VideoError
from ski_lvlm.videos.packets import clip_timeline, open_video, whole_frames
from ski_lvlm.videos.picture import Picture, filter_graph, shown_picture, standard_range
from ski_lvlm.videos.timeline import Span, Timeline

if TYPE_CHECKING:
    from av.filter import Graph
    from av.filter.context import FilterContext
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

__all__ = ["CropError", "CropResult", "CropSettings", "Fit", "fit", "write_crop"]

_TICKS = 90_000  # a second, as in MPEG
_CANNOT_WRITE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES}
# A constant quantiser with "ultrafast" is as close to the source as "veryfast" at crf 18, in a third of the time. One
# thread gives the same bytes each time.
_X264 = {"preset": "ultrafast", "qp": "18", "threads": "1"}


class CropResult(NamedTuple):
    """The cropped rectangle (of the first frame, if it moves) and the number of frames.

    The rectangle is in the pixels of the video as a player shows it.
    """

    box: Box
    frames: int


class Fit(NamedTuple):
    """A scaled picture inside a square: its size, and the black margins left of it and above."""

    width: int
    height: int
    left: int
    top: int


def fit(box: Box, *, width: int, height: int, size: int, is_kinect: bool) -> Fit:
    """Fit a box in a video of this size into a black square with the persons' true aspect.

    All numbers are even.

    The aspect of a resized video of the Kinect (such as 1920x1080 to 340x256) is restored. An upright video comes from
    another camera. Videos of other cameras keep their aspect.

    >>> fit(Box(0, 0, 100, 400), width=1920, height=1080, size=224, is_kinect=True)
    Fit(width=56, height=224, left=84, top=0)
    """
    scale = (KINECT[0] / width, KINECT[1] / height) if is_kinect and width >= height else (1.0, 1.0)
    sides = ((box.right - box.left) * scale[0], (box.bottom - box.top) * scale[1])
    across, down = (max(2, 2 * round(side * size / max(sides) / 2)) for side in sides)
    return Fit(across, down, (size - across) // 4 * 2, (size - down) // 4 * 2)


def write_crop(
    source: Path,
    target: Path,
    *,
    boxes: Boxes,
    settings: CropSettings,
    is_kinect: bool = False,
    span: Span | None = None,
) -> CropResult:
    """Write the crop of `source`, or of a `span` of it, as silent H.264, atomically.

    The same clip gives the same bytes. With `is_kinect`, the aspect of a resized video is restored.

    If the video is longer than the boxes, the last window stays. FFmpeg's filters crop, scale, pad and change the frame
    rate, in the video's own colour space and frame by frame.

    Raises:
        CropError: the picture shows no person.
        VideoError: the video is empty, incomplete or unreadable.
        OSError: the crop cannot be written, as on a full disk.
    """
    number, video_times = clip_timeline(source, span)
    with open_video(source) as (container, stream), atomic_path(target) as temporary:
        frames = whole_frames(container, stream, source)
        if span is not None:
            frames = islice(frames, number, number + video_times.total)
        first = next(frames, None)
        if first is None:
            raise VideoError(f"{source}: ends before frame {number}, where the clip begins; copy it again")
        picture = shown_picture(first, stream)
        windows = _windows(boxes, settings, width=picture.width, height=picture.height)
        times = _frame_times(video_times, stream, settings)
        inside = fit(windows[0], width=picture.width, height=picture.height, size=settings.size, is_kinect=is_kinect)
        graph, window = _filters(first, picture, windows[0], inside, settings, times)
        cut = _cut(chain([first], frames), graph, window, windows, times)
        num_frames = _encode(cut, temporary, rate=_rate(stream, settings), times=times)
    return CropResult(windows[0], num_frames)


class _FrameTimes(NamedTuple):
    """Start and duration of frames in units of a second, and whether the crop keeps them."""

    unit: Fraction
    intervals: Iterable[tuple[int, int]]
    is_kept: bool


def _frame_times(video_times: Timeline, stream: "VideoStream", settings: CropSettings) -> _FrameTimes:
    if video_times.starts is None:  # constant rate: counted, because an .avi has its time stamps in decoding order
        return _FrameTimes(1 / (stream.average_rate or Fraction(30)), zip(count(), repeat(1)), is_kept=False)
    edges = np.rint(np.append(video_times.starts, video_times.seconds) * _TICKS).astype(int)
    intervals = zip(edges[:-1].tolist(), np.diff(edges).tolist(), strict=True)
    return _FrameTimes(Fraction(1, _TICKS), intervals, is_kept=settings.fps is None)


def _windows(boxes: Boxes, settings: CropSettings, *, width: int, height: int) -> Sequence[Box]:
    if settings.mode == "static":
        return [static_box(boxes, width=width, height=height, slack=settings.slack)]
    return tracking_boxes(boxes, width=width, height=height, slack=settings.slack)


def _rate(stream: "VideoStream", settings: CropSettings) -> Fraction:
    if settings.fps is None:
        return stream.average_rate or Fraction(30)
    return Fraction(settings.fps).limit_denominator(1001)


def _cut(
    frames: "Iterable[VideoFrame]", graph: "Graph", crop: "FilterContext", windows: Sequence[Box], times: _FrameTimes
) -> "Iterator[VideoFrame]":
    """Yield the filtered frames, each cropped to its window. The last window stays."""
    current = windows[0]
    for (start, duration), frame, window in zip(times.intervals, frames, chain(windows, repeat(windows[-1]))):
        if window != current:
            crop.process_command("x", str(window.left))
            crop.process_command("y", str(window.top))
            current = window
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
    except (av.error.BlockingIOError, av.error.EOFError):  # the filters need the next frame, or there is none
        return


def _filters(
    first: "VideoFrame", picture: Picture, box: Box, inside: Fit, settings: CropSettings, times: _FrameTimes
) -> "tuple[Graph, FilterContext]":
    """Return the chain of FFmpeg's filters, and the crop filter, whose window can move."""
    steps = [*picture.steps, ("crop", f"{box.right - box.left}:{box.bottom - box.top}:{box.left}:{box.top}")]
    if settings.fps is not None:
        steps.append(("fps", f"{Fraction(settings.fps).limit_denominator(1001)}"))
    steps += [("scale", f"{inside.width}:{inside.height}:flags=area"), *standard_range(first)]
    if settings.shape == "pad":
        steps.append(("pad", f"{settings.size}:{settings.size}:{inside.left}:{inside.top}:black"))
    graph, filters = filter_graph(first, steps, pixel_format="yuv420p", time_base=times.unit)
    return graph, filters[1 + len(picture.steps)]


def _encode(frames: "Iterable[VideoFrame]", target: Path, *, rate: Fraction, times: _FrameTimes) -> int:
    """Encode the frames, and return their number."""
    import av
    from av.video.frame import PictureType

    number = 0
    try:
        with av.open(str(target), "w") as out:
            video = out.add_stream("libx264", rate=rate, options=_X264)
            video.pix_fmt = "yuv420p"
            if times.is_kept:
                video.codec_context.time_base = times.unit
            for number, frame in enumerate(frames, start=1):
                if number == 1:
                    video.width, video.height = frame.width, frame.height
                frame.pts = frame.pts if times.is_kept else None
                frame.pict_type = PictureType.NONE  # the encoder chooses its own key frames
                out.mux(video.encode(frame))
            out.mux(video.encode())
    except av.FFmpegError as error:
        if error.errno in _CANNOT_WRITE:
            raise OSError(error.errno, f"cannot write: {error.strerror}", str(target)) from error
        raise
    return number
