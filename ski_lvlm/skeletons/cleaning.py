"""Cleaning of Kinect recordings to at most two actors, as CTR-GCN and Hyperformer do it, named `ctrgcn-1`."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32

from ski_lvlm.skeletons.ntu_file import Recording

CLEANING = "ctrgcn-1"

_LONGEST_GHOST = 11  # frames
_WIDE = 0.8  # times the height; wider skeletons are furniture or noise
_WIDE_SHARE = 0.69754  # of the frames of a body
_ORIGIN_JOINT = 1  # mid spine
_NUM_JOINTS = 25


class CleaningError(ValueError):
    """A recording without a usable body."""


@dataclass(frozen=True)
class CleanSkeleton:
    """One or two actors in metres, NaN where an actor is absent.

    The origin is the main actor's first mid spine. `body_ids` are the bodies whose tracks make up the actors, and
    `actors` gives the actor of each (0 is the main one).
    """

    joints: Float32[np.ndarray, "T M 25 3"]
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
    """Drop empty frames and short or wide tracks, and merge the other tracks, liveliest first, into two actors.

    A body's gaps are closed as in the published scripts: from its first frame on, its frames follow one another.

    Assumption: a body with a NaN joint is absent from that frame. The published scripts let the NaN through.

    Raises:
        CleaningError: no body, none but ghosts, or other joints than NTU's 25.
    """
    num_rows, tracks = _tracks(recording)
    if len(tracks) > 1:
        tracks = _without_wide(_without_short(tracks, recording.name))
    actors, owners = _merge(tracks, num_rows)
    present = ~np.isnan(actors).any(axis=(2, 3))
    actors[~present] = np.nan
    has_actor = present.any(axis=1)
    actors, present = actors[has_actor], present[has_actor]
    if not present[:, 0].any():
        raise CleaningError(f"{recording.name}: the main actor has NaN joints in every frame; leave the clip out")
    actors -= actors[np.argmax(present[:, 0]), 0, _ORIGIN_JOINT]
    return CleanSkeleton(actors, body_ids=tuple(owners), actors=tuple(owners.values()))


def _tracks(recording: Recording) -> tuple[int, list[_Track]]:
    """Return the number of frames that hold a body, and the bodies in terms of these frames."""
    if not recording.bodies:
        raise CleaningError(
            f"{recording.name}: no body in any of its {recording.num_frames} frames; expected one: leave the clip out"
        )
    numbers = {track.joints.shape[1] for track in recording.bodies.values()}
    if numbers != {_NUM_JOINTS}:
        raise CleaningError(
            f"{recording.name}: found {numbers} joints; the cleaning {CLEANING} needs NTU's {_NUM_JOINTS}"
        )
    frames = np.unique(np.concatenate([track.frames for track in recording.bodies.values()]))
    starts = {body: int(np.searchsorted(frames, track.frames[0])) for body, track in recording.bodies.items()}
    is_alone = len(recording.bodies) == 1
    return len(frames), [
        _Track(body, starts[body], track.joints, 0.0 if is_alone else _motion(track.joints))
        for body, track in recording.bodies.items()
    ]


def _motion(joints: Float32[np.ndarray, "n 25 3"]) -> float:
    """Return the sum of the variances of x, y and z over all joints and frames, in square metres."""
    finite = joints[np.isfinite(joints).all(axis=(1, 2))].reshape(-1, 3)
    return float(finite.var(axis=0, dtype=np.float64).sum()) if len(finite) else 0.0


def _without_short(tracks: list[_Track], name: str) -> list[_Track]:
    long_tracks = [track for track in tracks if len(track.joints) > _LONGEST_GHOST]
    if not long_tracks:
        raise CleaningError(
            f"{name}: all {len(tracks)} bodies were seen for {_LONGEST_GHOST} frames or fewer; expected one that "
            "stays longer: leave the clip out"
        )
    return long_tracks


def _without_wide(tracks: list[_Track]) -> list[_Track]:
    """Drop bodies that are mostly wider than tall, but never the last one, and sort by motion, liveliest first."""
    actors: list[_Track] = []
    for i, track in enumerate(tracks):
        is_only_one = not actors and i == len(tracks) - 1
        narrow = _narrow(track.joints)
        if is_only_one or narrow.all():
            actors.append(track)
        elif 1 - narrow.mean() < _WIDE_SHARE:
            actors.append(track._replace(motion=min(track.motion, _motion(track.joints[narrow]))))
    return sorted(actors, key=lambda track: -track.motion)


def _narrow(joints: Float32[np.ndarray, "n 25 3"]) -> Bool[np.ndarray, " n"]:
    extent = np.ptp(joints.astype(np.float64), axis=1)
    return extent[:, 0] <= _WIDE * extent[:, 1]


def _merge(tracks: list[_Track], num_rows: int) -> tuple[Float32[np.ndarray, "rows M 25 3"], dict[int, int]]:
    """Give each track to the first free actor. The liveliest track is the first actor's.

    Returns the actors' joints, and the actor of each body.
    """
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
