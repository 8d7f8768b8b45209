"""Clips that visitors give: checked before anything looks at them, and made playable for every browser."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from einops import rearrange
from jaxtyping import UInt8
from torch import Tensor

from ski_lvlm.storage.files import atomic_path
from ski_lvlm.videos.decoding import VideoInfo, iterate_frames, probe
from ski_lvlm.videos.folder import VideoError
from ski_lvlm.videos.timeline import sample_indices

_PLAYED_SIDE = 480  # pixels of the shorter side at most
_SHOWN_FRAMES = 8


class ClipError(ValueError):
    """A clip that cannot be used, in a sentence for the visitor. It names no path."""


class Limits(NamedTuple):
    """Maximum length and size of a clip."""

    seconds: float = 60.0
    megabytes: int = 200


def check_clip(file: Path, limits: Limits) -> VideoInfo:
    """Return what is known about a clip.

    Raises:
        ClipError: it is too large, too long, or no video.
    """
    size = file.stat().st_size / 1e6
    if size > limits.megabytes:
        raise ClipError(f"This clip has {size:.0f} MB. Please give one of at most {limits.megabytes} MB.")
    try:
        info = probe(file)
    except VideoError as error:
        raise ClipError("This is not a video that can be read. Please give another file.") from error
    seconds = info.num_frames / info.fps if info.fps else 0.0
    if seconds > limits.seconds:
        raise ClipError(f"This clip lasts {seconds:.0f} seconds. Please cut it to at most {limits.seconds:.0f}.")
    return info


def playable_copy(file: Path, info: VideoInfo, folder: Path) -> Path:
    """Write the clip as H.264 in MP4, which every browser plays, without sound.

    Raises:
        ClipError: its frames cannot be decoded.
    """
    scale = min(1.0, _PLAYED_SIDE / min(info.width, info.height))
    height, width = (max(2, 2 * round(side * scale / 2)) for side in (info.height, info.width))
    target = folder / "clip.mp4"
    try:
        with atomic_path(target) as temporary, av.open(str(temporary), "w", format="mp4") as container:
            stream = container.add_stream("libx264", rate=Fraction(info.fps).limit_denominator(1001))
            stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
            for frame in iterate_frames(file, numbers=range(info.num_frames), size=(height, width)):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            container.mux(stream.encode())
    except VideoError as error:
        raise ClipError("The frames of this video cannot be read. Please give another file.") from error
    return target


def shown_frames(frames: UInt8[Tensor, "T 3 H W"]) -> list[UInt8[np.ndarray, "H W 3"]]:
    """Return evenly spaced frames of those that a model sees."""
    return list(rearrange(frames[shown_numbers(len(frames))], "t c h w -> t h w c").numpy())


def shown_numbers(num_frames: int) -> Sequence[int]:
    """Return the numbers of the shown frames, counted from 0.

    >>> shown_numbers(16)
    [1, 3, 5, 7, 9, 11, 13, 15]
    """
    return sample_indices(num_frames, _SHOWN_FRAMES).tolist()
