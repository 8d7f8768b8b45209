"""Preprocessing of a cleaned skeleton of any length: crop, resize, rotate, centre, and take joints or bones.

Checkpoints store their `Preprocessing`, since a network is only right on input made as its training input was.
"""

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

import numpy as np
from einops import einsum
from jaxtyping import Bool, Float, Float32

from ski_lvlm.skeletons.cleaning import CLEANING
from ski_lvlm.skeletons.layouts import Layout, layout_named

Stream = Literal["joint", "bone", "velocity"]

_VERSION = 1
NUM_PERSONS = 2
_TEST_CROP = 0.95  # of the frames, from the middle
_TRAIN_CROP = (0.5, 1.0)
_SHORTEST_TRAIN_CROP = 64  # frames, as the published feeder has it
_LARGEST_ANGLE = 0.3  # radians about each axis


@dataclass(frozen=True)
class Preprocessing:
    """Settings by which skeletons become a network's input.

    `centring` "spine" subtracts the layout's centre in every frame, except from the centre joints themselves. "none"
    leaves positions alone. `streams` are concatenated along the channels. `absent` "mask" leaves an absent person or
    joint NaN for the encoder to mask. "zeros" is the published way. It knows absent persons alone, and single absent
    joints are refused, because a joint at the origin is made up.

    The number of frames T_s is not part of this. Each stage sets it, and the card of an encoder stores it.
    """

    version: int = _VERSION
    layout: str = "ntu-25"
    cleaning: str = CLEANING
    centring: Literal["spine", "none"] = "spine"
    streams: tuple[Stream, ...] = ("joint",)
    absent: Literal["mask", "zeros"] = "mask"

    def __post_init__(self) -> None:
        layout_named(self.layout)
        allowed = {"centring": ("spine", "none"), "absent": ("mask", "zeros")}
        for name, values in allowed.items():
            if getattr(self, name) not in values:
                raise ValueError(f"{name} is {getattr(self, name)!r}; expected one of {', '.join(values)}")
        if not self.streams or set(self.streams) - {"joint", "bone", "velocity"}:
            raise ValueError(f"streams are {self.streams}; expected one or more of joint, bone, velocity")
        if self.version != _VERSION:
            raise ValueError(
                f"the preprocessing has version {self.version}, but this code makes version {_VERSION}; "
                "use the code that the checkpoint came from, or train again"
            )

    @property
    def num_channels(self) -> int:
        """Number of channels C of the network's input."""
        return len(self.streams) * layout_named(self.layout).dimensions

    def to_json(self) -> dict[str, Any]:
        """Return a dictionary for a checkpoint's JSON file."""
        return {**asdict(self), "streams": list(self.streams)}

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> "Preprocessing":
        """Return the preprocessing that `to_json` stored.

        Raises:
            ValueError: another version of this code stored it.
        """
        expected = {field.name for field in fields(cls)}
        if set(stored) != expected:
            raise ValueError(
                f"the stored preprocessing has the fields {sorted(stored)}; expected {sorted(expected)}: "
                "it comes from another version of this code"
            )
        return cls(**{**stored, "streams": tuple(stored["streams"])})

    def check_matches(self, other: "Preprocessing") -> None:
        """Make sure that a network trained on `self` may be fed with `other`.

        Raises:
            ValueError: they differ.
        """
        differing = [
            f"{name}: {value!r} against {other_value!r}"
            for (name, value), other_value in zip(asdict(self).items(), asdict(other).values(), strict=True)
            if value != other_value
        ]
        if differing:
            raise ValueError(
                f"the skeleton encoder was trained on another preprocessing ({'; '.join(differing)}); "
                "prepare the skeletons its way, or train an encoder on these"
            )


def preprocess(
    joints: Float32[np.ndarray, "T M J D"],
    *,
    num_frames: int,
    preprocessing: Preprocessing,
    rng: np.random.Generator | None = None,
    window: tuple[float, float] | None = None,
) -> Float32[np.ndarray, "{num_frames} 2 J C"]:
    """Make a clip into the network's input of `num_frames` frames and two persons (NaN marks absence).

    With `rng` this is training: a random stretch of half to all of the frames, and a random rotation. Without, it is
    the middle 95 %, always the same. A `window`, as two shares of the clip, replaces either stretch, so that a skeleton
    covers the time that its video covers.

    Raises:
        ValueError: the clip has no frame, more than two persons, or another layout's joints, or the window is empty or
            reaches beyond the clip, or joints are absent where the preprocessing has zeros for the absent.
    """
    layout = layout_named(preprocessing.layout)
    skeleton = _two_persons(joints, layout, preprocessing)
    skeleton = resize(skeleton[_stretch(window, len(skeleton)) if window else _crop(len(skeleton), rng)], num_frames)
    if rng is not None and layout.dimensions == 3:
        skeleton = einsum(_random_rotation(rng), skeleton, "turned axis, t m j axis -> t m j turned")
    return _streams(skeleton, layout, preprocessing)


