"""The ways of things through a performance: in hands, on heads, at rest, in the air."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from data_curation.synthetic.motion import HAND_L, HAND_R, HEAD, NECK, TIP_L, TIP_R, WRIST_L, WRIST_R, track
from data_curation.synthetic.props import SEAT_HEIGHT, UP, Holder
from data_curation.world.stage import Keeper

HALF_HEIGHTS = {"box": 0.13, "ball": 0.125, "cup": 0.085, "bottle": 0.13, "glass": 0.08}
"""Metres from the floor to the centre of a thing that stands."""
TABLE_HEIGHT = 0.745
_TABLE_AHEAD = 0.68
_LONG = ("toothbrush", "hairbrush", "racket")
_TOOLS = {"toothbrush": (0.1, -0.06), "hairbrush": (0.0, 0.02)}
"""Where tools are used: metres ahead of the head's joint and above it."""
_FLAT = ("book", "phone", "paper", "snack")
_SHEETS = ("paper",)
"""Things that two hands hold as two halves."""
_GRAB = 0.12  # seconds in which a thing passes from one keeper to the next
_GRAVITY = 9.81


@dataclass(frozen=True)
class ThingPath:
    """A thing over T moments: its centre (metres, room) and the directions of its right, up and front."""

    kind: str
    centre: Float[np.ndarray, "T 3"]
    axes: Float[np.ndarray, "T 3 3"]

    def at(self, moments: Int[np.ndarray, " N"]) -> "ThingPath":
        """Return the thing at some of its moments."""
        return replace(self, centre=self.centre[moments], axes=self.axes[moments])


def thing_path(kind: str, keepers: Sequence[Keeper], *, holders: Sequence[Holder]) -> list[ThingPath]:
    """Return the way of a thing from keeper to keeper, or two ways of what is held as two halves."""
    if kind in _SHEETS:
        halves = [[replace(keeper, holding=hand) for keeper in keepers] for hand in ("main", "other")]
        return [_path(kind, half, holders) for half in halves]
    return [_path(kind, keepers, holders)]


def _path(kind: str, keepers: Sequence[Keeper], holders: Sequence[Holder]) -> ThingPath:
    seconds = holders[0].seconds
    first = keepers[0]
    centre, axes = _kept(kind, first, holders[first.person], before=None)
    for keeper in keepers[1:]:
        holder = holders[keeper.person]
        later, turned = _kept(kind, keeper, holder, before=centre)
        share = (seconds >= keeper.time) * 1.0
        if keeper.holding not in ("fly", "bounce"):
            share = track(seconds, [(keeper.time - _GRAB, 0.0), (keeper.time + _GRAB, 1.0)])
        centre = centre + share[:, None] * (later - centre)
        axes = np.where((share > 0.5)[:, None, None], turned, axes)
    return ThingPath(kind, centre, axes)


def _kept(
    kind: str, keeper: Keeper, holder: Holder, *, before: Float[np.ndarray, "T 3"] | None
) -> tuple[Float[np.ndarray, "T 3"], Float[np.ndarray, "T 3 3"]]:
    """Return centre and axes of a thing as if the keeper had it all the time."""
    half = HALF_HEIGHTS.get(kind, 0.05)
    upright = holder.axes()
    match keeper.holding:
        case "main" | "other":
            return _in_hand(kind, keeper.holding, holder)
        case "both":
            return holder.between_hands + 0.09 * holder.forward - 0.02 * UP, _held_axes(kind, holder, upright[:, 1])
        case "head":
            up = holder.joints[:, HEAD] - holder.joints[:, NECK]
            up = up / np.linalg.norm(up, axis=-1, keepdims=True)
            return holder.joints[:, HEAD] + 0.09 * up, holder.axes(up)
        case "fly":
            return _flight(keeper, holder, before, half), upright
        case "bounce":
            return _bounces(keeper, holder, half), upright
    moment = int(np.searchsorted(holder.seconds, keeper.time).clip(0, len(holder.seconds) - 1))
    still = np.tile(upright[0], (len(upright), 1, 1))
    return np.tile(_spot(keeper.holding, holder, moment, half), (len(upright), 1)), still


