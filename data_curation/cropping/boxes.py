"""Where the acting persons are in the picture, frame by frame, and the rectangle to cut out around them.

Boxes are left, top, right and bottom in pixels of the Kinect's 1920x1080 image, whatever the size of the video, so that
a skeleton and a detector speak of the same thing; NaN where a person is absent from a frame. Skeleton frames and video
frames are numbered alike.

Paper: App. D ("for each video we first crop out the person(s) performing the action").
Assumption: the rectangle is the union over time and persons with 64 pixels of slack, as LLAVIDAL does; smoothing and
the choice of who acts are ours.
"""

from collections.abc import Iterable

import numpy as np
from einops import rearrange
from jaxtyping import Float

from ski_lvlm.skeletons.cleaning import clean
from ski_lvlm.skeletons.ntu_file import BodyTrack, Recording
from ski_lvlm.videos.decoding import Box

Boxes = Float[np.ndarray, "M T 4"]

KINECT = (1920, 1080)  # the image that colour coordinates refer to
SLACK = 64.0  # pixels of that image
WHOLE = np.array([[[0.0, 0.0, *KINECT]]])  # one person who fills the picture, for those who keep it all

_MEDIAN = 5  # frames; what lasts for two frames is a glitch, or for one at the ends of a clip
_FAR = 10  # times the median distance from the middle of the body; arms and legs reach 6
_STEADY = 3.0  # frames, the deviation of the bell that a tracking window's path is smoothed with


class CropError(ValueError):
    """Nobody can be cut out of this video; the message says why."""


def skeleton_boxes(recording: Recording, *, persons: int) -> Boxes:
    """The boxes of the actors whom cleaning leaves, liveliest first, at most `persons` of them.

    NTU's one-person clips may hold a second body, a ghost or a bystander: ask for one person there. A person who was
    lost and seen again under a new body id is one person.

    Assumption: the liveliest body is the one who acts, as in the published cleaning.

    Raises:
        CleaningError: no body, or none that is not a ghost.
        CropError: the actors have no usable colour coordinates, or are outside the picture in every frame.
    """
    cleaned = clean(recording)
    tracks: dict[int, list[BodyTrack]] = {}
    for body, actor in zip(cleaned.body_ids, cleaned.actors, strict=True):
        tracks.setdefault(actor, []).append(recording.bodies[body])
    acting = [tracks[actor] for actor in sorted(tracks)[:persons]]
    boxes = np.stack([actor_boxes(actor, num_frames=recording.num_frames) for actor in acting])
    static_box(boxes, width=KINECT[0], height=KINECT[1])  # raises now, so that a detector can be asked instead
    return boxes


def actor_boxes(tracks: Iterable[BodyTrack], *, num_frames: int) -> Float[np.ndarray, "{num_frames} 4"]:
    """The box around one person's joints in each frame, NaN where the person is absent.

    NaN, infinity, (0, 0) (the Kinect's way of saying nowhere) and joints far from the rest of the body do not count,
    and each joint's path is median-filtered over five frames, so that one glitched joint does not widen the box.
    """
    tracks = list(tracks)
    paths = np.full((num_frames, tracks[0].colour.shape[1], 2), np.nan)
    for track in tracks:
        paths[track.frames] = track.colour
    paths = smoothed(_credible(paths))
    return np.concatenate([np.fmin.reduce(paths, axis=1), np.fmax.reduce(paths, axis=1)], axis=-1)


def _credible(points: Float[np.ndarray, "T J 2"]) -> Float[np.ndarray, "T J 2"]:
    """NaN for what cannot be a joint of the body."""
    seen = np.isfinite(points).all(axis=-1) & (points != 0).any(axis=-1)
    points = np.where(seen[..., None], points, np.nan)
    away = np.linalg.norm(points - _median(points, axis=1), axis=-1)
    return np.where((away <= _FAR * _median(away, axis=1))[..., None], points, np.nan)


