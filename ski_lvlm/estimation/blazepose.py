"""BlazePose (Bazarevsky et al. 2020) with world landmarks: 33 joints in metres, offline.

As MediaPipe does it: a network looks at a turned square around the person and returns joints, and from them the square
of the next frame. Where it loses the person, the detector's box says where to look again.

MediaPipe's y points down. It is turned up here, so that axes are as NTU's: x to the right of the picture, y up, z away
from the camera. The origin is the middle of the hips in every frame, so a walk through the room does not show.

Deviation: MediaPipe follows one person and smooths joints over time. Here each of two persons is bound to the boxes of
a track, so that two who meet stay two, and nothing is smoothed.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32, UInt8

from ski_lvlm.estimation.blazepose_detector import REACH, BlazePose
from ski_lvlm.estimation.detector import Detector
from ski_lvlm.estimation.estimate import Estimate, Frames, nobody
from ski_lvlm.estimation.mediapipe_weights import load_network
from ski_lvlm.skeletons.layouts import layout_named

_SIDE = 256  # pixels of the network's input
_SLACK = 1.25  # the square's side, in diameters of the circle around the body
_NUM_JOINTS = 33
_HIPS, _RIM = 33, 34  # two more points: the middle of the hips, and one on the circle, where an upright head is
_IS_THERE = 0.5  # probability that somebody is in the square
_ONE_BODY = 0.1  # of its size: the mean distance of joints up to which two answers are one body


class Region(NamedTuple):
    """A square in the picture: its middle and half of its side in pixels, and its turn clockwise in radians."""

    middle: Float[np.ndarray, "2"]
    reach: float
    turn: float

    @property
    def axes(self) -> Float[np.ndarray, "2 2"]:
        """The directions to the square's right and down, as columns."""
        cosine, sine = np.cos(self.turn), np.sin(self.turn)
        return np.array([[cosine, -sine], [sine, cosine]])


class Landmarks(NamedTuple):
    """The network's answer: joints in metres, visibility, points in the picture, and whether it shows a body."""

    joints: Float[np.ndarray, "33 3"]
    visibility: Float[np.ndarray, "33"]
    points: Float[np.ndarray, "39 2"]
    presence: float


class BlazePoseEstimator:
    """An estimator of 33 joints in metres on the CPU, 21 ms a person and frame.

    Raises:
        ImportError: mediapipe's weights or LiteRT are not installed.
    """

    layout = "blazepose-33"
    cleaning = "blazepose-1"
    min_confidence = 0.5

    def __init__(self) -> None:
        self.detector: Detector = BlazePose()
        self._network, version = load_network("pose_landmark/pose_landmark_full.tflite")
        self.model = f"blazepose full of mediapipe {version}"
        self._input = self._network.get_input_details()[0]["index"]
        outputs = {int(np.prod(output["shape"])): output["index"] for output in self._network.get_output_details()}
        self._outputs = outputs[39 * 5], outputs[39 * 3], outputs[1]

    def __call__(self, frames: Frames, boxes: Float[np.ndarray, "M T 4"]) -> Iterator[Estimate]:
        """Yield the estimate of each frame."""
        regions: list[Region | None] = [None] * len(boxes)
        for number, frame in enumerate(frames):
            size = np.array([frame.shape[1], frame.shape[0]])
            estimate = nobody(1, len(boxes), layout=layout_named(self.layout))
            bodies: list[Landmarks] = []
            for actor, region in enumerate(regions):
                body = self._follow(frame, boxes[actor, number], region)
                is_new = body is not None and not any(is_one_body(body.points, other.points) for other in bodies)
                regions[actor] = next_region(body.points) if body and is_new else None
                if body and is_new:
                    bodies.append(body)
                    estimate.joints[0, actor] = body.joints
                    estimate.confidence[0, actor] = body.visibility
                    estimate.places[0, actor] = body.points[:_NUM_JOINTS] / size
            yield estimate

    def _follow(
        self, frame: UInt8[np.ndarray, "H W 3"], box: Float[np.ndarray, "4"], region: Region | None
    ) -> Landmarks | None:
        """Look where the person was, or where the box is if they have left it or are not found."""
        if np.isnan(box).any():
            return None
        if region and (box[:2] <= region.middle).all() and (region.middle <= box[2:]).all():
            body = self.look(frame, region)
            if body.presence >= _IS_THERE:
                return body
        body = self.look(frame, region_of_box(box))
        if body.presence >= _IS_THERE:  # a box is not turned with the body, so look once more
            body = self.look(frame, next_region(body.points))
        return body if body.presence >= _IS_THERE else None

    def look(self, frame: UInt8[np.ndarray, "H W 3"], region: Region) -> Landmarks:
        """Return the joints of the person in a square of the picture."""
        self._network.set_tensor(self._input, cut_out(frame, region)[None].astype(np.float32) / 255)
        self._network.invoke()
        points, world, presence = (self._network.get_tensor(index)[0] for index in self._outputs)
        return decoded(points.reshape(39, 5), world.reshape(39, 3), presence=float(presence[0]), region=region)


def region_of_box(box: Float[np.ndarray, "4"]) -> Region:
    """Return the square around a detector's box."""
    return Region((box[:2] + box[2:]) / 2, float((box[2:] - box[:2]).max()) / 2 * _SLACK / REACH, 0.0)


def next_region(points: Float[np.ndarray, "39 2"]) -> Region:
    """Return the square in which to look for a body that was here, turned with it.

    >>> points = np.zeros((39, 2))
    >>> points[33:35] = [[100, 100], [140, 100]]  # the head is to the right of the hips
    >>> next_region(points).reach, round(np.degrees(next_region(points).turn))
    (50.0, 90)
    """
    x, y = (points[_RIM] - points[_HIPS]).tolist()
    return Region(points[_HIPS], float(np.hypot(x, y)) * _SLACK, float(np.arctan2(x, -y)))


def cut_out(frame: UInt8[np.ndarray, "H W 3"], region: Region) -> UInt8[np.ndarray, "256 256 3"]:
    """Cut a turned square out of the picture. Beyond the picture's edge its last pixels are repeated."""
    import cv2

    scale = 2 * region.reach / _SIDE
    first = region.middle + region.axes @ np.full(2, (0.5 - _SIDE / 2) * scale) - 0.5  # the middle of the first pixel
    to_picture = np.column_stack([region.axes * scale, first])
    sampling = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    square = cv2.warpAffine(frame, to_picture, (_SIDE, _SIDE), flags=sampling, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(square, np.uint8)


def decoded(
    points: Float32[np.ndarray, "39 5"], world: Float32[np.ndarray, "39 3"], *, presence: float, region: Region
) -> Landmarks:
    """Turn the network's numbers from its square back into the picture and into the room."""
    from scipy.special import expit

    in_square = points[:, :2].astype(np.float64) / _SIDE - 0.5
    joints = world[:_NUM_JOINTS].astype(np.float64)
    joints[:, :2] = joints[:, :2] @ region.axes.T
    joints[:, 1] *= -1  # up
    visibility = expit(points[:_NUM_JOINTS, 3].astype(np.float64))
    return Landmarks(joints, visibility, region.middle + in_square * 2 * region.reach @ region.axes.T, presence)


def is_one_body(points: Float[np.ndarray, "39 2"], other: Float[np.ndarray, "39 2"]) -> bool:
    """Return whether two answers lie on one body, as when two tracks end at the same person."""
    size = np.ptp(points[:_NUM_JOINTS], axis=0).max()
    return bool(np.linalg.norm(points[:_NUM_JOINTS] - other[:_NUM_JOINTS], axis=-1).mean() < _ONE_BODY * size)
