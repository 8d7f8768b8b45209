"""Decoding of selected frames of a video as a player shows them, cropped and scaled.

Decoding is sequential through PyAV, and FFmpeg's filter graph scales and crops. Only the selected frames are converted
to RGB. So a 1080p clip costs little more than its H.264 decoding, and memory is bounded by the selected frames.

Deviation: the published code uses decord. PyAV took less CPU time (benchmarks/extract_features.py), and decord 0.6
returns frames of the wrong group of pictures from H.264 `.avi` files with B-frames and more than one key frame.
"""

from collections.abc import Callable, Container, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from ski_lvlm.recipe import FRAMINGS
from ski_lvlm.videos.folder import VideoClip, VideoError, VideoFolder
from ski_lvlm.videos.packets import decoded_timeline, open_video, timeline, whole_frames
from ski_lvlm.videos.picture import Picture, Step, filter_graph, shown_picture, standard_range
from ski_lvlm.videos.timeline import Span, Timeline

if TYPE_CHECKING:
    from av.filter import Graph
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream


class VideoInfo(NamedTuple):
    """A video as a player shows it: size in pixels after turning, number of frames, and average frame rate."""

    width: int
    height: int
    num_frames: int
    fps: float


class Box(NamedTuple):
    """A rectangle in the pixels of the video as it is shown. Right and bottom are exclusive."""

    left: int
    top: int
    right: int
    bottom: int


def centre_square(info: VideoInfo) -> Box:
    """Return the largest centred square. Cropped to it and scaled, a video is as after CLIP's resize and centre crop.

    >>> centre_square(VideoInfo(width=1920, height=1080, num_frames=1, fps=30.0))
    Box(left=420, top=0, right=1500, bottom=1080)
    """
    side = min(info.width, info.height)
    left, top = (info.width - side) // 2, (info.height - side) // 2
    return Box(left, top, left + side, top + side)


def read_for_tower(
    path: Path | str, *, num_frames: int, side: int, framing: str = "whole", span: Span | None = None
) -> UInt8[Tensor, "T_v 3 H W"]:
    """Decode frames of a video, or of a `span` of it, for a vision tower, `side` pixels square.

    `framing` "whole" fits the whole frame into the square, so that nobody at the edge is lost. "centre" cuts out the
    middle first, as CLIP's own preprocessing does, which shows the person larger and undistorted.

    Assumption: "whole", as in Video-ChatGPT, on which the paper's LVLM is built.

    Raises:
        VideoError: the video cannot be read, or `framing` is neither.
    """
    return _read(Path(path), _within(span, _middle(num_frames)), (side, side), _square(framing))


def read_clip(
    name: str, *, videos: VideoFolder, num_frames: int, side: int, framing: str = "whole"
) -> UInt8[Tensor, "T_v 3 H W"]:
    """Decode the clip that a name means in a folder, as `read_for_tower`.

    Raises:
        VideoError: the folder has no such clip, or it cannot be read.
    """
    return read_for_tower(videos.find(name), num_frames=num_frames, side=side, framing=framing)


def read_listed_clip(
    name: str, *, clips: Mapping[str, VideoClip], num_frames: int, side: int, framing: str = "whole"
) -> UInt8[Tensor, "T_v 3 H W"]:
    """Decode a clip of a data set, which may be a stretch of a recording, as `read_for_tower`.

    Raises:
        VideoError: the data set has no video of the clip, or it cannot be read.
    """
    if name not in clips:
        raise VideoError(f"no video of clip {name!r} among the {len(clips)} of the data set; leave the clip out")
    path, span = clips[name]
    return read_for_tower(path, num_frames=num_frames, side=side, framing=framing, span=span)


