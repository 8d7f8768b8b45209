"""Paths over time: of boxes, joints or anything that is NaN where it was not seen."""

from collections.abc import Sequence

import numpy as np
from einops import rearrange
from jaxtyping import Float, Int

_MEDIAN = 5  # frames, which drops glitches of two frames, or of one at the ends of a clip


def median(values: Float[np.ndarray, "..."], *, axis: int) -> Float[np.ndarray, "..."]:
    """Return the median of the finite values along an axis, which is kept."""
    # Not `np.nanmedian`, which warns if all values are NaN.
    ordered = np.sort(values, axis=axis)  # NaN comes last
    count = np.isfinite(values).sum(axis=axis, keepdims=True)
    middle = [np.take_along_axis(ordered, np.maximum(rank, 0), axis=axis) for rank in ((count - 1) // 2, count // 2)]
    return (middle[0] + middle[1]) / 2


def smoothed(paths: Float[np.ndarray, "T *k"], *, window: int = _MEDIAN) -> Float[np.ndarray, "T *k"]:
    """Return the running median over an odd `window` of frames, with a smaller one at the ends. NaN stays NaN.

    >>> smoothed(np.array([1.0, 2.0, 90.0, 4.0, np.nan]), window=3).tolist()
    [1.5, 2.0, 4.0, 47.0, nan]
    """
    reach = [(window // 2, window // 2)] + [(0, 0)] * (paths.ndim - 1)
    around = np.lib.stride_tricks.sliding_window_view(np.pad(paths, reach, constant_values=np.nan), window, axis=0)
    return np.where(np.isnan(paths), np.nan, median(around, axis=-1)[..., 0])


def between(
    boxes: Float[np.ndarray, "n 4"], frames: Sequence[int] | Int[np.ndarray, " n"], *, num_frames: int
) -> Float[np.ndarray, "{num_frames} 4"]:
    """Interpolate boxes at some ascending frames to every frame, constant beyond the first and the last."""
    known_frames = np.asarray(frames)
    sides = [np.interp(np.arange(num_frames), known_frames, side) for side in rearrange(boxes, "n side -> side n")]
    return np.stack(sides, axis=-1)
