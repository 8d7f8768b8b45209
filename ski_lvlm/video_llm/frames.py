"""Frames of a video with their times, for the processor of a video LLM."""

from pathlib import Path
from typing import NamedTuple

from jaxtyping import UInt8
from torch import Tensor
from transformers.video_utils import VideoMetadata

from ski_lvlm.videos.decoding import VideoInfo, probe, read_frames
from ski_lvlm.videos.folder import VideoError
from ski_lvlm.videos.packets import timeline
from ski_lvlm.videos.timeline import Span


class VideoFrames(NamedTuple):
    """Decoded frames of a clip, and what its video LLM is told of their times."""

    pixels: UInt8[Tensor, "T_v 3 H W"]
    numbers: list[int]  # of the frames, counted from the clip's first
    total: int  # frames of the clip
    fps: float

    @property
    def metadata(self) -> VideoMetadata:
        """Return the times in transformers' form, of which prompts and positions in time are made."""
        height, width = self.pixels.shape[-2:]
        return VideoMetadata(
            total_num_frames=self.total,
            fps=self.fps,
            width=width,
            height=height,
            duration=self.total / self.fps,
            frames_indices=self.numbers,
        )


def read_video_frames(path: Path, *, num_frames: int, side: int, span: Span | None = None) -> VideoFrames:
    """Decode at most `num_frames` frames, evenly spaced in the time of the video, or of a `span` of it.

    They are scaled so that no side is longer than `side` pixels, and keep their aspect. 0 is full size. The processor
    of the video LLM scales them again as it needs.

    Raises:
        VideoError: the video cannot be read.
    """
    info, times, first = probe(path), timeline(path), 0
    if span is not None:
        try:
            first, last = times.frames_in(span)
        except ValueError as error:
            raise VideoError(f"{path}: {error}") from error
        times = times.part(first, last)
    numbers = times.middle_frames(num_frames)
    pixels = read_frames(path, numbers=first + numbers, size=fitted(info, side))
    return VideoFrames(pixels, numbers.tolist(), times.total, info.fps or 24.0)


def fitted(info: VideoInfo, side: int) -> tuple[int, int] | None:
    """Return height and width of frames whose longer side is `side`, None for frames that stay as they are.

    >>> fitted(VideoInfo(width=1920, height=1080, num_frames=1, fps=30.0), 448)
    (252, 448)
    """
    scale = side / max(info.width, info.height)
    if not side or scale >= 1:
        return None
    return max(1, round(info.height * scale)), max(1, round(info.width * scale))