def read_moments(
    path: Path | str,
    *,
    moments: Float[np.ndarray, " T"],
    side: int,
    framing: str = "whole",
    span: Span | None = None,
) -> UInt8[Tensor, "T 3 {side} {side}"]:
    """Decode the frames at `moments` (shares of the clip's time, ascending), framed as in `read_for_tower`.

    With a `span`, the clip is that stretch of the video.

    Several moments in one frame repeat it, so the length is that of `moments` even for a short clip.

    Raises:
        VideoError: the video cannot be read, or `framing` is neither.
    """
    choose = _within(span, lambda frames: frames.frames_at(moments))
    return _read(Path(path), choose, (side, side), _square(framing))


def _square(framing: str) -> Callable[[VideoInfo], Box | None]:
    if framing not in FRAMINGS:
        raise VideoError(f"framing {framing!r} is unknown; expected {' or '.join(FRAMINGS)}")
    return centre_square if framing == "centre" else lambda info: None


def probe(path: Path | str) -> VideoInfo:
    """Return size, number of frames and frame rate as a player shows them. Only the first frame is decoded.

    Raises:
        VideoError: no such file, not a video, a video without frames, or one that is broken or truncated.
    """
    file = Path(path)
    frames = timeline(file)
    with open_video(file) as (container, stream):
        first = next(whole_frames(container, stream, file))
        return _info(shown_picture(first, stream), stream, frames)


def _info(picture: Picture, stream: "VideoStream", frames: Timeline) -> VideoInfo:
    rate = float(stream.average_rate or 0.0) if frames.starts is None else frames.total / frames.seconds
    return VideoInfo(picture.width, picture.height, frames.total, rate)


def read_video(
    path: Path | str,
    *,
    num_frames: int,
    size: tuple[int, int] | None = None,
    crop: tuple[int, int, int, int] | None = None,
) -> UInt8[Tensor, "T_v 3 H W"]:
    """Decode at most `num_frames` RGB frames, evenly spaced in time, first cropped, then scaled to `size`.

    `size` is (height, width). The frame is fitted to it without keeping its aspect, so that no person is cut off
    (Assumption: as Video-ChatGPT feeds its tower). `crop` is (left, top, right, bottom) in pixels of the video as it is
    shown and is clipped to the frame. Without `size`, frames keep their resolution, which takes memory.

    Raises:
        VideoError: unreadable, truncated, without a video stream or without frames, or a crop outside the frame.
    """
    file = Path(path)
    return _read(file, _middle(num_frames), size, lambda info: _clip_to_frame(crop, info, file) if crop else None)


def read_frames(
    path: Path | str, *, numbers: Int[np.ndarray, " T"], size: tuple[int, int] | None = None
) -> UInt8[Tensor, "T 3 H W"]:
    """Decode the frames of these numbers, counted from 0 in the order of presentation, scaled as in `read_video`.

    Raises:
        VideoError: the video cannot be read.
    """
    return _read(Path(path), lambda frames: np.clip(numbers, 0, frames.total - 1), size, lambda info: None)


def iterate_frames(
    path: Path | str, *, numbers: Container[int], size: tuple[int, int] | None = None
) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
    """Decode the frames of these numbers one after the other, so that a long video takes no memory.

    Numbers beyond the end are ignored. `size` is as in `read_video`.

    Raises:
        VideoError: the video cannot be read.
    """
    file = Path(path)
    return _decoded(file, timeline(file), numbers, size, lambda info: None)


Choose = Callable[[Timeline], Int[np.ndarray, " T"]]
Frame = UInt8[np.ndarray, "H W 3"]


def _within(span: Span | None, choose: Choose) -> Choose:
    """Return a choice of frames within a stretch of the video."""
    if span is None:
        return choose

    def choose_within(frames: Timeline) -> Int[np.ndarray, " T"]:
        first, last = frames.frames_in(span)
        return first + choose(frames.part(first, last))

    return choose_within


def _middle(num_frames: int) -> Choose:
    return lambda frames: frames.middle_frames(num_frames)


