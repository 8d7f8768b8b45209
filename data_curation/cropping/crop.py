"""Cut the acting persons out of a video and write them as a small, silent H.264 video of their own.

Paper: App. D ("for each video we first crop out the person(s) performing the action").
Assumption: one rectangle for the whole clip, brought to 224x224 with its aspect kept and black padding, as LLAVIDAL
does.
"""

import errno
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import chain, repeat
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from data_curation.cropping.boxes import KINECT, Boxes, CropError, static_box, tracking_boxes
from data_curation.cropping.crop_settings import CropSettings
from ski_lvlm.files import atomic_path
from ski_lvlm.video import Box, VideoError

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.filter import Graph
    from av.filter.context import FilterContext
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

__all__ = ["CropError", "CropResult", "CropSettings", "Fit", "fit", "write_crop"]

COMPLETE = 0.9  # share of the announced frames that must decode
_CANNOT_WRITE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES}
# A constant quantiser with "ultrafast" is as near to the source as "veryfast" at crf 18 and takes a third of its time;
# one thread gives the same bytes each time.
_X264 = {"preset": "ultrafast", "qp": "18", "threads": "1"}


class CropResult(NamedTuple):
    """The rectangle that was cut out (of the first frame, where it moves) and how many frames were written."""

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

    A video that was squeezed when it was made smaller (1920x1080 to 340x256, as labs do) is unsqueezed.

    >>> fit(Box(0, 0, 100, 400), width=1920, height=1080, size=224)
    Fit(width=56, height=224, left=84, top=0)
    """
    sides = ((box.right - box.left) * KINECT[0] / width, (box.bottom - box.top) * KINECT[1] / height)
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
    import av

    try:
        with av.open(str(source)) as container, atomic_path(target) as temporary:
            stream = _pictures(container, source)
            windows = _windows(boxes, settings, width=stream.width, height=stream.height)
            frames = _whole(container.decode(stream), expected=_announced(container, stream), source=source)
            written = _encode(_cut(frames, stream, windows, settings), temporary, rate=_rate(stream, settings))
    except av.FFmpegError as error:
        if error.errno in _CANNOT_WRITE:
            raise OSError(error.errno, f"cannot write: {error.strerror}", str(target)) from error
        raise VideoError(f"{source}: cannot be decoded ({error.strerror}); copy it again") from error
    return CropResult(windows[0], written)


def _pictures(container: "InputContainer", source: Path) -> "VideoStream":
    if not container.streams.video:
        raise VideoError(f"{source}: holds no video stream (audio only?); give the RGB video of the clip")
    stream = container.streams.video[0]
    if not stream.format:  # cut off before its first picture
        raise VideoError(f"{source}: cut off before its first frame; copy it again")
    stream.codec_context.thread_count = 1  # clips are many: one thread each beats many for one
    return stream


def _windows(boxes: Boxes, settings: CropSettings, *, width: int, height: int) -> Sequence[Box]:
    if settings.mode == "static":
        return [static_box(boxes, width=width, height=height, slack=settings.slack)]
    return tracking_boxes(boxes, width=width, height=height, slack=settings.slack)


def _announced(container: "InputContainer", stream: "VideoStream") -> float:
    """How many frames the file should have; Matroska and WebM say only how long they last."""
    import av

    return stream.frames or (container.duration or 0) / av.time_base * (stream.average_rate or 0)


def _rate(stream: "VideoStream", settings: CropSettings) -> Fraction:
    if settings.fps is None:
        return stream.average_rate or Fraction(30)
    return Fraction(settings.fps).limit_denominator(1001)


def _whole(frames: "Iterable[VideoFrame]", *, expected: float, source: Path) -> "Iterator[VideoFrame]":
    """Hand the frames on, and raise if they end long before they should."""
    count = 0
    for count, frame in enumerate(frames, start=1):  # noqa: B007
        yield frame
    if not count:
        raise VideoError(f"{source}: the video has no frames (zero length); copy or record it again")
    if count < COMPLETE * expected:
        raise VideoError(f"{source}: cut off, {count} of {expected:.0f} frames decode; copy it again")


def _cut(
    frames: "Iterable[VideoFrame]", stream: "VideoStream", windows: Sequence[Box], settings: CropSettings
) -> "Iterator[VideoFrame]":
    """The frames as they will be encoded, each cut to its window; the last window stays."""
    graph, crop = _filters(stream, windows[0], settings)
    at = windows[0]
    for number, (frame, window) in enumerate(zip(frames, chain(windows, repeat(windows[-1])))):
        if window != at:
            crop.process_command("x", str(window.left))
            crop.process_command("y", str(window.top))
            at = window
        # counted anew: an .avi has its time stamps in the order of decoding, others have units of their own
        frame.pts, frame.duration = number, 1
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


def _filters(stream: "VideoStream", box: Box, settings: CropSettings) -> "tuple[Graph, FilterContext]":
    """The chain of FFmpeg's filters, and the one of them that can be moved."""
    from av.filter import Graph

    inside = fit(box, width=stream.width, height=stream.height, size=settings.size)
    graph = Graph()
    graph.threads = 1
    source = graph.add_buffer(template=stream, time_base=1 / _rate(stream, CropSettings()))
    crop = graph.add("crop", f"{box.right - box.left}:{box.bottom - box.top}:{box.left}:{box.top}")
    nodes = [source, crop]
    if settings.fps is not None:
        nodes.append(graph.add("fps", f"{_rate(stream, settings)}"))
    nodes.append(graph.add("scale", f"{inside.width}:{inside.height}:flags=area"))
    if settings.shape == "pad":
        nodes.append(graph.add("pad", f"{settings.size}:{settings.size}:{inside.left}:{inside.top}:black"))
    graph.link_nodes(*nodes, graph.add("format", "yuv420p"), graph.add("buffersink")).configure()
    return graph, crop


def _encode(frames: "Iterable[VideoFrame]", target: Path, *, rate: Fraction) -> int:
    import av
    from av.video.frame import PictureType

    count = 0
    with av.open(str(target), "w") as out:
        video = out.add_stream("libx264", rate=rate, options=_X264)
        video.pix_fmt = "yuv420p"
        for count, frame in enumerate(frames, start=1):
            if count == 1:
                video.width, video.height = frame.width, frame.height
            frame.pts, frame.pict_type = None, PictureType.NONE  # the source's key frames are not ours
            out.mux(video.encode(frame))
        out.mux(video.encode())
    return count
