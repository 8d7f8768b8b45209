"""Made-up recordings, and the genuine ones where a machine has them."""

import os
from pathlib import Path

import numpy as np
import pytest
from einops import rearrange, repeat

from ski_lvlm.skeletons.ntu_file import BodyTrack, Recording

GOLDEN = Path(__file__).parents[1] / "golden"
TWO_ACTORS = GOLDEN / "synthetic_two_actors.skeleton"
REAL = Path(os.environ.get("SKI_REAL_DATA", Path(__file__).parents[3] / "shared" / "real"))
GENUINE = REAL / "ntu" / "S001C001P001R001A001.skeleton"
GENUINE_GOLDEN = REAL.parent / "golden" / "ntu_pipeline_golden.npz"

needs_genuine_ntu = pytest.mark.skipif(not GENUINE.exists(), reason=f"the genuine NTU recording {GENUINE} is absent")


def track(frames, *, seed=0, width=0.5, height=1.7, restless=0.01, num_joints=25):
    """Return a body of `width` x `height` metres, placed by the seed, that moves by `restless`."""
    rng = np.random.default_rng(seed)
    n = len(frames)
    box = np.linspace(0, 1, num_joints)[:, None] * [width, height, 0.3]
    joints = box + rng.uniform(0, 3, 3) + rng.normal(0, restless, (n, 1, 3))
    return BodyTrack(
        frames=np.asarray(frames),
        joints=joints.astype(np.float32),
        colour=rng.uniform(0, 1080, (n, num_joints, 2)).astype(np.float32),
        depth=rng.uniform(0, 424, (n, num_joints, 2)).astype(np.float32),
        orientation=rng.normal(size=(n, num_joints, 4)).astype(np.float32),
        joint_state=rng.integers(0, 3, (n, num_joints)),
        states=rng.integers(0, 3, (n, 7)),
        lean=rng.normal(size=(n, 2)).astype(np.float32),
    )


def recording(*tracks, name="S001C001P001R001A001", num_frames=40):
    return Recording(name, num_frames, {72057594037931101 + i: body for i, body in enumerate(tracks)})


def as_150(joints):
    """Return the published scripts' rows of 150 numbers: two actors, zeros while absent, a single actor repeated."""
    joints = np.nan_to_num(joints)
    if joints.shape[1] == 1:
        joints = repeat(joints, "t 1 j c -> t m j c", m=2)
    return rearrange(joints, "t m j c -> t (m j c)").astype(np.float32)
