"""The motion of a body: a person's build, a posture per frame, and the resulting 25 Kinect v2 joints.

A body has its own *frame*: x to its right, y up from the floor, z forward, all in metres. `Posture` gives pelvis,
trunk, hands and feet in that frame at every time. `joints` solves the chain (rotations along the spine, two-bone reach
of arms and legs), so that every bone keeps its length.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

(SPINE_BASE, SPINE_MID, NECK, HEAD, SHOULDER_L, ELBOW_L, WRIST_L, HAND_L) = range(8)
(SHOULDER_R, ELBOW_R, WRIST_R, HAND_R, HIP_L, KNEE_L, ANKLE_L, FOOT_L) = range(8, 16)
(HIP_R, KNEE_R, ANKLE_R, FOOT_R, CHEST, TIP_L, THUMB_L, TIP_R, THUMB_R) = range(16, 25)
NUM_JOINTS = 25
LEFT, RIGHT = 0, 1
RELAXED = np.array([0.17, -0.93, 0.14])
"""Where a hanging hand is, as a hand target."""

_SWAPPED = [0, 1, 2, 3, 8, 9, 10, 11, 4, 5, 6, 7, 16, 17, 18, 19, 12, 13, 14, 15, 20, 23, 24, 21, 22]
_MIRROR = np.array([-1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Build:
    """One person's proportions: `height` in metres, `width` and `girth` as multiples of the average, the hand used."""

    height: float
    width: float = 1.0
    girth: float = 1.0
    left_handed: bool = False

    @property
    def arm(self) -> float:
        """The distance of shoulder and wrist in metres, the unit of a posture's hand targets."""
        return 0.31 * self.height

    @property
    def standing_pelvis(self) -> float:
        """The height of the spine base above the floor when standing, in metres."""
        return 0.53 * self.height


@dataclass(frozen=True)
class Posture:
    """The posture over T frames in the body's frame, as if right-handed (a left-handed body is mirrored).

    `place` is the person's position on the floor (x, z) and `heading` the viewing direction: 0 away from camera 1, pi
    towards it. `pelvis` is the offset from standing, `feet` that of each ankle, in metres. `hands` are wrist targets
    from the shoulder in arm lengths: outward, up, forward. Angles in radians: `lean` forward, `roll` to the right,
    `twist` of the right shoulder forward, `nod` and `roll` of the head on top.
    """

    place: Float[np.ndarray, "T 2"]
    heading: Float[np.ndarray, " T"]
    pelvis: Float[np.ndarray, "T 3"]
    feet: Float[np.ndarray, "T 2 3"]
    hands: Float[np.ndarray, "T 2 3"]
    lean: Float[np.ndarray, " T"]
    roll: Float[np.ndarray, " T"]
    twist: Float[np.ndarray, " T"]
    nod: Float[np.ndarray, " T"]


def standing(num_frames: int) -> Posture:
    """Return a relaxed person in the middle of the room who faces camera 1."""
    zero = np.zeros(num_frames)
    return Posture(
        place=np.zeros((num_frames, 2)),
        heading=zero + np.pi,
        pelvis=np.zeros((num_frames, 3)),
        feet=np.zeros((num_frames, 2, 3)),
        hands=np.tile(RELAXED, (num_frames, 2, 1)),
        lean=zero,
        roll=zero,
        twist=zero,
        nod=zero,
    )


def track(clock: Float[np.ndarray, " T"], keys: Sequence[tuple[float, object]]) -> Float[np.ndarray, "T ..."]:
    """Interpolate keys at `clock` with rest at each key (minimum jerk), constant outside the keys.

    >>> track(np.array([0.0, 0.5, 2.0]), [(0, 1.0), (1, 3.0)]).tolist()
    [1.0, 2.0, 3.0]
    """
    times = np.array([time for time, _ in keys])
    values = np.array([np.asarray(value, dtype=float) for _, value in keys])
    after = np.clip(np.searchsorted(times, clock, side="right"), 1, len(times) - 1)
    share = np.clip((clock - times[after - 1]) / (times[after] - times[after - 1]), 0, 1)
    eased = share**3 * (10 - 15 * share + 6 * share**2)
    eased = eased.reshape(eased.shape + (1,) * (values.ndim - 1))
    return values[after - 1] + eased * (values[after] - values[after - 1])


