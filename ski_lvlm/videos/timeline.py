"""Times of the frames of a video, and the choice of frames by time.

A share of a clip is a share of its time. Where the frame rate is constant, as in NTU's videos, that is the same share
of its frames. Phones and screen recorders write files of variable rate, of which half the frames may show one second.
"""

from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int


def sample_indices(total: int, num_frames: int) -> Int[np.ndarray, " T"]:
    """Return the middle frames of `num_frames` equal segments. A shorter clip gives each of its frames once.

    One frame is thus the mid-video frame.

    Assumption: the paper samples 100 frames and does not mention shorter clips. Video-ChatGPT fills the missing
    temporal tokens with zeros. Here there are fewer tokens instead of invented ones.

    >>> sample_indices(8, 4).tolist(), sample_indices(103, 1).tolist(), sample_indices(3, 100).tolist()
    ([1, 3, 5, 7], [51], [0, 1, 2])
    """
    if total <= num_frames:
        return np.arange(total)
    return ((np.arange(num_frames) * 2 + 1) * total) // (2 * num_frames)


def frames_at(moments: Float[np.ndarray, " T"], *, total: int) -> Int[np.ndarray, " T"]:
    """Return the frames at `moments`, which are shares of a clip of `total` frames of equal length.

    >>> frames_at(np.array([0.0, 0.49, 0.5, 1.0]), total=4).tolist()
    [0, 1, 2, 3]
    """
    # A moment between two frames belongs to the later one, even if rounding puts it a little before.
    return np.clip(np.floor(moments * total + 1e-6).astype(int), 0, total - 1)


class Span(NamedTuple):
    """A stretch of a recording, in seconds or in frames. The end is exclusive."""

    start: float
    end: float
    unit: Literal["seconds", "frames"] = "seconds"


class Timeline(NamedTuple):
    """Times at which the frames of a video are shown.

    Args:
        total: number of frames.
        starts: seconds from the first frame to each, ascending, or None where the rate is constant or unknown.
        seconds: duration of all frames, or 0 where it is unknown.
    """

    total: int
    starts: Float[np.ndarray, " total"] | None
    seconds: float

    def frames_at(self, moments: Float[np.ndarray, " K"]) -> Int[np.ndarray, " K"]:
        """Return the frames at `moments`, which are shares of the clip's time.

        >>> slow_end = Timeline(total=3, starts=np.array([0.0, 0.1, 0.2]), seconds=1.0)
        >>> slow_end.frames_at(np.array([0.05, 0.1, 0.5, 0.9])).tolist()
        [0, 1, 2, 2]
        """
        if self.starts is None:
            return frames_at(moments, total=self.total)
        later = np.searchsorted(self.starts, moments * self.seconds + 1e-6, side="right")
        return np.clip(later - 1, 0, self.total - 1)

    def frames_in(self, span: Span) -> tuple[int, int]:
        """Return the first frame of a stretch, and the one after its last.

        >>> Timeline(total=30, starts=None, seconds=3.0).frames_in(Span(0.5, 1.0))
        (5, 10)

        Raises:
            ValueError: the stretch is empty or begins after the recording's end.
        """
        first, last = round(span.start), round(span.end)
        if span.unit == "seconds":
            bounds = np.array([span.start, span.end])
            starts = np.arange(self.total) * self.seconds / self.total if self.starts is None else self.starts
            first, last = np.searchsorted(starts, bounds - 1e-6).tolist()
        if not 0 <= first < min(last, self.total):
            length = f"{self.total} frames" if span.unit == "frames" else f"{self.seconds:.2f} seconds"
            raise ValueError(
                f"the clip is {span.start:g} to {span.end:g} {span.unit} of a recording of {length}; correct the "
                "start and end in the table of clips"
            )
        return first, min(last, self.total)

    def part(self, first: int, last: int) -> "Timeline":
        """Return the timeline of the frames from `first` to before `last`."""
        if self.starts is None:
            return Timeline(last - first, None, self.seconds * (last - first) / self.total)
        end = self.starts[last] if last < self.total else self.seconds
        return Timeline(last - first, self.starts[first:last] - self.starts[first], float(end - self.starts[first]))

    def middle_frames(self, num_frames: int) -> Int[np.ndarray, " N"]:
        """Return the frames shown in the middle of `num_frames` equal segments of time, each frame once.

        >>> Timeline(total=3, starts=np.array([0.0, 0.1, 0.2]), seconds=1.0).middle_frames(2).tolist()
        [2]
        """
        if self.starts is None or self.total <= num_frames:
            return sample_indices(self.total, num_frames)
        return np.unique(self.frames_at((np.arange(num_frames) + 0.5) / num_frames))


def timeline_of(starts: Float[np.ndarray, " T"], *, last: float) -> Timeline:
    """Return the timeline of frames that begin at `starts`, ascending from 0, in seconds.

    The rate is constant where no frame begins further than one frame from its regular start. `last` is the duration of
    the last frame in seconds. If it is 0 (unknown), that of the median frame is used.
    """
    spacing = starts[-1] / max(len(starts) - 1, 1)
    length = last or (float(np.median(np.diff(starts))) if len(starts) > 1 else 0.0)
    is_constant = np.abs(starts - np.arange(len(starts)) * spacing).max() <= spacing
    return Timeline(len(starts), None if is_constant else starts, float(starts[-1]) + length)
