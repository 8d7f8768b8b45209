"""Measurements of a skeleton's motion: hands, swings, height, lean, walking, and the distance of two people.

The results are a few robust numbers per person in metres and frames, which `kinematics.py` turns into words.

Assumption: the joint labels are the person's own left and right. (Kinect v2 mirrors its colour image, so a right hand
appears on the right of the picture.)

Skeletons estimated from video alone have the hips as origin in every frame. They do not say where a person is. So no
jump, no walk and no distance of two people is measured on them.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from data_curation.captioning.key_joints import ANKLES, HEAD, HIPS, SHOULDERS, WRISTS

RULER = 0.06  # metres. Paths are measured with a ruler of this length, so that sensor noise adds nothing
STILL_HAND, BOTH_HANDS = 0.25, 0.6  # metres of path. The smaller hand's share from which both hands count
AT_HEAD, TOGETHER, STRETCHED = 0.35, 0.22, 0.5  # metres
SWING = 0.1  # metres between turning points of a repeated movement
LIFT = 0.15  # metres
RISE, JUMP, STEP, WALK, NEARER = 0.15, 0.1, 0.3, 0.7, 0.25  # metres
LEAN = 35.0  # degrees
FIXED = 1e-3  # metres; nobody's hips stay so still

Hands = Literal["left", "right", "both"]
HandPlace = Literal["head", "overhead", "together", "forward", "down"]
Travel = Literal["up", "down", "up and down", "down and up"]
Height = Literal["rises", "sinks", "dips", "jumps"]
Legs = Literal["still", "steps", "walk"]


@dataclass(frozen=True)
class Motion:
    """One person's movement over a clip, with None or False for movements that are absent."""

    amount: float  # metres that both wrists and both ankles travelled
    hands: Hands | None
    place: HandPlace | None  # the place that the moving hands reach
    stays: bool  # whether they stay there for much of the clip
    travel: Travel | None  # vertical movement of the moving hands relative to the shoulders
    swings: int  # full back-and-forth movements of the hand that moved most, or of both hands against each other
    height: Height | None
    drop: float  # metres that the hips sank (negative: rose) from start to end
    leans: bool
    legs: Legs | None  # None where the skeleton does not say where the hips are


@dataclass(frozen=True)
class Meeting:
    """The distance between two people, in metres between their hips, and their closest touch."""

    start: float
    end: float
    touch: float  # closest that a wrist came to the other's head or trunk
    hands: float  # closest that a wrist came to the other's wrist

    @property
    def change(self) -> Literal["closer", "apart", "same"]:
        """The change in one word. Less than a quarter of a metre is no change."""
        if abs(self.end - self.start) < NEARER:
            return "same"
        return "closer" if self.end < self.start else "apart"