def interleaved_views(
    joints: Float32[np.ndarray, "T M J D"], *, num_frames: int, num_views: int, preprocessing: Preprocessing
) -> Float32[np.ndarray, "{num_views} {num_frames} 2 J C"]:
    """Make a clip into several test inputs of `num_frames` frames, each shifted by a fraction of a frame.

    Every view spans the same 95 % of the clip at the same speed. View v holds the frames v, v + V, v + 2 V, ... of the
    clip at `num_frames` x V frames. One view is exactly the test input of `preprocess`.

    Raises:
        ValueError: the clip has no frame, more than two persons, or another layout's joints.
    """
    layout = layout_named(preprocessing.layout)
    skeleton = _two_persons(joints, layout, preprocessing)
    dense = resize(skeleton[_crop(len(skeleton), None)], num_frames * num_views)
    return np.stack([_streams(dense[view::num_views], layout, preprocessing) for view in range(num_views)])


def _two_persons(
    joints: Float32[np.ndarray, "T M J D"], layout: Layout, preprocessing: Preprocessing
) -> Float32[np.ndarray, "T 2 J D"]:
    _check_shape(joints, layout)
    skeleton = np.full((len(joints), NUM_PERSONS, *joints.shape[2:]), np.nan, np.float32)
    skeleton[:, : joints.shape[1]] = whole_joints(joints, layout=layout)
    if preprocessing.absent == "mask":
        return skeleton
    skeleton[~is_present(skeleton)] = 0.0
    if np.isnan(skeleton).any():
        raise ValueError(
            "some joints of a person are absent (NaN), which a preprocessing with zeros for the absent does not know; "
            "use an encoder trained with --absent mask, or skeletons that have all joints"
        )
    return skeleton


def _check_shape(joints: Float32[np.ndarray, "T M J D"], layout: Layout) -> None:
    frames, persons, num_joints, dimensions = joints.shape
    is_of_layout = (num_joints, dimensions) == (layout.num_joints, layout.dimensions)
    if frames == 0 or not 1 <= persons <= NUM_PERSONS or not is_of_layout:
        raise ValueError(
            f"found a skeleton of {frames} frames, {persons} persons and {num_joints} joints with {dimensions} "
            f"coordinates; expected at least one frame, one or two persons and {layout.num_joints} joints with "
            f"{layout.dimensions} (layout {layout.name}): prepare the skeletons again with the right --layout"
        )


def _stretch(window: tuple[float, float], length: int) -> slice:
    """Return the frames whose middles lie in the window, or the nearest one if there is none."""
    start, stop = window
    if not 0 <= start < stop <= 1:
        raise ValueError(f"the time window is {start} to {stop}; expected shares of the clip, 0 <= start < stop <= 1")
    first = min(round(start * length), length - 1)
    return slice(first, max(round(stop * length), first + 1))


def _crop(length: int, rng: np.random.Generator | None) -> slice:
    if rng is None:
        border = int((1 - _TEST_CROP) * length / 2)
        return slice(border, length - border)
    cropped = min(max(int(length * rng.uniform(*_TRAIN_CROP)), _SHORTEST_TRAIN_CROP), length)
    start = int(rng.integers(0, length - cropped + 1))
    return slice(start, start + cropped)


def resize(joints: Float32[np.ndarray, "T M J D"], num_frames: int) -> Float32[np.ndarray, "{num_frames} M J D"]:
    """Stretch or shrink a clip in time by linear interpolation (frames count from their middles, ends are repeated).

    A joint is interpolated between two frames that both have it. Between a frame with and one without, the nearer one
    decides. So an absence does not spread, and no person and no joint is made up.
    """
    at = np.clip((np.arange(num_frames) + 0.5) * (len(joints) / num_frames) - 0.5, 0, len(joints) - 1)
    before = np.floor(at).astype(int)
    after = np.minimum(before + 1, len(joints) - 1)
    weight = (at - before).astype(np.float32)[:, None, None, None]
    mixed = (1 - weight) * joints[before] + weight * joints[after]
    nearest = joints[np.where(at - before < 0.5, before, after)]
    return np.where(np.isnan(mixed), nearest, mixed)