def _spot(holding: str, holder: Holder, moment: int, half: float) -> Float[np.ndarray, " 3"]:
    """Return the point at which a thing rests."""
    start = np.insert(holder.posture.place[0], 1, 0.0)
    ahead = holder.forward[0]
    match holding:
        case "behind":
            return start - (0.23 * holder.build.height + 0.02) * ahead + SEAT_HEIGHT * UP
        case "ahead":
            return start + _TABLE_AHEAD * ahead
        case "table":
            side = -1.0 if holder.build.left_handed else 1.0
            return start + 0.6 * ahead + 0.15 * side * holder.right[0] + (TABLE_HEIGHT + half) * UP
        case _:
            return start + 0.44 * ahead + half * UP


def _in_hand(kind: str, hand: str, holder: Holder) -> tuple[Float[np.ndarray, "T 3"], Float[np.ndarray, "T 3 3"]]:
    is_right = (hand == "main") != holder.build.left_handed
    palm, wrist, tip = (HAND_R, WRIST_R, TIP_R) if is_right else (HAND_L, WRIST_L, TIP_L)
    along = holder.joints[:, tip] - holder.joints[:, wrist]
    if kind in _TOOLS:
        along = _towards_head(kind, along, holder.joints[:, palm], holder)
    centre = holder.joints[:, palm] + (0.0 if kind in _LONG else 0.05) * holder.forward
    if kind == "paper":
        inward = (1.0 if is_right else -1.0) * -holder.right
        centre = centre + 0.05 * inward + 0.05 * UP
    return centre, _held_axes(kind, holder, along)


def _towards_head(
    kind: str, along: Float[np.ndarray, "T 3"], palm: Float[np.ndarray, "T 3"], holder: Holder
) -> Float[np.ndarray, "T 3"]:
    """Return the direction of a tool: along the hand, and at the head towards where it is used."""
    ahead, up = _TOOLS[kind]
    towards = holder.joints[:, HEAD] + ahead * holder.forward + up * UP - palm
    distance = np.linalg.norm(towards, axis=-1, keepdims=True)
    share = np.clip((0.5 - distance) / 0.15, 0, 1)
    return (1 - share) * along / np.linalg.norm(along, axis=-1, keepdims=True) + share * towards / distance


def _held_axes(kind: str, holder: Holder, along: Float[np.ndarray, "T 3"]) -> Float[np.ndarray, "T 3 3"]:
    """Return the axes of a held thing: along the hand, towards the face, or tipped with the head."""
    nod = holder.posture.nod[:, None]
    if kind in _LONG:
        return holder.axes(along + 0.02 * holder.forward)
    if kind in _FLAT:
        return holder.axes(UP + (0.1 + np.maximum(nod, 0)) * holder.forward)
    if kind in ("cup", "glass", "bottle"):
        return holder.axes(UP - np.clip(-2.2 * nod, 0, 1.1) * holder.forward)
    return holder.axes()


def _flight(
    keeper: Keeper, holder: Holder, before: Float[np.ndarray, "T 3"] | None, half: float
) -> Float[np.ndarray, "T 3"]:
    """Return a throw, which ends on the floor."""
    moment = int(np.searchsorted(holder.seconds, keeper.time).clip(0, len(holder.seconds) - 1))
    start = before[moment] if before is not None else holder.hand[moment]
    forward, up = keeper.velocity
    time = np.maximum(holder.seconds - holder.seconds[moment], 0)
    landing = (up + np.sqrt(up**2 + 2 * _GRAVITY * max(start[1] - half, 0))) / _GRAVITY
    covered = forward * np.minimum(time, landing + 0.25)
    height = np.maximum(start[1] + up * time - 0.5 * _GRAVITY * time**2, half)
    return np.stack([start[0] + 0 * time, height, start[2] + 0 * time], axis=-1) + np.outer(
        covered, holder.forward[moment]
    )


def _bounces(keeper: Keeper, holder: Holder, half: float) -> Float[np.ndarray, "T 3"]:
    """Return a ball between the hand and the floor, at the hand at each beat."""
    phase = np.maximum(holder.seconds - keeper.time, 0) / keeper.beat % 1.0
    height = 1 - (1 - np.abs(2 * phase - 1)) ** 2 * 1.0
    under = holder.hand + 0.05 * holder.forward
    under[:, 1] = half + height * (under[:, 1] - 2 * half)
    return under
