"""From what the Kinect saw to at most two actors: the cleaning that CTR-GCN and Hyperformer use, named `ctrgcn-1`."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from einops import rearrange, repeat
from jaxtyping import Bool, Float, Float32, Int

from ski_lvlm.skeletons.ntu_file import Recording

CLEANING = "ctrgcn-1"

_LONGEST_GHOST = 11  # frames
_WIDE = 0.8  # times the height; wider skeletons are furniture or noise
_WIDE_SHARE = 0.69754  # of the frames of a body
_ORIGIN_JOINT = 1  # mid spine
_NUM_JOINTS = 25


class CleaningError(ValueError):
    """Nothing is left of a recording."""


@dataclass(frozen=True)
class CleanSkeleton:
    """One or two actors in metres, NaN where an actor is absent; the origin is the main actor's first mid spine.

    `frame_index` says which frame of the recording a row comes from, `body_ids` whose tracks the actors consist of,
    and `actors` which actor (0 is the main one) each of these tracks belongs to.
    """

    joints: Float32[np.ndarray, "T M 25 3"]
    frame_index: Int[np.ndarray, " T"]
    body_ids: tuple[int, ...]
    actors: tuple[int, ...]


class _Track(NamedTuple):
    body_id: int
    start: int  # row
    joints: Float32[np.ndarray, "n 25 3"]
    motion: float

    @property
    def last(self) -> int:
        return self.start + len(self.joints) - 1


def clean(recording: Recording) -> CleanSkeleton:
    """Drop frames without body, tracks that are short or wide, and merge the rest, liveliest first, into two actors.

    A body's gaps are closed, as the published scripts do: its frames follow on one another from the first one on.

    Assumption: a body with a NaN among its joints is absent from that frame; the published scripts let the NaN through.

    Raises:
        CleaningError: no body, or none that is not a ghost; or the joints are not NTU's 25.
    """
    rows, tracks = _tracks(recording)
    if len(tracks) > 1:
        tracks = _without_wide(_without_short(tracks, recording.name))
    actors, owners = _merge(tracks, len(rows))
    present = ~np.isnan(actors).any(axis=(2, 3))
    actors[~present] = np.nan
    kept = present.any(axis=1)
    actors, present = actors[kept], present[kept]
    if not present[:, 0].any():
        raise CleaningError(f"{recording.name}: the main actor has NaN joints in every frame; leave the clip out")
    actors -= actors[np.argmax(present[:, 0]), 0, _ORIGIN_JOINT]
    return CleanSkeleton(actors, rows[kept], body_ids=tuple(owners), actors=tuple(owners.values()))


def _tracks(recording: Recording) -> tuple[Int[np.ndarray, " rows"], list[_Track]]:
    """The frames that hold a body, and the bodies in terms of these."""
    if not recording.bodies:
        raise CleaningError(
            f"{recording.name}: no body in any of its {recording.num_frames} frames; expected one: leave the clip out"
        )
    found = {track.joints.shape[1] for track in recording.bodies.values()}
    if found != {_NUM_JOINTS}:
        raise CleaningError(
            f"{recording.name}: found {found} joints; the cleaning {CLEANING} needs NTU's {_NUM_JOINTS}"
        )
    frames = np.unique(np.concatenate([track.frames for track in recording.bodies.values()]))
    starts = {body: int(np.searchsorted(frames, track.frames[0])) for body, track in recording.bodies.items()}
    alone = len(recording.bodies) == 1
    return frames, [
        _Track(body, starts[body], track.joints, 0.0 if alone else _motion(track.joints))
        for body, track in recording.bodies.items()
    ]


def _motion(joints: Float32[np.ndarray, "n 25 3"]) -> float:
    """How lively a body is: the variance of x, y and z over all joints and frames, added up (square metres)."""
    finite = joints[np.isfinite(joints).all(axis=(1, 2))].reshape(-1, 3)
    return float(finite.var(axis=0, dtype=np.float64).sum()) if len(finite) else 0.0


def _without_short(tracks: list[_Track], name: str) -> list[_Track]:
    kept = [track for track in tracks if len(track.joints) > _LONGEST_GHOST]
    if not kept:
        raise CleaningError(
            f"{name}: all {len(tracks)} bodies were seen for {_LONGEST_GHOST} frames or fewer; expected one that "
            "stays longer: leave the clip out"
        )
    return kept


def _without_wide(tracks: list[_Track]) -> list[_Track]:
    """Drop bodies that are mostly wider than tall, but never the last one; sort the rest by motion, liveliest first."""
    kept: list[_Track] = []
    for i, track in enumerate(tracks):
        only_one_left = not kept and i == len(tracks) - 1
        narrow = _narrow(track.joints)
        if only_one_left or narrow.all():
            kept.append(track)
        elif 1 - narrow.mean() < _WIDE_SHARE:
            kept.append(track._replace(motion=min(track.motion, _motion(track.joints[narrow]))))
    return sorted(kept, key=lambda track: -track.motion)


def _narrow(joints: Float32[np.ndarray, "n 25 3"]) -> Bool[np.ndarray, " n"]:
    extent = np.ptp(joints.astype(np.float64), axis=1)
    return extent[:, 0] <= _WIDE * extent[:, 1]


def _merge(tracks: list[_Track], num_rows: int) -> tuple[Float32[np.ndarray, "rows M 25 3"], dict[int, int]]:
    """Give each track to the first actor that is free (by body id); the liveliest track is the first actor's."""
    actors = np.full((num_rows, min(2, len(tracks)), _NUM_JOINTS, 3), np.nan, np.float32)
    # The second actor's interval starts as row 0 alone, as in the published scripts, which matters for a third track.
    intervals = [(tracks[0].start, tracks[0].last), (0, 0)]
    owners: dict[int, int] = {}
    for track in tracks:
        for actor, (start, last) in enumerate(intervals):
            if track is tracks[0] or min(last, track.last) - max(start, track.start) <= 0:
                actors[track.start : track.last + 1, actor] = track.joints
                intervals[actor] = (min(start, track.start), max(last, track.last))
                owners[track.body_id] = actor
                break
    return actors, owners


def as_150(joints: Float[np.ndarray, "T M 25 3"]) -> Float32[np.ndarray, "T 150"]:
    """The published scripts' row of 150 numbers: two actors, zeros while absent, a single actor repeated."""
    joints = np.nan_to_num(joints)
    if joints.shape[1] == 1:
        joints = repeat(joints, "t 1 j c -> t m j c", m=2)
    return rearrange(joints, "t m j c -> t (m j c)").astype(np.float32)
