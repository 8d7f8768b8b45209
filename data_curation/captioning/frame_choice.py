"""The pictures of a clip to caption: the middle frame, several evenly spaced, or the one with most motion."""

import io
from pathlib import Path

import numpy as np
from einops import rearrange
from jaxtyping import Bool, Float, UInt8

from data_curation.ledger import Rejected
from ski_lvlm.videos.decoding import read_frames, read_video

MAX_FRAMES = 32  # models that take several pictures have been trained on no more
_SMALL = (64, 64)  # motion is measured on frames of this size
_BLACK = 24  # of 255: a frame without anything brighter
_ALL = 1 << 30  # frames


def frames_choice(text: str) -> str:
    """Read a choice of frames. One evenly spaced frame is the middle one.

    >>> [frames_choice(text) for text in ("middle", "motion", " 08", "1")]
    ['middle', 'motion', '8', 'middle']

    Raises:
        ValueError: neither a known word nor a number from 1 to `MAX_FRAMES`.
    """
    word = text.strip()
    if word in ("middle", "motion"):
        return word
    if not (word.isascii() and word.isdigit() and 1 <= int(word) <= MAX_FRAMES):
        raise ValueError(f"--frames is {text!r}; expected middle, motion, or a number from 1 to {MAX_FRAMES}")
    return "middle" if int(word) == 1 else str(int(word))


def chosen_frames(path: Path, choice: str) -> list[bytes]:
    """Return the frames of a clip that `choice`, from `frames_choice`, selects, in order of time, as PNG files.

    A clip with fewer frames gives each of them once.

    Paper: Sec. 4, Datasets ("captioning single frames (mid-video)").

    Raises:
        VideoError: the video cannot be read.
        Rejected: motion was asked for, and all frames are black.
    """
    if choice == "motion":
        frames = read_frames(path, numbers=np.array([_moving_frame(path)]))
    else:
        frames = read_video(path, num_frames=1 if choice == "middle" else int(choice))
    return [_png(frame) for frame in rearrange(frames, "t c h w -> t h w c").numpy()]


def _moving_frame(path: Path) -> int:
    small = read_video(path, num_frames=_ALL, size=_SMALL).numpy()
    grey = small.mean(axis=1)
    bright = grey.max(axis=(1, 2)) > _BLACK
    if not bright.any():
        raise Rejected("all frames are black")
    return most_motion(motion(grey), allowed=bright)


def motion(grey: Float[np.ndarray, "T H W"]) -> Float[np.ndarray, " T"]:
    """Return the motion at each frame: the summed absolute change from the frame before, smoothed over time."""
    change = np.zeros(len(grey))
    change[1:] = np.rint(
        np.abs(np.diff(grey, axis=0)).sum(axis=(1, 2))
    )  # whole numbers, so that equal motion stays equal
    # The median of five drops a flash (two changes) and a cut (one). The mean then prefers lasting motion to a jerk.
    return _windows(np.median(_windows(change), axis=1)).mean(axis=1)


def _windows(values: Float[np.ndarray, " T"]) -> Float[np.ndarray, "T 5"]:
    return np.lib.stride_tricks.sliding_window_view(np.pad(values, 2), 5)


def most_motion(motion: Float[np.ndarray, " T"], *, allowed: Bool[np.ndarray, " T"]) -> int:
    """Return the first of the allowed frames with the largest motion.

    >>> most_motion(np.array([0.0, 5.0, 3.0, 3.0]), allowed=np.array([True, False, True, True]))
    2
    """
    return int(np.argmax(np.where(allowed, motion, -1.0)))


def _png(frame: UInt8[np.ndarray, "H W 3"]) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(frame).save(file, format="PNG")
    return file.getvalue()
