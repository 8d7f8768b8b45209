"""Videos: find a clip's file, choose frames, and decode them already cropped and scaled.

Decoding is sequential through PyAV, scaling and cropping happen inside FFmpeg's filter graph, and only the chosen
frames are ever converted to RGB, so a 1080p clip costs little more than the H.264 decoding itself and memory stays
bounded by the frames asked for.

Deviation: the published code uses decord. PyAV took less CPU time (benchmarks/extract_features.py), and decord 0.6
returns frames of the wrong group of pictures from H.264 `.avi` files with B-frames and more than one key frame.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from ski_lvlm.video_folder import VideoError, find_video, list_videos

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
    "read_moments",
    "read_video",
    "sample_indices",
]
FRAMINGS = ("whole", "centre")
_MAY_BE_MISSING = 0.1  # share of the announced frames that a container may lack before the file counts as truncated


class VideoInfo(NamedTuple):
    """What the container says about its video stream."""

    width: int
    height: int
    num_frames: int
    fps: float


class Box(NamedTuple):
    """A rectangle in the video's own pixels; right and bottom are exclusive."""

    left: int
    top: int
    right: int
    bottom: int


def sample_indices(total: int, num_frames: int) -> Int[np.ndarray, " T"]:
    """The middle frames of `num_frames` equal segments; a shorter clip gives each of its frames once.

    One frame is thus the mid-video frame. Assumption: the paper samples 100 frames and says nothing of shorter clips;
    Video-ChatGPT fills the missing temporal tokens with zeros, we have fewer tokens instead of invented ones.

    >>> sample_indices(8, 4).tolist(), sample_indices(103, 1).tolist(), sample_indices(3, 100).tolist()
    ([1, 3, 5, 7], [51], [0, 1, 2])
    """
    if total <= num_frames:
        return np.arange(total)
    return ((np.arange(num_frames) * 2 + 1) * total) // (2 * num_frames)


def frames_at(moments: Float[np.ndarray, " T"], *, total: int) -> Int[np.ndarray, " T"]:
    """The frames that are shown at `moments`, which are shares of a clip of `total` frames.

    >>> frames_at(np.array([0.0, 0.49, 0.5, 1.0]), total=4).tolist()
    [0, 1, 2, 3]
    """
    # a moment that falls between two frames belongs to the later one, even if rounding left it a little before
    return np.clip(np.floor(moments * total + 1e-6).astype(int), 0, total - 1)


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
    return _read(Path(path), partial(sample_indices, num_frames=num_frames), (side, side), _square(framing))


def read_moments(
    path: Path | str, *, moments: Float[np.ndarray, " T"], side: int, framing: str = "whole"
) -> UInt8[Tensor, "T 3 {side} {side}"]:
    """The frames shown at `moments` (shares of the clip, ascending), framed as in `read_for_tower`.

    Moments that fall into one frame give it again, so the length is that of `moments` even for a short clip.

    Raises:
        VideoError: the video cannot be read, or `framing` is neither.
    """
    return _read(Path(path), lambda total: frames_at(moments, total=total), (side, side), _square(framing))


def _square(framing: str) -> Callable[[VideoInfo], Box | None]:
    if framing not in FRAMINGS:
        raise VideoError(f"framing {framing!r} is unknown; expected {' or '.join(FRAMINGS)}")
    return centre_square if framing == "centre" else lambda info: None


def probe(path: Path | str) -> VideoInfo:
    """Size, number of frames and frame rate, without decoding.

    Raises:
        VideoError: no such file, not a video, or a video without frames.
    """
    with _open(Path(path)) as (container, stream):
        total = _announced_frames(container, stream)
        if not total:
            raise VideoError(f"{path}: the video has no frames (zero length); copy or record it again")
        return VideoInfo(stream.width, stream.height, total, float(stream.average_rate or 0.0))


