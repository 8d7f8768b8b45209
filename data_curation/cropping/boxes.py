"""Boxes of the acting persons in each frame, and the rectangle to crop around them.

Boxes are left, top, right and bottom in pixels of the Kinect's 1920x1080 image, whatever the size of the video, so that
skeletons and detectors use the same coordinates. They are NaN where a person is absent. Skeleton frames and video
frames have the same numbers.

Paper: App. D ("for each video we first crop out the person(s) performing the action").
Assumption: the rectangle is the union over time and persons with 64 pixels of slack, as in LLAVIDAL. Smoothing and the
selection of actors are ours.
"""

from collections.abc import Iterable

import numpy as np
from jaxtyping import Float

from ski_lvlm.estimation.box_paths import between, median, smoothed
from ski_lvlm.skeletons.cleaning import clean
from ski_lvlm.skeletons.ntu_file import BodyTrack, Recording
from ski_lvlm.videos.decoding import Box

Boxes = Float[np.ndarray, "M T 4"]

KINECT = (1920, 1080)  # the image that colour coordinates refer to
SLACK = 64.0  # pixels of that image
WHOLE = np.array([[[0.0, 0.0, *KINECT]]])  # one person who fills the picture, to keep the whole frame

_FAR = 10  # times the median distance from the middle of the body. Arms and legs reach 6
_STEADY = 3.0  # frames, the standard deviation of the Gaussian that smooths a tracking window


class CropError(ValueError):
    """A video without persons to crop. The message says why."""


def skeleton_boxes(recording: Recording, *, persons: int) -> Boxes:
    """Return the boxes of at most `persons` cleaned actors, those with most motion first.

    NTU's one-person clips may hold a second body, a ghost or a bystander, so ask for one person there. Several body ids
    of one person count as one.

    Assumption: the body with most motion acts, as in the published cleaning.

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
    """Return the box around one person's joints in each frame, NaN where the person is absent.

    NaN, infinity, (0, 0) (the Kinect's unknown position) and joints far from the body do not count. Each joint's path
    is median-filtered over five frames, so that a glitch does not widen the box.
    """
    tracks = list(tracks)
    paths = np.full((num_frames, tracks[0].colour.shape[1], 2), np.nan)
    for track in tracks:
        paths[track.frames] = track.colour
    paths = smoothed(_credible(paths))
    return np.concatenate([np.fmin.reduce(paths, axis=1), np.fmax.reduce(paths, axis=1)], axis=-1)


def _credible(points: Float[np.ndarray, "T J 2"]) -> Float[np.ndarray, "T J 2"]:
    """Replace implausible joints by NaN."""
    is_valid = np.isfinite(points).all(axis=-1) & (points != 0).any(axis=-1)
    points = np.where(is_valid[..., None], points, np.nan)
    away = np.linalg.norm(points - median(points, axis=1), axis=-1)
    return np.where((away <= _FAR * median(away, axis=1))[..., None], points, np.nan)


def static_box(boxes: Boxes, *, width: int, height: int, slack: float = SLACK) -> Box:
    """Return one rectangle for a clip of this size: the union over time and persons with slack.

    The slack is in pixels of 1920x1080 and scaled with the boxes. Corners are even, as H.264 requires.

    >>> static_box(np.array([[[600.0, 300.0, 800.0, 900.0]]]), width=960, height=540)
    Box(left=268, top=118, right=432, bottom=482)

    Raises:
        CropError: there are no persons, or all are outside the picture.
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
    """Return a window for each frame that follows the persons, of one even size, inside the picture.

    The size is that of the largest frame's union with slack, so that it shows everybody without zooming. The centre is
    smoothed. Boxes of absent persons are interpolated, or constant before the first and after the last.

    Raises:
        CropError: as `static_box`.
    """
    from scipy.ndimage import gaussian_filter1d

    static_box(boxes, width=width, height=height, slack=slack)  # raises if the picture shows no person
    path = np.clip(
        _union(np.stack([_filled(person) for person in boxes if np.isfinite(person).any()])), 0, [*KINECT, *KINECT]
    )
    scale, picture = np.array([width, height]) / KINECT, np.array([width, height]) // 2 * 2
    sides = (path[:, 2:] - path[:, :2]).max(axis=0) + 2 * slack
    sides = np.minimum(2 * np.ceil(sides * scale / 2), picture)
    centre = gaussian_filter1d((path[:, :2] + path[:, 2:]) / 2, _STEADY, axis=0, mode="nearest") * scale
    corners = np.clip(2 * np.round((centre - sides / 2) / 2), 0, picture - sides)
    return [Box(*low, *high) for low, high in zip(corners.astype(int).tolist(), (corners + sides).astype(int).tolist())]


def _union(boxes: Float[np.ndarray, "k *rest 4"]) -> Float[np.ndarray, "*rest 4"]:
    return np.concatenate([np.fmin.reduce(boxes[..., :2]), np.fmax.reduce(boxes[..., 2:])], axis=-1)


def _filled(person: Float[np.ndarray, "T 4"]) -> Float[np.ndarray, "T 4"]:
    """Fill the gaps of a person's boxes."""
    present = np.flatnonzero(np.isfinite(person).all(axis=-1))
    return between(person[present], present, num_frames=len(person))
