"""The offline person detector of BlazePose, whose weights are part of the package mediapipe.

MediaPipe is never imported: its weights run in LiteRT. The network was made for one person near the camera, so it gets
overlapping squares of the picture one by one, which also finds two persons. It returns the circle around a whole body,
so crops are wider than those of a skeleton.
"""

import math
import threading
from typing import NamedTuple

import numpy as np
from einops import rearrange, repeat
from jaxtyping import Float, Float32, Int, UInt8

from ski_lvlm.estimation.association import Detections
from ski_lvlm.estimation.mediapipe_weights import load_network

_SIDE = 224
_GRIDS = ((28, 2), (14, 2), (7, 6))  # cells across (strides 8, 16, 32), and anchors in each
_MIN_SCORE = 0.5
_MIN_DISTANCE = 0.5  # of the body's radius. Heads that are nearer belong to one person
REACH = 1.1  # raised hands leave the circle. With a crop's slack this equals the 1.25 of MediaPipe


class Bodies(NamedTuple):
    """The network's output: heads, hips, the radius of the body around the hips, and scores."""

    heads: Float[np.ndarray, "k 2"]
    hips: Float[np.ndarray, "k 2"]
    radius: Float[np.ndarray, " k"]
    scores: Float[np.ndarray, " k"]

    def in_picture(self, corner: Int[np.ndarray, "2"], side: int) -> "Bodies":
        """Convert shares of a square to pixels of the picture."""
        return Bodies(self.heads * side + corner, self.hips * side + corner, self.radius * side, self.scores)


class BlazePose:
    """A person detector on the CPU, 11 ms a square. Calls from several threads run one after the other.

    Raises:
        ImportError: mediapipe's weights or LiteRT are not installed.
    """

    def __init__(self) -> None:
        self._network, version = load_network("pose_detection/pose_detection.tflite")
        self.model = f"blazepose of mediapipe {version}"
        self._lock = threading.Lock()
        self._input = self._network.get_input_details()[0]["index"]
        self._outputs = [output["index"] for output in self._network.get_output_details()]

    def __call__(self, frames: UInt8[np.ndarray, "n H W 3"]) -> list[Detections]:
        """Detect the persons of each frame, in pixels of these frames."""
        return [self._find(frame) for frame in frames]

    def _find(self, frame: UInt8[np.ndarray, "H W 3"]) -> Detections:
        height, width = frame.shape[:2]
        side = min(width, height)
        bodies = [
            self._run(frame[top : top + side, left : left + side]).in_picture(np.array([left, top]), side)
            for left, top in squares(width=width, height=height)
        ]
        boxes, scores = distinct(Bodies(*(np.concatenate(each) for each in zip(*bodies))))
        return Detections(np.clip(boxes, 0, [width, height, width, height]), scores)

    def _run(self, square: UInt8[np.ndarray, "side side 3"]) -> Bodies:
        from PIL import Image

        picture = np.asarray(Image.fromarray(square).resize((_SIDE, _SIDE)), np.float32)
        with self._lock:
            self._network.set_tensor(self._input, picture[None] / 127.5 - 1)
            self._network.invoke()
            outputs = [self._network.get_tensor(index)[0] for index in self._outputs]
        points, logits = sorted(outputs, key=lambda output: -output.shape[1])
        return decoded(points, logits[:, 0])


def squares(*, width: int, height: int) -> Int[np.ndarray, "n 2"]:
    """Return the corners (left, top) of the largest squares, which cover the picture and overlap by half.

    >>> squares(width=640, height=360).tolist()
    [[0, 0], [140, 0], [280, 0]]
    """
    room = np.array([width, height]) - min(width, height)
    return np.linspace([0, 0], room, 1 + math.ceil(2 * room.max() / min(width, height))).round().astype(int)


def anchors() -> Float[np.ndarray, "2254 2"]:
    """Return the centres (x, y) of the network's anchors, in shares of the square."""
    grids = []
    for cells, each in _GRIDS:
        middle = (np.arange(cells) + 0.5) / cells
        y, x = np.meshgrid(middle, middle, indexing="ij")
        grids.append(repeat(np.stack([x, y], -1), "y x xy -> (y x each) xy", each=each))
    return np.concatenate(grids)


def decoded(points: Float32[np.ndarray, "2254 12"], logits: Float32[np.ndarray, " 2254"]) -> Bodies:
    """Decode the bodies above the minimum score, in shares of the square.

    Of each anchor's six points the first is the head, the third the middle of the hips, and the fourth lies on the
    circle around the whole body. (The second is a constant size, the others are not needed.)
    """
    from scipy.special import expit

    scores = expit(logits.astype(np.float64))
    sure = np.flatnonzero(scores >= _MIN_SCORE)
    places = rearrange(points[sure].astype(np.float64), "k (point xy) -> k point xy", xy=2) / _SIDE
    head, _, hips, rim, *_ = rearrange(places + anchors()[sure, None], "k point xy -> point k xy")
    return Bodies(head, hips, np.linalg.norm(rim - hips, axis=-1), scores[sure])


def distinct(bodies: Bodies) -> Detections:
    """Remove detections of the same person, and return the others by descending score."""
    selected: list[int] = []
    for i in np.argsort(-bodies.scores, kind="stable").tolist():
        if all(np.linalg.norm(bodies.heads[i] - bodies.heads[k]) > _MIN_DISTANCE * bodies.radius[k] for k in selected):
            selected.append(i)
    hips, radius = bodies.hips[selected], REACH * bodies.radius[selected, None]
    return Detections(np.concatenate([hips - radius, hips + radius], axis=-1), bodies.scores[selected])
