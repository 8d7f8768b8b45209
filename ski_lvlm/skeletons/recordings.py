"""Kinect v2 recordings from arrays, for data sets that store 25 joints in other files than NTU's."""

import numpy as np
from jaxtyping import Float32

from ski_lvlm.skeletons.ntu_file import BodyTrack, Recording


def recording(name: str, joints: Float32[np.ndarray, "T M 25 3"]) -> Recording:
    """Return a recording of bodies, which are absent where a joint is NaN.

    Their ids are their places in the array.
    """
    present = ~np.isnan(joints).any(axis=(2, 3))
    bodies = {
        body: _track(np.flatnonzero(present[:, body]), joints[present[:, body], body])
        for body in range(joints.shape[1])
        if present[:, body].any()
    }
    return Recording(name, len(joints), bodies)


def _track(frames: np.ndarray, joints: Float32[np.ndarray, "n 25 3"]) -> BodyTrack:
    n, num_joints = joints.shape[:2]
    return BodyTrack(
        frames=frames,
        joints=joints,
        colour=np.full((n, num_joints, 2), np.nan, np.float32),
        depth=np.full((n, num_joints, 2), np.nan, np.float32),
        orientation=np.full((n, num_joints, 4), np.nan, np.float32),
        joint_state=np.full((n, num_joints), -1),
        states=np.full((n, 7), -1),
        lean=np.full((n, 2), np.nan, np.float32),
    )
