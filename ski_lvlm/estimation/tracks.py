"""Boxes of each person in every frame of a video, by a detector on a few frames and interpolation.

Assumption: five frames a second are enough, because a box with slack holds a person for a fifth of a second.
"""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8

from ski_lvlm.estimation.association import Person, associate
from ski_lvlm.estimation.box_paths import between, smoothed
from ski_lvlm.estimation.detector import Detector
from ski_lvlm.videos.decoding import iterate_frames, probe
from ski_lvlm.videos.packets import clip_timeline
from ski_lvlm.videos.timeline import Span

_PER_SECOND = 5  # sampled frames
_PATIENCE = 5  # sampled frames in which a person may be hidden
_INPUT = (360, 640)  # height and width of the detector's frames, exchanged for upright videos
_BATCH = 32  # frames of the detector's size in memory
_SMOOTH = 3  # sampled frames of a median, which drops a single wrong box


class Tracks(NamedTuple):
    """The persons of a video, those with the longest and largest detections first.

    `boxes` hold left, top, right and bottom in every frame, as shares of the picture's width and height, and NaN before
    a person's first and after the last detection. `num_sampled` frames were shown to the detector, one in `interval`.
    """

    boxes: list[Float[np.ndarray, "T 4"]]
    num_sampled: int
    interval: int


def follow_persons(source: Path, *, detector: Detector, span: Span | None = None) -> Tracks:
    """Detect persons in some frames of a video and follow them through the others. `span` limits it.

    Raises:
        VideoError: the video cannot be read.
    """
    info = probe(source)
    first, times = clip_timeline(source, span)
    count = max(1, round(times.total / (info.fps or 30) * _PER_SECOND))
    sampled = times.middle_frames(count)
    height, width = _INPUT if info.width >= info.height else _INPUT[::-1]
    frames = iterate_frames(source, numbers=set((first + sampled).tolist()), size=(height, width))
    detections = [each for batch in frame_batches(frames, _BATCH) for each in detector(batch)]
    persons = associate(detections, patience=_PATIENCE)
    scale = np.array([width, height, width, height])
    boxes = [_in_every_frame(person, sampled, times.total) / scale for person in persons]
    return Tracks(boxes, len(detections), -(-times.total // count))


def two_actors(tracks: Tracks, *, num_frames: int) -> Float[np.ndarray, "M {num_frames} 4"]:
    """Give each track to the first of two actors who is nowhere else meanwhile, the longest and largest track first.

    Boxes are held until the next frame that the detector was shown, since nobody appears in just such a frame. A third
    person at the same time is left out.

    Assumption: somebody who is out of sight for long and comes back is the same actor, as in the cleaning of NTU.
    """
    actors = np.full((2, num_frames, 4), np.nan)
    for box in tracks.boxes:
        present = np.flatnonzero(~np.isnan(box[:, 0]))
        for actor in actors:
            if np.isnan(actor[present[0] : present[-1] + 1]).all():
                longer = slice(max(present[0] - tracks.interval, 0), present[-1] + 1 + tracks.interval)
                path = between(box[present], present, num_frames=num_frames)[longer]
                actor[longer] = np.where(np.isnan(actor[longer]), path, actor[longer])
                break
    return actors[~np.isnan(actors).all(axis=(1, 2))]


def frame_batches(frames: Iterator[UInt8[np.ndarray, "H W 3"]], size: int) -> Iterator[UInt8[np.ndarray, "n H W 3"]]:
    """Yield frames in batches of `size`, the last of which may be smaller."""
    while batch := list(islice(frames, size)):
        yield np.stack(batch)


def _in_every_frame(
    person: Person, sampled: Int[np.ndarray, " n"], num_frames: int
) -> Float[np.ndarray, "{num_frames} 4"]:
    frames = sampled[person.frames].tolist()
    detected = np.stack(person.boxes)
    detected[1:-1] = smoothed(detected, window=_SMOOTH)[1:-1]  # the first and the last lack a neighbour
    boxes = between(detected, frames, num_frames=num_frames)
    boxes[: frames[0]] = boxes[frames[-1] + 1 :] = np.nan
    return boxes
