"""Frames of clips for models that look at videos in their own way."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ski_lvlm.datasets.catalogue import open_data_set
from ski_lvlm.datasets.clip_files import video_clips
from ski_lvlm.datasets.reading import LoadedClip
from ski_lvlm.video_llm.frames import VideoFrames, read_video_frames
from ski_lvlm.videos.folder import VideoClip, VideoError, VideoFolder


@dataclass(frozen=True)
class FrameReader:
    """Reader of a clip's frames by its name in the questions: at most `num_frames`, evenly spaced, fitted to `side`."""

    videos: Mapping[str, VideoClip] | VideoFolder
    num_frames: int
    side: int

    def __call__(self, name: str) -> VideoFrames:
        """Decode a clip.

        Raises:
            VideoError: there is no such video, or it cannot be read.
        """
        path, span = self._clip(name)
        return read_video_frames(path, num_frames=self.num_frames, side=self.side, span=span)

    def _clip(self, name: str) -> VideoClip:
        if isinstance(self.videos, VideoFolder):
            return VideoClip(self.videos.find(name))
        if name not in self.videos:
            raise VideoError(f"no video of clip {name!r} among the {len(self.videos)} of the data set")
        return self.videos[name]


class FrameInputs:
    """Clips as frames.

    Args:
        videos: a folder of videos. With `data`, the place of that data set's videos.
        data: a data set's name or folder, whose clips may be stretches of videos.
        num_frames: at most so many of each clip.
        side: pixels of the longer side at most, 0 for full size.

    Raises:
        ValueError: there are no such videos.
    """

    def __init__(self, videos: Path | None, *, data: str | None, num_frames: int, side: int) -> None:
        source = video_clips(open_data_set(data), videos) if data else VideoFolder(str(videos))
        self.read = FrameReader(source, num_frames, side)

    def content(self, clip: LoadedClip[VideoFrames]) -> tuple[VideoFrames | None, str]:
        """Return the frames of a clip, or None and the reason."""
        return clip.content, clip.error
