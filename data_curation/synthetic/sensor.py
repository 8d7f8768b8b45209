"""A Kinect v2's recording of moving bodies: noisy joints, inferred hands, lost bodies, ghosts."""

from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from data_curation.synthetic.camera import Camera, colour_pixels, depth_pixels
from data_curation.synthetic.motion import ANKLE_L, ANKLE_R, CHEST, FOOT_L, FOOT_R, HAND_L, HAND_R, SPINE_BASE
from ski_lvlm.skeletons.layouts import LAYOUTS
from ski_lvlm.skeletons.ntu_file import BodyTrack, Recording

NOISE = 0.005
"""Standard deviation of a tracked joint, metres."""
TRACKED, INFERRED = 2, 1

_FIRST_ID = 72057594037900000
_GUESSED = [HAND_L, HAND_R, ANKLE_L, ANKLE_R, FOOT_L, FOOT_R, 21, 22, 23, 24]
_BONES = np.array(LAYOUTS["ntu-25"].bones)
_ENDS = [3, 15, 19, 21, 22, 23, 24]


def record(
    bodies: tuple[Float[np.ndarray, "T 25 3"], ...],
    *,
    name: str,
    camera: Camera,
    rng: np.random.Generator,
    noise: float = NOISE,
    ghost_width: float = 1.5,
) -> Recording:
    """Record bodies that move in the room.

    Joints have the sensor's noise (standard deviation in metres). Colour and depth coordinates are projections of the
    true joints. In some clips bodies are lost for a few frames or a ghost appears, independently of person and action.
    A ghost that stays is a body made flat and `ghost_width` times as wide. From the side, 1.5 may pass for a person.
    """
    num_frames = len(bodies[0])
    visible = np.ones((len(bodies), num_frames), bool)
    if rng.random() < 0.12:
        _lose(visible, num_frames, rng)
    if rng.random() < 0.12:
        _lose(visible[rng.integers(len(bodies))][None], num_frames, rng)
    ids = _FIRST_ID + 1 + np.cumsum(rng.integers(1, 400, size=len(bodies) + 1))
    tracks = {
        int(i): _track(camera.see(body), visible=s, noise=noise, rng=rng) for i, body, s in zip(ids, bodies, visible)
    }
    if rng.random() < 0.15:
        tracks[int(ids[-1])] = _ghost(camera.see(bodies[0]), noise, ghost_width, rng)
    return Recording(name, num_frames, tracks)


def _lose(visible: Bool[np.ndarray, "M T"], num_frames: int, rng: np.random.Generator) -> None:
    start = rng.integers(3, max(num_frames - 9, 4))
    length = min(int(rng.integers(2, 6)), max(num_frames // 9, 1))  # cleaning drops who is there for 11 frames or less
    visible[:, start : start + length] = False


def _ghost(body: Float[np.ndarray, "T 25 3"], noise: float, width: float, rng: np.random.Generator) -> BodyTrack:
    """Return an object taken for a body: for a moment, or for long but wider than high."""
    num_frames = len(body)
    wide = rng.random() < 0.4
    length = int(rng.integers(14, 30) if wide else rng.integers(3, 11))
    length = min(length, num_frames - 1)  # of short clips
    start = rng.integers(num_frames - length)
    frozen = np.repeat(body[start][None], num_frames, axis=0)
    centre = frozen[:, CHEST : CHEST + 1]
    thing = centre + (frozen - centre) * ((width, 0.35, 1.0) if wide else (0.8, 0.8, 0.8))
    thing = thing + np.array([rng.choice([-1.1, 1.1]), rng.uniform(-0.2, 0.2), rng.uniform(0.4, 1.0)])
    visible = (np.arange(num_frames) >= start) & (np.arange(num_frames) < start + length)
    ghost = _track(thing, visible=visible, noise=noise, rng=rng)
    return replace(ghost, joint_state=np.full_like(ghost.joint_state, INFERRED))


def _track(
    body: Float[np.ndarray, "T 25 3"], *, visible: Bool[np.ndarray, " T"], noise: float, rng: np.random.Generator
) -> BodyTrack:
    """Return a body in camera space as the sensor reports it in its visible frames."""
    states = _joint_states(len(body), rng)
    noisy = body + _noise(body.shape, noise, rng) * np.where(states == INFERRED, 3.0, 1.0)[..., None]
    frames = np.flatnonzero(visible)
    lean = (body[:, CHEST] - body[:, SPINE_BASE])[frames]
    return BodyTrack(
        frames=frames,
        joints=noisy[frames].astype(np.float32),
        colour=colour_pixels(body[frames]).astype(np.float32),
        depth=depth_pixels(body[frames]).astype(np.float32),
        orientation=_orientations(body[frames]),
        joint_state=states[frames],
        states=np.tile([0, 1, 1, 1, 1, 0, TRACKED], (len(frames), 1)),
        lean=np.clip(lean[:, [0, 2]] / 0.5, -1, 1).astype(np.float32),
    )


def _joint_states(num_frames: int, rng: np.random.Generator) -> Int[np.ndarray, "T 25"]:
    """Return the states: tracked, except for hands and feet that are inferred now and then."""
    states = np.full((num_frames, 25), TRACKED)
    for joint in _GUESSED:
        if rng.random() < 0.15:
            start = rng.integers(num_frames)
            states[start : start + rng.integers(4, 14), joint] = INFERRED
    return states


def _noise(shape: tuple[int, ...], scale: float, rng: np.random.Generator) -> Float[np.ndarray, "T 25 3"]:
    """Return noise of which half the variance passes to the next frame."""
    noise = rng.normal(0, scale, shape)
    for frame in range(1, shape[0]):
        noise[frame] = np.sqrt(0.5) * noise[frame - 1] + np.sqrt(0.5) * noise[frame]
    return noise


def _orientations(body: Float[np.ndarray, "n 25 3"]) -> Float32[np.ndarray, "n 25 4"]:
    """Return quaternions (w, x, y, z) that rotate the vertical to each joint's bone.

    They are zero at the ends, as from the Kinect.
    """
    child, parent = _BONES.T
    bone = body[:, child] - body[:, parent]
    bone /= np.linalg.norm(bone, axis=-1, keepdims=True)
    turn = np.stack([1 + bone[..., 1], bone[..., 2], np.zeros_like(bone[..., 0]), -bone[..., 0]], axis=-1)
    turn[..., 1] += 1e-6  # a bone that points straight down has no unique turn
    quaternions = np.zeros((*body.shape[:2], 4), np.float32)
    quaternions[:, child] = turn / np.linalg.norm(turn, axis=-1, keepdims=True)
    quaternions[:, 0] = (1, 0, 0, 0)
    quaternions[:, _ENDS] = 0
    return quaternions