def _median(values: Float[np.ndarray, "..."], *, axis: int) -> Float[np.ndarray, "..."]:
    """The median of what is not NaN, along an axis that stays; numpy's own warns where everything is NaN."""
    ordered = np.sort(values, axis=axis)  # NaN comes last
    count = np.isfinite(values).sum(axis=axis, keepdims=True)
    middle = [np.take_along_axis(ordered, np.maximum(rank, 0), axis=axis) for rank in ((count - 1) // 2, count // 2)]
    return (middle[0] + middle[1]) / 2


def smoothed(paths: Float[np.ndarray, "T *k"], *, window: int = _MEDIAN) -> Float[np.ndarray, "T *k"]:
    """Each number's running median over an odd `window` of frames; less at the ends; what is absent stays absent.

    >>> smoothed(np.array([1.0, 2.0, 90.0, 4.0, np.nan]), window=3).tolist()
    [1.5, 2.0, 4.0, 47.0, nan]
    """
    reach = [(window // 2, window // 2)] + [(0, 0)] * (paths.ndim - 1)
    around = np.lib.stride_tricks.sliding_window_view(np.pad(paths, reach, constant_values=np.nan), window, axis=0)
    return np.where(np.isnan(paths), np.nan, _median(around, axis=-1)[..., 0])


def static_box(boxes: Boxes, *, width: int, height: int, slack: float = SLACK) -> Box:
    """One rectangle for the whole clip: the union over time and persons with slack, in a video of this size.

    The slack is in pixels of 1920x1080 and scaled with the boxes. Corners are even, as H.264 wants them.

    >>> static_box(np.array([[[600.0, 300.0, 800.0, 900.0]]]), width=960, height=540)
    Box(left=268, top=118, right=432, bottom=482)

    Raises:
        CropError: nobody is in any frame, or all are outside the picture.
    """
    if not np.isfinite(boxes).any():
        raise CropError("no joint has usable colour coordinates, so there is nobody to cut out")
    scale, picture = np.array([width, height]) / KINECT, np.array([width, height]) // 2 * 2
    around = _union(_union(boxes)) + slack * np.array([-1, -1, 1, 1])
    corners = (np.clip(2 * np.round(corner * scale / 2), 0, picture) for corner in np.split(around, 2))
    left, top, right, bottom = np.concatenate(list(corners)).astype(int).tolist()
    if right - left < 2 or bottom - top < 2:
        raise CropError(f"all joints lie outside the picture of {width}x{height}, so there is nobody to cut out")
    return Box(left, top, right, bottom)


def tracking_boxes(boxes: Boxes, *, width: int, height: int, slack: float = SLACK) -> list[Box]:
    """A window for each frame that follows the persons: one size throughout, even, and inside the picture.

    The size is that of the largest frame's union with slack, so that nothing zooms and nobody is cut off; the centre
    is smoothed. A person who is absent is taken to be on the way between the sightings, or where last or first seen.

    Raises:
        CropError: as `static_box`.
    """
    from scipy.ndimage import gaussian_filter1d

    static_box(boxes, width=width, height=height, slack=slack)  # raises where nobody is in the picture
    path = np.clip(
        _union(np.stack([_held(person) for person in boxes if np.isfinite(person).any()])), 0, [*KINECT, *KINECT]
    )
    scale, picture = np.array([width, height]) / KINECT, np.array([width, height]) // 2 * 2
    sides = (path[:, 2:] - path[:, :2]).max(axis=0) + 2 * slack
    sides = np.minimum(2 * np.ceil(sides * scale / 2), picture)
    centre = gaussian_filter1d((path[:, :2] + path[:, 2:]) / 2, _STEADY, axis=0, mode="nearest") * scale
    corners = np.clip(2 * np.round((centre - sides / 2) / 2), 0, picture - sides)
    return [Box(*low, *high) for low, high in zip(corners.astype(int).tolist(), (corners + sides).astype(int).tolist())]


def _union(boxes: Float[np.ndarray, "k *rest 4"]) -> Float[np.ndarray, "*rest 4"]:
    return np.concatenate([np.fmin.reduce(boxes[..., :2]), np.fmax.reduce(boxes[..., 2:])], axis=-1)


def _held(person: Float[np.ndarray, "T 4"]) -> Float[np.ndarray, "T 4"]:
    """No gaps: interpolated between sightings, held before the first and after the last."""
    seen = np.flatnonzero(np.isfinite(person).all(axis=-1))
    return between(person[seen], seen, num_frames=len(person))


def between(
    boxes: Float[np.ndarray, "n 4"], frames: Iterable[int], *, num_frames: int
) -> Float[np.ndarray, "{num_frames} 4"]:
    """Boxes known at some ascending frames, for every frame: interpolated, and held beyond the first and the last."""
    where = np.asarray(list(frames))
    sides = [np.interp(np.arange(num_frames), where, side) for side in rearrange(boxes, "n side -> side n")]
    return np.stack(sides, axis=-1)