def swayed(posture: Posture, *, seconds: Float[np.ndarray, " T"], rng: np.random.Generator) -> Posture:
    """Return the posture with the small movements of a living body."""

    def wave(scale: float) -> Float[np.ndarray, " T"]:
        slow, quick = rng.uniform(0.2, 0.5), rng.uniform(0.6, 1.1)
        first, second = rng.uniform(0, 2 * np.pi, 2)
        return scale * (np.sin(2 * np.pi * slow * seconds + first) + 0.4 * np.sin(2 * np.pi * quick * seconds + second))

    return replace(
        posture,
        pelvis=posture.pelvis + np.stack([wave(0.008), -np.abs(wave(0.003)), wave(0.008)], axis=-1),
        hands=posture.hands + np.stack([wave(0.012) for _ in range(6)], axis=-1).reshape(-1, 2, 3),
        lean=posture.lean + wave(0.015),
        roll=posture.roll + wave(0.012),
        nod=posture.nod + wave(0.03),
    )


def joints(posture: Posture, *, build: Build) -> Float[np.ndarray, "T 25 3"]:
    """Return the body's joints in the room (metres, y up, floor at 0), in Kinect v2 order."""
    body_joints = frame_joints(posture, build)
    if build.left_handed:
        body_joints = body_joints[:, _SWAPPED] * _MIRROR
    placed = _turned(body_joints, posture.heading[:, None])
    placed[..., [0, 2]] += posture.place[:, None]
    return placed


def reach(point: Float[np.ndarray, "T 3"], *, posture: Posture, build: Build, side: int) -> Float[np.ndarray, "T 3"]:
    """Return the hand target (as `Posture.hands`) that brings a wrist to a point of the room."""
    offset = point - np.insert(posture.place, 1, 0, axis=1)
    body_offset = _turned(offset, posture.heading) * (_MIRROR if build.left_handed else 1)
    target = (body_offset - frame_joints(posture, build)[:, (SHOULDER_L, SHOULDER_R)[side]]) / build.arm
    return target * side_signs(side)


def _turned(points: Float[np.ndarray, "*any 3"], heading: Float[np.ndarray, "..."]) -> Float[np.ndarray, "*any 3"]:
    """Transform between the body's frame and the room's, in either direction.

    The room is mirrored, as the Kinect's image: the right hand of a person who faces camera 1 is on the right.
    """
    sin, cos = np.sin(heading), np.cos(heading)
    x, y, z = np.moveaxis(points, -1, 0)
    return np.stack([-cos * x + sin * z, y, sin * x + cos * z], axis=-1)


def frame_joints(posture: Posture, build: Build) -> Float[np.ndarray, "T 25 3"]:
    """Return the joints in the body's frame (metres), as if right-handed."""
    out = np.zeros((len(posture.lean), NUM_JOINTS, 3))
    _trunk(out, posture, build)
    for side in (LEFT, RIGHT):
        _arm(out, posture, build, side)
        _leg(out, posture, build, side)
    return out


def _trunk(out: Float[np.ndarray, "T 25 3"], posture: Posture, build: Build) -> None:
    h = build.height
    out[:, SPINE_BASE] = posture.pelvis + np.array([0, build.standing_pelvis, 0])
    out[:, SPINE_MID] = out[:, SPINE_BASE] + 0.15 * h * upward(0.75 * posture.lean, 0.75 * posture.roll)
    up = upward(1.1 * posture.lean, 1.1 * posture.roll)
    out[:, CHEST] = out[:, SPINE_MID] + 0.14 * h * up
    out[:, NECK] = out[:, CHEST] + 0.035 * h * upward(0.85 * posture.lean + 0.6 * posture.nod, posture.roll)
    out[:, HEAD] = out[:, NECK] + 0.085 * h * upward(0.85 * posture.lean + posture.nod, 1.5 * posture.roll)
    shoulders = sideways(up, posture.twist)
    pelvis_up = upward(0.3 * posture.lean, 0.3 * posture.roll)
    hips = sideways(pelvis_up, 0.4 * posture.twist)
    for sign, shoulder, hip in ((-1, SHOULDER_L, HIP_L), (1, SHOULDER_R, HIP_R)):
        out[:, shoulder] = out[:, CHEST] + sign * 0.105 * h * build.width * shoulders - 0.012 * h * up
        out[:, hip] = out[:, SPINE_BASE] + sign * 0.05 * h * build.width * hips - 0.012 * h * pelvis_up