def _random_rotation(rng: np.random.Generator) -> Float32[np.ndarray, "3 3"]:
    angles = rng.uniform(-_LARGEST_ANGLE, _LARGEST_ANGLE, 3)
    (cx, cy, cz), (sx, sy, sz) = np.cos(angles), np.sin(angles)
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return (about_z @ about_y @ about_x).astype(np.float32)


def _streams(
    skeleton: Float32[np.ndarray, "T M J D"], layout: Layout, preprocessing: Preprocessing
) -> Float32[np.ndarray, "T M J C"]:
    joint = _centred(skeleton, layout.centre) if preprocessing.centring == "spine" else skeleton
    streams = {"joint": lambda: joint, "bone": lambda: _bones(skeleton, layout), "velocity": lambda: _velocity(joint)}
    channels = np.concatenate([streams[name]() for name in preprocessing.streams], axis=-1)
    # of several streams, a joint without its bone is absent from all, since the encoder takes or leaves whole joints
    return np.where(np.isnan(channels).any(axis=-1, keepdims=True), np.float32(np.nan), channels)


def _centred(skeleton: Float32[np.ndarray, "T M J D"], centre: tuple[int, ...]) -> Float32[np.ndarray, "T M J D"]:
    """Subtract the mean of the centre joints that are there. Every person who is there has one (`whole_joints`)."""
    joints = skeleton[:, :, list(centre)]
    is_there = ~np.isnan(joints).any(axis=-1, keepdims=True)
    number = is_there.sum(axis=2, keepdims=True).astype(np.float32)
    middle = np.where(is_there, joints, 0).sum(axis=2, keepdims=True) / np.where(number, number, np.nan)
    centred = skeleton - middle
    centred[:, :, list(centre)] = joints
    return centred


def _bones(skeleton: Float32[np.ndarray, "T M J D"], layout: Layout) -> Float32[np.ndarray, "T M J D"]:
    """Return each joint relative to its parent, absent if one of both is. The root, without parent, keeps its position.

    Deviation: the published feeder attaches the hand tips to the thumbs. Here, as in the network's graph, they are
    attached to the hands.
    """
    child, parent = np.array(layout.bones).T
    bones = skeleton.copy()
    bones[:, :, child] -= skeleton[:, :, parent]
    return bones


def _velocity(joint: Float32[np.ndarray, "T M J D"]) -> Float32[np.ndarray, "T M J D"]:
    """Return the difference to the next frame: zero where a joint has none, NaN where it is absent."""
    velocity = np.zeros_like(joint)
    velocity[:-1] = joint[1:] - joint[:-1]
    return np.where(np.isnan(joint), np.nan, np.nan_to_num(velocity))


def is_present(skeleton: Float[np.ndarray, "T M J C"]) -> Bool[np.ndarray, "T M"]:
    """Return which persons are present in which frame, be it with some of their joints."""
    return ~np.isnan(skeleton).all(axis=(2, 3))


def whole_joints(joints: Float32[np.ndarray, "T M J D"], *, layout: Layout) -> Float32[np.ndarray, "T M J D"]:
    """Make a joint absent that lacks a coordinate, and a person without any of the layout's centre joints.

    >>> from ski_lvlm.skeletons.layouts import LAYOUTS
    >>> person = np.zeros((1, 1, 17, 2), np.float32)
    >>> person[0, 0, [5, 6, 9], 1] = np.nan
    >>> is_present(whole_joints(person, layout=LAYOUTS["coco-17"])).tolist()  # both shoulders are absent
    [[False]]
    """
    absent = np.isnan(joints).any(axis=-1)
    absent |= absent[:, :, list(layout.centre)].all(axis=2, keepdims=True)
    return np.where(absent[..., None], np.float32(np.nan), joints)


def mirror(joints: Float32[np.ndarray, "T M J D"], *, layout: Layout) -> Float32[np.ndarray, "T M J D"]:
    """Mirror a skeleton: x changes sign, and left and right joints change places."""
    order = np.arange(layout.num_joints)
    left, right = np.array(layout.left_right).T
    order[left], order[right] = right, left
    mirrored = joints[:, :, order]
    mirrored[..., 0] *= -1
    return mirrored
