"""Estimated skeletons of one clip, and what every estimator does."""

from collections.abc import Iterator
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Float32, UInt8

from ski_lvlm.estimation.detector import Detector
from ski_lvlm.estimation.tracks import follow_persons, two_actors
from ski_lvlm.skeletons.layouts import Layout, layout_named
from ski_lvlm.videos.decoding import VideoInfo, iterate_frames, probe
from ski_lvlm.videos.folder import VideoClip
from ski_lvlm.videos.packets import clip_timeline

_SHORTER_SIDE = 720  # pixels. A person who fills a third of the picture has more than the 256 that networks take

Frames = Iterator[UInt8[np.ndarray, "H W 3"]]


class Estimate(NamedTuple):
    """The joints of at most two persons in every frame, NaN where a person is absent.

    `joints` are as the layout says, metres or shares of the picture's height. `confidence` is from 0 to 1. `places` are
    the joints in the picture, as shares of its width and height, to be drawn.
    """

    joints: Float32[np.ndarray, "T M J D"]
    confidence: Float32[np.ndarray, "T M J"]
    places: Float32[np.ndarray, "T M J 2"]


@runtime_checkable
class Estimator(Protocol):
    """An estimator of the joints of persons whose boxes are known.

    `model` is its name and version for records, `layout` the joint layout of its skeletons, and `cleaning` the name of
    this way to make them. Joints below `min_confidence` are absent, unless the user asks for another limit.
    """

    model: str
    layout: str
    cleaning: str
    min_confidence: float
    detector: Detector

    def __call__(self, frames: Frames, boxes: Float[np.ndarray, "M T 4"]) -> Iterator[Estimate]:
        """Yield the estimates of some frames after the other. Boxes are in pixels, NaN where a person is absent."""


def nobody(num_frames: int, persons: int, *, layout: Layout) -> Estimate:
    """Return an estimate of frames in which everybody is absent."""
    shape = (num_frames, persons, layout.num_joints)
    return Estimate(*(np.full((*shape, *last), np.nan, np.float32) for last in ((layout.dimensions,), (), (2,))))


def estimate_clip(clip: VideoClip, estimator: Estimator, *, stride: int = 1) -> Estimate:
    """Estimate the skeletons in every frame of a clip, or in every `stride`-th.

    Raises:
        VideoError: the video cannot be read, or the clip's span is not in it.
    """
    info = probe(clip.path)
    first, times = clip_timeline(clip.path, clip.span)
    tracks = follow_persons(clip.path, detector=estimator.detector, span=clip.span)
    boxes = two_actors(tracks, num_frames=times.total)[:, ::stride]
    if not len(boxes):
        return nobody(len(range(0, times.total, stride)), 1, layout=layout_named(estimator.layout))
    height, width = _size(info)
    frames = iterate_frames(clip.path, numbers=range(first, first + times.total, stride), size=(height, width))
    parts = list(estimator(frames, boxes * [width, height, width, height]))
    return Estimate(*(np.concatenate(each) for each in zip(*parts, strict=True)))


def _size(info: VideoInfo) -> tuple[int, int]:
    """Return height and width to which frames are scaled down."""
    scale = min(1.0, _SHORTER_SIDE / min(info.width, info.height))
    return max(2, round(info.height * scale)), max(2, round(info.width * scale))