def read_video(
    path: Path | str,
    *,
    num_frames: int,
    size: tuple[int, int] | None = None,
    crop: tuple[int, int, int, int] | None = None,
) -> UInt8[Tensor, "T_v 3 H W"]:
    """Decode at most `num_frames` evenly spaced RGB frames, first cropped, then scaled to `size`.

    `size` is (height, width); the frame is fitted to it without keeping its aspect, so that no person is cut off
    (Assumption: as Video-ChatGPT feeds its tower). `crop` is (left, top, right, bottom) in pixels of the video and is
    clipped to the frame. Without `size`, frames keep their resolution: ask for few of them.

    Raises:
        VideoError: unreadable, truncated, without a video stream or without frames; or a crop outside the frame.
    """
    file = Path(path)
    choose = partial(sample_indices, num_frames=num_frames)
    return _read(file, choose, size, lambda info: _clipped(crop, info, file) if crop else None)


def _read(
    path: Path,
    choose: Callable[[int], Int[np.ndarray, " T"]],
    size: tuple[int, int] | None,
    box: Callable[[VideoInfo], Box | None],
) -> UInt8[Tensor, "T 3 H W"]:
    """The frames that `choose` names of as many as there are, in its order."""
    info = probe(path)
    crop, indices = box(info), choose(info.num_frames)
    frames, decoded = _decode(path, indices, size, crop)
    if len(frames) < len(np.unique(indices)):  # the stream ended before its announced end
        if decoded < (1 - _MAY_BE_MISSING) * info.num_frames:
            raise VideoError(
                f"{path}: truncated or corrupt, {decoded} of {info.num_frames} frames can be decoded; copy it again"
            )
        indices = choose(decoded)
        frames, _ = _decode(path, indices, size, crop)
    order = np.unique(indices, return_inverse=True)[1]
    return rearrange(torch.from_numpy(np.stack([frames[i] for i in order])), "t h w c -> t c h w")


@contextmanager
def _open(path: Path) -> Iterator[tuple[Any, Any]]:
    import av

    if not path.is_file():
        raise VideoError(f"{path}: no such video file; check the path")
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise VideoError(f"{path}: holds no video stream (audio only?); give the RGB video of the clip")
            stream = container.streams.video[0]
            stream.thread_type = "NONE"  # many clips are decoded side by side; threads inside one only cost CPU time
            yield container, stream
    except av.FFmpegError as error:
        raise VideoError(f"{path}: cannot be decoded ({error.strerror}); copy it again or re-encode it") from error


def _announced_frames(container: Any, stream: Any) -> int:  # noqa: ANN401
    # Matroska and WebM do not store the count: packets are counted without decoding them
    return stream.frames or sum(1 for packet in container.demux(stream) if packet.size)


def _clipped(crop: tuple[int, int, int, int], info: VideoInfo, path: Path) -> Box:
    left, top, right, bottom = crop
    box = Box(max(left, 0), max(top, 0), min(right, info.width), min(bottom, info.height))
    if box.left >= box.right or box.top >= box.bottom:
        raise VideoError(f"{path}: the crop {tuple(crop)} lies outside the {info.width}x{info.height} frame")
    return box


def _decode(
    path: Path, indices: Int[np.ndarray, " T"], size: tuple[int, int] | None, crop: Box | None
) -> tuple[list[UInt8[np.ndarray, "H W 3"]], int]:
    """The frames at `indices` (fewer when the stream ends early) and how many frames were decoded."""
    wanted, frames, decoded = set(indices.tolist()), [], 0
    with _open(path) as (container, stream):
        graph = _filter_graph(stream, size, crop)
        for frame in container.decode(stream):
            if decoded in wanted:
                graph.push(frame)
                frames.append(graph.pull().to_ndarray())
            decoded += 1
            if len(frames) == len(wanted):
                break
    return frames, decoded


def _filter_graph(stream: Any, size: tuple[int, int] | None, crop: Box | None) -> Any:  # noqa: ANN401
    import av.filter

    graph = av.filter.Graph()
    graph.threads = 1
    nodes = [graph.add_buffer(template=stream)]
    if crop:
        width, height = crop.right - crop.left, crop.bottom - crop.top
        nodes.append(graph.add("crop", f"{width}:{height}:{crop.left}:{crop.top}:exact=1"))
    if size:
        # area averaging lets every source pixel count, and is the cheapest of FFmpeg's antialiased filters
        nodes.append(graph.add("scale", f"{size[1]}:{size[0]}:flags=area"))
    graph.link_nodes(*nodes, graph.add("format", "rgb24"), graph.add("buffersink")).configure()
    return graph