def _arm(out: Float[np.ndarray, "T 25 3"], posture: Posture, build: Build, side: int) -> None:
    h, signs = build.height, side_signs(side)
    shoulder, elbow, wrist, hand = (range(4, 8), range(8, 12))[side]
    tip, thumb = ((TIP_L, THUMB_L), (TIP_R, THUMB_R))[side]
    target = out[:, shoulder] + posture.hands[:, side] * signs * build.arm
    raised = track(posture.hands[:, side, 1], [(-0.3, 0.0), (0.2, 1.0)])
    bent = (np.array([0.45, -0.9, -0.35]) + raised[:, None] * np.array([0.0, 0.0, 0.7])) * signs  # elbows point back
    out[:, elbow], out[:, wrist] = _two_bones(out[:, shoulder], target, lengths=(0.165 * h, 0.145 * h), towards=bent)
    along = unit(out[:, wrist] - out[:, elbow])
    out[:, hand] = out[:, wrist] + 0.045 * h * along
    out[:, tip] = out[:, hand] + 0.04 * h * along
    inward = np.array([-1.0, 0.3, 0.4]) * signs
    across = unit(inward - (inward * along).sum(-1, keepdims=True) * along)
    out[:, thumb] = out[:, wrist] + 0.03 * h * along + 0.02 * h * across


def _leg(out: Float[np.ndarray, "T 25 3"], posture: Posture, build: Build, side: int) -> None:
    h, signs = build.height, side_signs(side)
    hip, knee, ankle, foot = (range(12, 16), range(16, 20))[side]
    target = posture.feet[:, side] + np.array([0.065 * build.width, 0.045, -0.01]) * h * signs
    bent = np.array([0.25, 0.1, 1.0]) * signs
    out[:, knee], out[:, ankle] = _two_bones(out[:, hip], target, lengths=(0.242 * h, 0.238 * h), towards=bent)
    out[:, foot] = out[:, ankle] + np.array([0.015, -0.025, 0.075]) * h * signs


def _two_bones(
    start: Float[np.ndarray, "T 3"],
    target: Float[np.ndarray, "T 3"],
    *,
    lengths: tuple[float, float],
    towards: Float[np.ndarray, "*T 3"],
) -> tuple[Float[np.ndarray, "T 3"], Float[np.ndarray, "T 3"]]:
    """Return middle and end of a limb that reaches for `target`, bent `towards`, as far as it can."""
    first, second = lengths
    along = unit(target - start)
    distance = np.linalg.norm(target - start, axis=-1, keepdims=True)
    distance = np.clip(distance, abs(first - second) + 0.1 * second, (first + second) * 0.999)
    forward = (first**2 - second**2 + distance**2) / (2 * distance)
    aside = unit(towards - (along * towards).sum(-1, keepdims=True) * along)
    middle = start + forward * along + np.sqrt(np.maximum(first**2 - forward**2, 0)) * aside
    return middle, start + distance * along


def side_signs(side: int) -> Float[np.ndarray, " 3"]:
    """Return the factors that turn a hand target of a side into right, up and forward."""
    return np.array([(-1.0, 1.0)[side], 1.0, 1.0])


def upward(lean: Float[np.ndarray, " T"], roll: Float[np.ndarray, " T"]) -> Float[np.ndarray, "T 3"]:
    """Return the unit vector along a trunk that leans forward and rolls to the right."""
    return np.stack([np.sin(roll) * np.cos(lean), np.cos(roll) * np.cos(lean), np.sin(lean)], axis=-1)


def sideways(up: Float[np.ndarray, "T 3"], twist: Float[np.ndarray, " T"]) -> Float[np.ndarray, "T 3"]:
    """Return the unit vector to the right, turned forward by `twist`, orthogonal to `up`."""
    right = np.stack([np.cos(twist), np.zeros_like(twist), np.sin(twist)], axis=-1)
    return unit(right - (right * up).sum(-1, keepdims=True) * up)


def unit(vector: Float[np.ndarray, "T 3"]) -> Float[np.ndarray, "T 3"]:
    """Normalise vectors."""
    return vector / np.maximum(np.linalg.norm(vector, axis=-1, keepdims=True), 1e-9)
