"""Boxes of each person in every frame of a video, by a detector on a few frames a second and interpolation.

Assumption: five frames a second are enough, because a box with slack holds a person for a fifth of a second.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from einops import rearrange
from jaxtyping import Float, Int

from ski_lvlm.estimation.association import Person, associate
from ski_lvlm.estimation.box_paths import between, smoothed
from ski_lvlm.estimation.detector import Detector
from ski_lvlm.videos.decoding import probe, read_frames
from ski_lvlm.videos.packets import clip_timeline
from ski_lvlm.videos.timeline import Span

_PER_SECOND = 5  # sampled frames
_PATIENCE = 5  # sampled frames in which a person may be hidden
_INPUT = (360, 640)  # height and width of the detector's frames, exchanged for upright videos
_SMOOTH = 3  # sampled frames of a median, which drops a single wrong box


class Tracks(NamedTuple):
    """The persons of a video, those with the longest and largest detections first.

    `boxes` hold left, top, right and bottom in every frame, as shares of the picture's width and height, and NaN before
    a person's first and after the last detection. `num_sampled` frames were shown to the detector.
    """

    boxes: list[Float[np.ndarray, "T 4"]]
    num_sampled: int


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
    frames = rearrange(read_frames(source, numbers=first + sampled, size=(height, width)).numpy(), "t c h w -> t h w c")
    persons = associate(detector(frames), patience=_PATIENCE)
    boxes = [_in_every_frame(person, sampled, times.total) / [width, height, width, height] for person in persons]
    return Tracks(boxes, len(frames))


def _in_every_frame(
    person: Person, sampled: Int[np.ndarray, " n"], num_frames: int
) -> Float[np.ndarray, "{num_frames} 4"]:
    frames = sampled[person.frames].tolist()
    detected = np.stack(person.boxes)
    detected[1:-1] = smoothed(detected, window=_SMOOTH)[1:-1]  # the first and the last lack a neighbour
    boxes = between(detected, frames, num_frames=num_frames)
    boxes[: frames[0]] = boxes[frames[-1] + 1 :] = np.nan
    return boxes
