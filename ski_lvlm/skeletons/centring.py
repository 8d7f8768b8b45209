"""Cleaning of skeletons of any layout to at most two actors with the origin at the main one, named `centred-1`."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float32

from ski_lvlm.skeletons.cleaning import CleaningError
from ski_lvlm.skeletons.layouts import Layout

CENTRED = "centred-1"
_MAX_ACTORS = 2


def without_zeros(joints: Float32[np.ndarray, "*axes D"]) -> Float32[np.ndarray, "*axes D"]:
    """Return joints with NaN where all coordinates are exactly 0, which is how many files write an absent joint."""
    return np.where((joints == 0).all(axis=-1, keepdims=True), np.float32(np.nan), joints)


def up(poses: Sequence[Float32[np.ndarray, "J 3"]], *, layout: Layout) -> int:
    """Return 1 where y points up in most of the poses, and -1 where it points down.

    Assumption: people are mostly upright, so a head is above both ankles. It is for files that do not say.
    """
    head, ankles = layout.joints.index("head"), [layout.joints.index(f"{side} ankle") for side in ("left", "right")]
    heights = [float(pose[head, 1] - pose[ankles, 1].mean()) for pose in poses]
    finite = [height for height in heights if np.isfinite(height)]
    return -1 if finite and float(np.median(finite)) < 0 else 1


def centred(joints: Float32[np.ndarray, "T M J D"], *, layout: Layout) -> Float32[np.ndarray, "T2 M2 J D"]:
    """Drop persons and frames without a joint, keep the two liveliest persons, and move the origin.

    A NaN joint is absent. The liveliest person is the main actor and comes first. The origin is the layout's centre
    of the main actor, in the first frame that has it. Nothing is turned or scaled.

    Raises:
        CleaningError: no joint at all, another number of joints, or a main actor whose centre is always absent.
    """
    expected = (layout.num_joints, layout.dimensions)
    if joints.shape[2:] != expected:
        raise CleaningError(f"found joints {joints.shape[2:]}; expected {expected}, as the layout {layout.name} has it")
    present = ~np.isnan(joints).any(axis=3)
    joints = np.where(present[..., None], joints, np.float32(np.nan))
    motion = [_motion(joints[:, person], present[:, person]) for person in range(joints.shape[1])]
    actors = [person for person in np.argsort(-np.array(motion), kind="stable") if present[:, person].any()]
    if not actors:
        raise CleaningError("no joint in any frame; expected a person: leave the clip out")
    actors = actors[:_MAX_ACTORS]
    has_actor = present[:, actors].any(axis=(1, 2))
    joints, present = joints[has_actor][:, actors], present[has_actor][:, actors]
    return joints - _origin(joints[:, 0], present[:, 0], layout)


def _origin(
    joints: Float32[np.ndarray, "T J D"], present: Bool[np.ndarray, "T J"], layout: Layout
) -> Float32[np.ndarray, " D"]:
    """Return the mean of the centre joints that are there, in the first frame that has one."""
    centre = list(layout.centre)
    frames = present[:, centre].any(axis=1)
    if not frames.any():
        names = " and ".join(layout.joints[joint] for joint in centre)
        raise CleaningError(f"the main actor's {names} is absent in every frame: leave the clip out")
    frame = int(np.argmax(frames))
    middle: Float32[np.ndarray, " D"] = joints[frame, centre][present[frame, centre]].mean(axis=0)
    return middle


def _motion(joints: Float32[np.ndarray, "T J D"], present: Bool[np.ndarray, "T J"]) -> float:
    """Return the sum of squared distances of all joints from their mean places over time."""
    counts = np.maximum(present.sum(axis=0), 1)[:, None]
    values = np.where(present[..., None], joints.astype(np.float64), 0.0)
    distances = np.where(present[..., None], values - values.sum(axis=0) / counts, 0.0)
    return float((distances**2).sum())