def measure(joints: Float[np.ndarray, "T 7 3"]) -> Motion:
    """Measure one person from the key joints in metres, without the frames in which one is NaN.

    Raises:
        ValueError: the person is in fewer than two frames.
    """
    present = joints[np.isfinite(joints).all(axis=(1, 2))]
    if len(present) < 2:
        raise ValueError(
            f"found {len(present)} frames with this person, expected at least 2; clean the recording first"
        )
    body = _smooth(present)
    wrists = {side: body[:, wrist] - body[:, SHOULDERS] for side, wrist in WRISTS.items()}
    apart = np.linalg.norm(wrists["left"] - wrists["right"], axis=-1)
    paths = {side: ruler_path(wrist) for side, wrist in wrists.items()}
    steps = sum(ruler_path(body[:, ankle]) for ankle in ANKLES.values())
    hands = _moving_hands(paths, {side: float(np.linalg.norm(np.ptp(w, axis=0))) for side, w in wrists.items()}, apart)
    place, stays, hands = _place(body, hands) if hands else (None, False, None)
    moving = _sides(hands)
    swings = [count_swings(wrists[side]) for side in moving] + [_count_turns(apart) // 2] * (hands == "both")
    height, drop = _height(body)
    return Motion(
        amount=round(sum(paths.values()) + steps, 2),
        hands=hands,
        place=place,
        stays=stays,
        travel=_travel(np.mean([wrists[side][:, 1] for side in moving], axis=0)) if hands else None,
        swings=max(swings, default=0),
        height=height,
        drop=round(drop, 2),
        leans=_lean(body) > LEAN,
        legs=None if _is_hip_centred(body) else _legs(body, steps),
    )


def measure_meeting(joints: Float[np.ndarray, "T 2 7 3"]) -> Meeting | None:
    """Measure two people, or return None if they share fewer than two frames or a position is unknown."""
    both = joints[np.isfinite(joints).all(axis=(1, 2, 3))]
    if len(both) < 2:
        return None
    one, other = _smooth(both[:, 0]), _smooth(both[:, 1])
    if _is_hip_centred(one) and _is_hip_centred(other):
        return None
    distance = np.linalg.norm(one[:, HIPS] - other[:, HIPS], axis=-1)
    trunk, wrists = [HEAD, SHOULDERS, HIPS], list(WRISTS.values())
    touch = min(_nearest(one[:, wrists], other[:, trunk]), _nearest(other[:, wrists], one[:, trunk]))
    start, end = _ends(distance)
    return Meeting(round(start, 2), round(end, 2), touch, hands=_nearest(one[:, wrists], other[:, wrists]))


def _is_hip_centred(body: Float[np.ndarray, "T 7 3"]) -> bool:
    """Return whether the hips are the origin in every frame."""
    return bool(np.ptp(body[:, HIPS], axis=0).max() < FIXED)


def _nearest(a: Float[np.ndarray, "T A 3"], b: Float[np.ndarray, "T B 3"]) -> float:
    between = a[:, :, None] - b[:, None]
    return round(float(np.linalg.norm(between, axis=-1).min()), 2)


def ruler_path(points: Float[np.ndarray, "T 3"], *, ruler: float = RULER) -> float:
    """Measure a path in metres with a ruler. Movement within its length of the last mark does not count.

    >>> ruler_path(np.array([[0, 0, 0], [0.01, 0, 0], [0, 0, 0], [0.5, 0, 0.0]]))
    0.5
    """
    length, mark = 0.0, points[0]
    for point in points[1:]:
        step = float(np.linalg.norm(point - mark))
        if step > ruler:
            length, mark = length + step, point
    return length


def count_swings(points: Float[np.ndarray, "T 3"]) -> int:
    """Count full back-and-forth movements along the principal direction with most of them.

    >>> wave = np.zeros((100, 3))
    >>> wave[:, 0] = 0.2 * np.cos(np.linspace(0, 4 * 2 * np.pi, 100))
    >>> count_swings(wave)
    4
    """
    centred = points - points.mean(axis=0)
    directions = np.linalg.svd(centred, full_matrices=False)[2]
    return max(_count_turns(centred @ direction) for direction in directions) // 2


def _count_turns(values: Float[np.ndarray, " T"]) -> int:
    """Count movements in either direction of at least 10 cm and a quarter of the range."""
    minimum = max(SWING, 0.25 * float(np.ptp(values)))
    count, direction, extreme = 0, 0, values[0]
    for value in values:
        if direction * (value - extreme) > 0:
            extreme = value
        elif abs(value - extreme) >= minimum:
            count, direction, extreme = count + 1, (1 if value > extreme else -1), value
    return count


def _smooth(body: Float[np.ndarray, "T 7 3"]) -> Float[np.ndarray, "T 7 3"]:
    window = min(5, len(body))
    padded = np.concatenate([body[:1].repeat(window // 2, 0), body, body[-1:].repeat((window - 1) // 2, 0)])
    return np.lib.stride_tricks.sliding_window_view(padded, window, axis=0).mean(axis=-1)


def _ends(values: Float[np.ndarray, " T"]) -> tuple[float, float]:
    tenth = max(1, len(values) // 10)
    return float(np.median(values[:tenth])), float(np.median(values[-tenth:]))


def _moving_hands(paths: dict[str, float], extents: dict[str, float], apart: Float[np.ndarray, " T"]) -> Hands | None:
    """Return the hand with more path and extent, or both if they are together or move similarly."""
    if max(paths.values()) < STILL_HAND:
        return None
    if (apart < TOGETHER).mean() > 0.4 and min(extents.values()) > LIFT + RULER:
        return "both"
    if all(min(size.values()) > BOTH_HANDS * max(size.values()) for size in (paths, extents)):
        return "both"
    return "left" if paths["left"] * extents["left"] > paths["right"] * extents["right"] else "right"


def _sides(hands: Hands | None) -> list[str]:
    return ["left", "right"] if hands == "both" else [hands] if hands else []


def _travel(heights: Float[np.ndarray, " T"]) -> Travel | None:
    start, end = _ends(heights)
    if abs(end - start) > LIFT:
        return "up" if end > start else "down"
    if heights.max() - max(start, end) > LIFT:
        return "up and down"
    return "down and up" if min(start, end) - heights.min() > LIFT else None


def _place(body: Float[np.ndarray, "T 7 3"], hands: Hands) -> tuple[HandPlace | None, bool, Hands]:
    """Return the place reached for a tenth of the clip, whether for much of it, and the hands."""
    sides = _sides(hands)
    wrists = np.stack([body[:, WRISTS[side]] for side in sides])
    apart = np.linalg.norm(body[:, WRISTS["left"]] - body[:, WRISTS["right"]], axis=-1)
    together = np.broadcast_to((apart < TOGETHER) & (hands == "both"), wrists.shape[:2])
    out = np.linalg.norm((wrists - body[:, SHOULDERS])[..., [0, 2]], axis=-1)
    is_at: dict[HandPlace, np.ndarray] = {
        "overhead": wrists[..., 1] > body[:, HEAD, 1] + 0.08,
        "head": np.linalg.norm(wrists - body[:, HEAD], axis=-1) < AT_HEAD,
        "together": together,
        "forward": out > STRETCHED,
        "down": wrists[..., 1] < body[:, HIPS, 1] - 0.25,
    }
    for place in ("together", *is_at) if together.mean() > 0.4 else is_at:
        share = is_at[place].mean(axis=1)
        if share.max() > 0.1:
            only = None if share.min() > 0.1 else sides[int(share.argmax())]
            return place, bool(share.max() > 0.4), ("left" if only == "left" else "right") if only else hands
    return None, False, hands


def _height(body: Float[np.ndarray, "T 7 3"]) -> tuple[Height | None, float]:
    """Return the vertical movement of the body, and the drop of the hips in metres."""
    # Hips above the lower foot distinguish sitting and standing. Feet far above their usual level mean a jump.
    feet = body[:, list(ANKLES.values()), 1].min(axis=1)
    hips = body[:, HIPS, 1] - feet
    start, end = _ends(hips)
    travelled = np.linalg.norm(body[-1, HIPS, [0, 2]] - body[0, HIPS, [0, 2]])
    if feet.max() - np.median(feet) > JUMP and travelled < WALK and not _is_hip_centred(body):
        return "jumps", start - end
    if abs(end - start) > RISE:
        return ("rises" if end > start else "sinks"), start - end
    return ("dips" if min(start, end) - hips.min() > RISE else None), start - end


def _lean(body: Float[np.ndarray, "T 7 3"]) -> float:
    """Return the largest angle in degrees between the trunk and its direction at the start."""
    trunk = body[:, SHOULDERS] - body[:, HIPS]
    trunk = trunk / np.maximum(np.linalg.norm(trunk, axis=-1, keepdims=True), 1e-6)
    return float(np.degrees(np.arccos(np.clip(trunk @ trunk[0], -1, 1))).max())


def _legs(body: Float[np.ndarray, "T 7 3"], steps: float) -> Legs:
    hips = body[:, HIPS][:, [0, 2]]
    if np.linalg.norm(hips - hips[0], axis=-1).max() > WALK:
        return "walk"
    return "steps" if steps > STEP else "still"
