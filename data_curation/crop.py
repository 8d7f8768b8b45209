"""Cut the acting persons out of a video: one box per clip, from the skeleton's colour coordinates.

Paper: App. D ("for each video we first crop out the person(s) performing the action").
Assumption: the box is the union of the persons' joints over time with 64 pixels of slack (at 1920x1080), and the crop
is brought to 224x224 with its aspect kept and black padding, as LLAVIDAL does.
"""

import errno
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from einops import rearrange
from jaxtyping import Float

from ski_lvlm.files import atomic_path
from ski_lvlm.video import Box, VideoError, probe, read_video

if TYPE_CHECKING:
    from av.filter import Graph
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

KINECT = (1920, 1080)  # the image that colour coordinates refer to
SLACK = 64  # pixels of that image
SIZE = 224
COMPLETE = 0.9  # share of the announced frames that must decode
VERSION = "crop-3"
_CANNOT_WRITE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES}


class CropError(ValueError):
    """Nobody can be cut out of this video; the message says why."""


class Fit(NamedTuple):
    """A scaled picture inside a square: its size, and how much black lies left of it and above."""

    width: int
    height: int
    left: int
    top: int


def union_box(colour: Sequence[Float[np.ndarray, "n J 2"]], *, width: int, height: int, slack: float = SLACK) -> Box:
    """The box around all joints of all persons over time, in the pixels of a video of this size.

    Coordinates are those of a 1920x1080 image; they and the slack are scaled to the video. NaN, infinity and (0, 0),
    the Kinect's way of saying nowhere, do not count. Corners are even, as H.264 wants them.

    >>> union_box([np.array([[[600.0, 300.0], [800.0, 900.0]]])], width=960, height=540)
    Box(left=268, top=118, right=432, bottom=482)

    Raises:
        CropError: no joint has coordinates, or all lie outside the picture.
    """
    points = np.concatenate([track.reshape(-1, 2) for track in colour]) if colour else np.zeros((0, 2))
    points = points[np.isfinite(points).all(axis=1) & (points != 0).any(axis=1)]
    if not len(points):
        raise CropError("no joint has colour coordinates, so there is nobody to cut out")
    size = np.array([width, height])
    scale = size / KINECT
    low = np.clip((points.min(axis=0) - slack) * scale, 0, size)
    high = np.clip((points.max(axis=0) + slack) * scale, 0, size)
    left, top = (2 * np.floor(low / 2)).astype(int).tolist()
    right, bottom = np.minimum(2 * np.ceil(high / 2), size - size % 2).astype(int).tolist()
    if right - left < 2 or bottom - top < 2:
        raise CropError(f"all joints lie outside the picture of {width}x{height}, so there is nobody to cut out")
    return Box(left, top, right, bottom)


def fit(box: Box, *, width: int, height: int, size: int = SIZE) -> Fit:
    """How a box in a video of this size fills a black square with the persons' own aspect; all numbers even.

    A video that was squeezed when it was made smaller (1920x1080 to 340x256, as labs do) is unsqueezed.

    >>> fit(Box(0, 0, 100, 400), width=1920, height=1080)
    Fit(width=56, height=224, left=84, top=0)
    """
    sides = ((box.right - box.left) * KINECT[0] / width, (box.bottom - box.top) * KINECT[1] / height)
    across, down = (max(2, 2 * round(side * size / max(sides) / 2)) for side in sides)
    return Fit(across, down, (size - across) // 4 * 2, (size - down) // 4 * 2)


def write_crop(
    source: Path, target: Path, *, colour: Sequence[Float[np.ndarray, "n J 2"]], size: int = SIZE
) -> tuple[Box, int]:
    """Write the crop of `source` as H.264, without sound, atomically; return the box and the number of frames.

    Cutting, scaling and padding happen inside FFmpeg's filters, in the video's own colour space and frame by frame.

    Raises:
        CropError: nobody is in the picture.
        VideoError: the video is empty, cut off or unreadable, or has no pictures.
        OSError: the crop cannot be written, as on a full disk.
    """
    import av

    info = probe(source)
    box = union_box(colour, width=info.width, height=info.height)
    try:
        with av.open(str(source)) as container, atomic_path(target) as temporary:
            stream = container.streams.video[0]
            stream.codec_context.thread_count = 1  # clips are many: one thread each beats many for one
            frames = _encode(container.decode(stream), stream, temporary, box=box, size=size)
            if frames < COMPLETE * info.num_frames:
                raise VideoError(f"{source}: cut off, {frames} of {info.num_frames} frames decode; copy it again")
    except av.FFmpegError as error:
        if error.errno in _CANNOT_WRITE:
            raise OSError(error.errno, f"cannot write: {error.strerror}", str(target)) from error
        raise VideoError(f"{source}: cannot be decoded ({error.strerror}); copy it again") from error
    return box, frames


def _encode(frames: "Iterable[VideoFrame]", stream: "VideoStream", target: Path, *, box: Box, size: int) -> int:
    import av
    from av.video.frame import PictureType

    graph = _filters(stream, box=box, size=size)
    count = 0
    with av.open(str(target), "w") as out:
        options = {"preset": "veryfast", "crf": "18", "threads": "1", "x264-params": "mbtree=0"}  # same bytes each time
        written = out.add_stream("libx264", rate=stream.average_rate or 30, options=options)
        written.width = written.height = size
        written.pix_fmt = "yuv420p"
        for count, frame in enumerate(frames, start=1):  # noqa: B007
            graph.push(frame)
            cut = graph.vpull()
            cut.pts, cut.pict_type = None, PictureType.NONE  # the source's key frames are not ours
            out.mux(written.encode(cut))
        if count:
            out.mux(written.encode())
    return count


def _filters(stream: "VideoStream", *, box: Box, size: int) -> "Graph":
    from av.filter import Graph

    inside = fit(box, width=stream.width, height=stream.height, size=size)
    graph = Graph()
    graph.link_nodes(
        graph.add_buffer(template=stream),
        graph.add("crop", f"{box.right - box.left}:{box.bottom - box.top}:{box.left}:{box.top}"),
        graph.add("scale", f"{inside.width}:{inside.height}:flags=area"),
        graph.add("pad", f"{size}:{size}:{inside.left}:{inside.top}:black"),
        graph.add("format", "yuv420p"),
        graph.add("buffersink"),
    ).configure()
    return graph


def middle_frame(path: Path) -> bytes:
    """The frame in the middle of a video, as PNG bytes.

    Paper: Sec. 4, Datasets ("captioning single frames (mid-video)").

    Raises:
        VideoError: the video cannot be read.
    """
    from PIL import Image

    picture = io.BytesIO()
    frame = rearrange(read_video(path, num_frames=1), "1 c h w -> h w c")
    Image.fromarray(frame.numpy()).save(picture, format="PNG")
    return picture.getvalue()
