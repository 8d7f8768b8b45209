"""Frames of little motion, by which SMIE shortens a clip: what moves most carries most information."""

import numpy as np
from jaxtyping import Float, Int

_CALM, _KEPT = 0.7, 0.4  # of the frames: 35 and 20 of SMIE's 50


def frame_motion(skeleton: Float[np.ndarray, "T M J D"], *, is_one_sided: bool = False) -> Float[np.ndarray, " T"]:
    """Return each frame's mean squared difference to the frame before plus that to the frame after, in squared metres.

    Joints count that both frames have (NaN marks the others). A side without such joints counts as still, as the
    missing side does at both ends. One-sided, the frame after counts alone.

    Assumption: absent joints are left out. The published code has zeros for an absent person, who moves when coming.
    """
    squares = np.square(np.diff(skeleton, axis=0))
    is_known = ~np.isnan(squares)
    step = squares.sum(axis=(1, 2, 3), where=is_known) / is_known.sum(axis=(1, 2, 3)).clip(min=1)
    motion = np.append(step, 0)
    if not is_one_sided:
        motion[1:] += step
    return motion


def calm_frames(skeleton: Float[np.ndarray, "T M J D"], *, is_one_sided: bool = False) -> Int[np.ndarray, " K"]:
    """Return the 70 % of the frames with the least motion, in the order of time.

    Frames that show nobody do not count. Of equal ones the earlier is kept.

    Raises:
        ValueError: the clip shows nobody.
    """
    frames = np.flatnonzero(~np.isnan(skeleton).all(axis=(1, 2, 3)))
    if not len(frames):
        raise ValueError("found a clip that shows nobody in any frame, expected somebody; leave it out")
    order = np.argsort(frame_motion(skeleton[frames], is_one_sided=is_one_sided), kind="stable")
    return np.sort(frames[order[: _number(_CALM, len(frames))]])


def frames_to_keep(skeleton: Float[np.ndarray, "T M J D"], *, rng: np.random.Generator) -> Int[np.ndarray, " K"]:
    """Draw 40 % of a clip's frames, in the order of time, from the 70 % with the least motion.

    Paper: SMIE (Zhou et al., ACM MM 2023), whose clips have 50 frames. Here they have any number.

    Raises:
        ValueError: the clip shows nobody.
    """
    is_shown = ~np.isnan(skeleton).all(axis=(1, 2, 3))
    number = _number(_KEPT, int(is_shown.sum()))
    return np.sort(rng.choice(calm_frames(skeleton), number, replace=False))


def _number(share: float, frames: int) -> int:
    return max(1, round(share * frames))
