"""Videos: choose frames, and decode them as a player shows them, already cropped and scaled.

Decoding is sequential through PyAV, scaling and cropping happen inside FFmpeg's filter graph, and only the chosen
frames are ever converted to RGB, so a 1080p clip costs little more than the H.264 decoding itself and memory stays
bounded by the frames asked for.

Deviation: the published code uses decord. PyAV took less CPU time (benchmarks/extract_features.py), and decord 0.6
returns frames of the wrong group of pictures from H.264 `.avi` files with B-frames and more than one key frame.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from ski_lvlm.videos.folder import VideoError, find_video, list_videos
from ski_lvlm.videos.packets import decoded_timeline, open_video, timeline, whole_frames
from ski_lvlm.videos.picture import Picture, Step, filter_graph, shown_picture, standard_range
from ski_lvlm.videos.timeline import Timeline, frames_at, sample_indices

if TYPE_CHECKING:
    from av.filter import Graph
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

__all__ = [
    "FRAMINGS",
    "Box",
    "VideoError",
    "VideoInfo",
    "centre_square",
    "find_video",
    "frames_at",
    "list_videos",
    "probe",
    "read_for_tower",
    "read_frames",
    "read_moments",
    "read_video",
    "sample_indices",
    "timeline",
]
FRAMINGS = ("whole", "centre")


class VideoInfo(NamedTuple):
    """A video as a player shows it: its size in pixels after turning, its frames, and how many a second on average."""

    width: int
    height: int
    num_frames: int
    fps: float


class Box(NamedTuple):
    """A rectangle in the pixels of the video as it is shown; right and bottom are exclusive."""

    left: int
    top: int
    right: int
    bottom: int


def centre_square(info: VideoInfo) -> Box:
    """The largest centred square: cropped to it and scaled, a video is what CLIP's own resize and centre crop give.

    >>> centre_square(VideoInfo(width=1920, height=1080, num_frames=1, fps=30.0))
    Box(left=420, top=0, right=1500, bottom=1080)
    """
    side = min(info.width, info.height)
    left, top = (info.width - side) // 2, (info.height - side) // 2
    return Box(left, top, left + side, top + side)


def read_for_tower(
    path: Path | str, *, num_frames: int, side: int, framing: str = "whole"
) -> UInt8[Tensor, "T_v 3 H W"]:
    """Frames as a vision tower wants them, `side` pixels square.

    `framing` "whole" fits the whole frame into the square, so that nobody at the edge is lost; "centre" cuts out the
    middle first, as CLIP's own preprocessing does, which shows the person larger and undistorted.

    Assumption: "whole", as in Video-ChatGPT, on which the paper's LVLM is built.

    Raises:
        VideoError: the video cannot be read, or `framing` is neither.
    """
    return _read(Path(path), _middle(num_frames), (side, side), _square(framing))


def read_moments(
    path: Path | str, *, moments: Float[np.ndarray, " T"], side: int, framing: str = "whole"
) -> UInt8[Tensor, "T 3 {side} {side}"]:
    """The frames shown at `moments` (shares of the clip's time, ascending), framed as in `read_for_tower`.

    Moments that fall into one frame give it again, so the length is that of `moments` even for a short clip.

    Raises:
        VideoError: the video cannot be read, or `framing` is neither.
    """
    return _read(Path(path), lambda frames: frames.frames_at(moments), (side, side), _square(framing))


def _square(framing: str) -> Callable[[VideoInfo], Box | None]:
    if framing not in FRAMINGS:
        raise VideoError(f"framing {framing!r} is unknown; expected {' or '.join(FRAMINGS)}")
    return centre_square if framing == "centre" else lambda info: None


def probe(path: Path | str) -> VideoInfo:
    """Size, number of frames and frame rate as a player shows them; only the first frame is decoded.

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

    `size` is (height, width); the frame is fitted to it without keeping its aspect, so that no person is cut off
    (Assumption: as Video-ChatGPT feeds its tower). `crop` is (left, top, right, bottom) in pixels of the video as it is
    shown and is clipped to the frame. Without `size`, frames keep their resolution: ask for few of them.

    Raises:
        VideoError: unreadable, truncated, without a video stream or without frames; or a crop outside the frame.
    """
    file = Path(path)
    return _read(file, _middle(num_frames), size, lambda info: _clipped(crop, info, file) if crop else None)


def read_frames(
    path: Path | str, *, numbers: Int[np.ndarray, " T"], size: tuple[int, int] | None = None
) -> UInt8[Tensor, "T 3 H W"]:
    """Decode the frames of these numbers, counted from 0 in the order of presentation, scaled as in `read_video`.

    Raises:
        VideoError: the video cannot be read.
    """
    return _read(Path(path), lambda frames: np.clip(numbers, 0, frames.total - 1), size, lambda info: None)


Choose = Callable[[Timeline], Int[np.ndarray, " T"]]
Frame = UInt8[np.ndarray, "H W 3"]


def _middle(num_frames: int) -> Choose:
    return lambda frames: frames.middle_frames(num_frames)


def _read(
    path: Path, choose: Choose, size: tuple[int, int] | None, box: Callable[[VideoInfo], Box | None]
) -> UInt8[Tensor, "T 3 H W"]:
    """The frames that `choose` names, in its order."""
    shown = timeline(path)
    numbers = choose(shown)
    frames = _decode(path, shown, numbers, size, box)
    if len(frames) < len(np.unique(numbers)):  # not every packet became a frame
        shown = decoded_timeline(path)
        numbers = choose(shown)
        frames = _decode(path, shown, numbers, size, box)
    order = np.unique(numbers, return_inverse=True)[1]
    return rearrange(torch.from_numpy(np.stack([frames[i] for i in order])), "t h w c -> t c h w")


def _decode(
    path: Path,
    shown: Timeline,
    numbers: Int[np.ndarray, " T"],
    size: tuple[int, int] | None,
    box: Callable[[VideoInfo], Box | None],
) -> list[Frame]:
    """The frames of these numbers in the order of time, each once; fewer where the video ends early."""
    chosen, frames = set(numbers.tolist()), []
    with open_video(path) as (container, stream):
        converter = None
        for number, frame in enumerate(whole_frames(container, stream, path)):
            if converter is None:
                crop = box(_info(shown_picture(frame, stream), stream, shown))
                converter = _Converter(stream, frame, crop=crop, size=size)
            if number in chosen:
                frames.append(converter.rgb(frame))
            if len(frames) == len(chosen):
                break
    return frames


class _Converter:
    """Turns, crops and scales frames and makes them RGB; all get the size of the first, as in a player's window."""

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


def _clipped(crop: tuple[int, int, int, int], info: VideoInfo, path: Path) -> Box:
    left, top, right, bottom = crop
    box = Box(max(left, 0), max(top, 0), min(right, info.width), min(bottom, info.height))
    if box.left >= box.right or box.top >= box.bottom:
        raise VideoError(f"{path}: the crop {tuple(crop)} lies outside the {info.width}x{info.height} frame")
    return box
