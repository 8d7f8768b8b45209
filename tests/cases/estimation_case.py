"""A video without a person, and a double of an estimator: it finds what is red, and calls one point all joints."""

import numpy as np

from ski_lvlm.estimation.association import Detections
from ski_lvlm.estimation.estimate import Estimate
from tests.cases.video_case import write_video


class RedFinder:
    """Finds red rectangles, one for each half of the picture."""

    model = "red-1"

    def __call__(self, frames):
        return [self._find(frame) for frame in frames]

    def _find(self, frame):
        boxes, half = [], frame.shape[1] // 2
        for left in (0, half):
            rows, columns = np.nonzero((frame[:, left : left + half, 0] > 150) & (frame[:, left : left + half, 1] < 90))
            if len(rows):
                boxes.append([left + columns.min(), rows.min(), left + columns.max() + 1, rows.max() + 1])
        return Detections(np.array(boxes, float).reshape(-1, 4), np.full(len(boxes), 0.9))


class RedEstimator:
    """Puts all joints of blazepose-33 into the middle of a box. The confidence of joint 15 is low."""

    model, layout, cleaning, min_confidence = "double of an estimator", "blazepose-33", "red-1", 0.5

    def __init__(self):
        self.detector, self.num_frames = RedFinder(), 0

    def __call__(self, frames, boxes):
        for number, frame in enumerate(frames):
            self.num_frames += 1
            middle = (boxes[:, number, :2] + boxes[:, number, 2:]) / 2 / frame.shape[1::-1]
            places = np.repeat(middle[:, None], 33, axis=1)[None].astype(np.float32)
            confidence = np.where(np.isnan(places[..., 0]), np.nan, 0.9).astype(np.float32)
            confidence[..., 15] *= 0.1
            yield Estimate(np.concatenate([places, places[..., :1] * 0], axis=-1), confidence, places)


def red_video(path, *, persons=(range(30),), frames=30):
    """Write a video in which up to two red figures stand left and right, each in these frames."""
    pictures = np.zeros((frames, 96, 160, 3), np.uint8)
    for left, present in zip((20, 110), persons):
        for number in present:
            pictures[number, 20:80, left : left + 20] = (255, 0, 0)
    return write_video(path, pictures)
