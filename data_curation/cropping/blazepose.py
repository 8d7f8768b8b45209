"""The offline person finder: the detector of BlazePose, whose weights the package mediapipe carries.

MediaPipe itself is never imported: its weights run in LiteRT. The network was made for one person near the camera, so
it looks at overlapping squares of the picture one by one, which also finds two. It gives the circle around a whole
body: crops are wider than a skeleton's.
"""

import importlib.metadata
import math
import threading
from typing import NamedTuple

import numpy as np
from einops import rearrange, repeat
from jaxtyping import Float, Float32, Int, UInt8

from data_curation.cropping.association import Found

_WEIGHTS = "mediapipe/modules/pose_detection/pose_detection.tflite"
_SIDE = 224
_GRIDS = ((28, 2), (14, 2), (7, 6))  # cells across (strides 8, 16, 32), and anchors in each
_LEAST_SCORE = 0.5
_APART = 0.5  # of the body's radius; nearer heads are one person's
_REACH = 1.1  # raised hands leave the circle; with a crop's slack it comes to the 1.25 that MediaPipe adds
_INSTALL = "python -m pip install --no-deps -r requirements-offline.txt"


class Bodies(NamedTuple):
    """What the network says: where heads and hips are, how far the body reaches from the hips, and how sure it is."""

    heads: Float[np.ndarray, "k 2"]
    hips: Float[np.ndarray, "k 2"]
    radius: Float[np.ndarray, " k"]
    scores: Float[np.ndarray, " k"]

    def placed(self, corner: Int[np.ndarray, "2"], side: int) -> "Bodies":
        """In pixels of the picture, for bodies in shares of a square that lies there."""
        return Bodies(self.heads * side + corner, self.hips * side + corner, self.radius * side, self.scores)


class BlazePose:
    """Finds persons on the CPU, 11 ms a square; calls from several threads wait for one another.

    Raises:
        ImportError: mediapipe's weights or LiteRT are not installed.
    """

    def __init__(self) -> None:
        try:
            from ai_edge_litert.interpreter import Interpreter

            package = importlib.metadata.distribution("mediapipe")
        except ImportError as error:
            raise ImportError(
                f"the detector blazepose needs mediapipe's weights and LiteRT; run: {_INSTALL}"
            ) from error
        self.model = f"blazepose of mediapipe {package.version}"
        self._lock = threading.Lock()
        self._network = Interpreter(str(package.locate_file(_WEIGHTS)), num_threads=1)
        self._network.allocate_tensors()
        self._input = self._network.get_input_details()[0]["index"]
        self._outputs = [output["index"] for output in self._network.get_output_details()]

    def __call__(self, frames: UInt8[np.ndarray, "n H W 3"]) -> list[Found]:
        """The persons of each frame, in pixels of these frames."""
        return [self._find(frame) for frame in frames]

    def _find(self, frame: UInt8[np.ndarray, "H W 3"]) -> Found:
        height, width = frame.shape[:2]
        side = min(width, height)
        seen = [
            self._look(frame[top : top + side, left : left + side]).placed(np.array([left, top]), side)
            for left, top in squares(width=width, height=height)
        ]
        boxes, scores = distinct(Bodies(*(np.concatenate(each) for each in zip(*seen))))
        return Found(np.clip(boxes, 0, [width, height, width, height]), scores)

    def _look(self, square: UInt8[np.ndarray, "side side 3"]) -> Bodies:
        from PIL import Image

        picture = np.asarray(Image.fromarray(square).resize((_SIDE, _SIDE)), np.float32)
        with self._lock:
            self._network.set_tensor(self._input, picture[None] / 127.5 - 1)
            self._network.invoke()
            outputs = [self._network.get_tensor(index)[0] for index in self._outputs]
        points, logits = sorted(outputs, key=lambda output: -output.shape[1])
        return decoded(points, logits[:, 0])


def squares(*, width: int, height: int) -> Int[np.ndarray, "n 2"]:
    """The corners (left, top) of squares as large as fit, which cover the picture and overlap by half or more.

    >>> squares(width=640, height=360).tolist()
    [[0, 0], [140, 0], [280, 0]]
    """
    room = np.array([width, height]) - min(width, height)
    return np.linspace([0, 0], room, 1 + math.ceil(2 * room.max() / min(width, height))).round().astype(int)


def anchors() -> Float[np.ndarray, "2254 2"]:
    """The centres (x, y) that the network's outputs are relative to, in shares of the square."""
    grids = []
    for cells, each in _GRIDS:
        middle = (np.arange(cells) + 0.5) / cells
        y, x = np.meshgrid(middle, middle, indexing="ij")
        grids.append(repeat(np.stack([x, y], -1), "y x xy -> (y x each) xy", each=each))
    return np.concatenate(grids)


def decoded(points: Float32[np.ndarray, "2254 12"], logits: Float32[np.ndarray, " 2254"]) -> Bodies:
    """The bodies that the network is sure of, in shares of its square.

    Of each anchor's six points the first is the head, the third the middle of the hips, and the fourth lies on the
    circle around the whole body. (The second is a size that is always the same, the others are not needed.)
    """
    from scipy.special import expit

    scores = expit(logits.astype(np.float64))
    sure = np.flatnonzero(scores >= _LEAST_SCORE)
    places = rearrange(points[sure].astype(np.float64), "k (point xy) -> k point xy", xy=2) / _SIDE
    head, _, hips, rim, *_ = rearrange(places + anchors()[sure, None], "k point xy -> point k xy")
    return Bodies(head, hips, np.linalg.norm(rim - hips, axis=-1), scores[sure])


def distinct(bodies: Bodies) -> Found:
    """Everybody once, surest first: answers whose heads are near a surer answer's are that person again."""
    kept: list[int] = []
    for i in np.argsort(-bodies.scores, kind="stable").tolist():
        if all(np.linalg.norm(bodies.heads[i] - bodies.heads[k]) > _APART * bodies.radius[k] for k in kept):
            kept.append(i)
    hips, radius = bodies.hips[kept], _REACH * bodies.radius[kept, None]
    return Found(np.concatenate([hips - radius, hips + radius], axis=-1), bodies.scores[kept])