def _read(
    path: Path, choose: Choose, size: tuple[int, int] | None, box: Callable[[VideoInfo], Box | None]
) -> UInt8[Tensor, "T 3 H W"]:
    """Decode the frames that `choose` returns, in its order."""
    times = timeline(path)
    numbers = _numbers(choose, times, path)
    frames = _decode(path, times, numbers, size, box)
    if len(frames) < len(np.unique(numbers)):  # not every packet became a frame
        times = decoded_timeline(path)
        numbers = _numbers(choose, times, path)
        frames = _decode(path, times, numbers, size, box)
    order = np.unique(numbers, return_inverse=True)[1]
    return rearrange(torch.from_numpy(np.stack([frames[i] for i in order])), "t h w c -> t c h w")


def _numbers(choose: Choose, times: Timeline, path: Path) -> Int[np.ndarray, " T"]:
    try:
        return choose(times)
    except ValueError as error:
        raise VideoError(f"{path}: {error}") from error


def _decode(
    path: Path,
    times: Timeline,
    numbers: Int[np.ndarray, " T"],
    size: tuple[int, int] | None,
    box: Callable[[VideoInfo], Box | None],
) -> list[Frame]:
    """Decode the frames of these numbers in the order of time, each once. Fewer come if the video ends early."""
    selection = set(numbers.tolist())
    return list(islice(_decoded(path, times, selection, size, box), len(selection)))


def _decoded(
    path: Path,
    times: Timeline,
    numbers: Container[int],
    size: tuple[int, int] | None,
    box: Callable[[VideoInfo], Box | None],
) -> Iterator[Frame]:
    with open_video(path) as (container, stream):
        converter = None
        for number, frame in enumerate(whole_frames(container, stream, path)):
            if converter is None:
                crop = box(_info(shown_picture(frame, stream), stream, times))
                converter = _Converter(stream, frame, crop=crop, size=size)
            if number in numbers:
                yield converter.rgb(frame)


class _Converter:
    """Converter of frames to RGB, turned, cropped and scaled to the size of the first, as in a player's window."""

    def __init__(
        self, stream: "VideoStream", first: "VideoFrame", *, crop: Box | None, size: tuple[int, int] | None
    ) -> None:
        self._stream, self._size = stream, size
        self._window = shown_picture(first, stream)
        self._crop = crop
        self._graphs: dict[tuple[int, int, str], Graph] = {}

    def rgb(self, frame: "VideoFrame") -> Frame:
        kind = frame.width, frame.height, frame.format.name
        if kind not in self._graphs:
            self._graphs[kind] = filter_graph(frame, self._steps(frame), pixel_format="rgb24")[0]
        graph = self._graphs[kind]
        graph.push(frame)
        image: Frame = graph.vpull().to_ndarray()
        return image

    def _steps(self, frame: "VideoFrame") -> list[Step]:
        picture, window, crop = shown_picture(frame, self._stream), self._window, self._crop
        steps = list(picture.steps)
        if picture[:2] != window[:2]:
            steps.append(("scale", f"{window.width}:{window.height}:flags=area"))
        if crop:
            area = f"{crop.right - crop.left}:{crop.bottom - crop.top}:{crop.left}:{crop.top}:exact=1"
            steps.append(("crop", area))
        if self._size:
            # area averaging lets every source pixel count, and is the cheapest of FFmpeg's antialiased filters
            steps.append(("scale", f"{self._size[1]}:{self._size[0]}:flags=area"))
        return [*steps, *standard_range(frame)]


def _clip_to_frame(crop: tuple[int, int, int, int], info: VideoInfo, path: Path) -> Box:
    left, top, right, bottom = crop
    box = Box(max(left, 0), max(top, 0), min(right, info.width), min(bottom, info.height))
    if box.left >= box.right or box.top >= box.bottom:
        raise VideoError(f"{path}: the crop {tuple(crop)} lies outside the {info.width}x{info.height} frame")
    return box
