"""Detectors of persons in single frames."""

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from ski_lvlm.estimation.association import Detections


@runtime_checkable
class Detector(Protocol):
    """A detector of persons in single frames, for several threads at once.

    `model` is its name and version for records.
    """

    model: str

    def __call__(self, frames: UInt8[np.ndarray, "n H W 3"]) -> list[Detections]:
        """Detect the persons of each frame, in pixels of these frames."""


def load_detector(name: str) -> Detector:
    """Load the offline detector `blazepose`, or an object detector of transformers by hub id or folder.

    Raises:
        ImportError: the packages of the offline detector are not installed.
        ValueError: there is no such detector, or it has no class for persons.
    """
    if name == "blazepose":
        from ski_lvlm.estimation.blazepose_detector import BlazePose

        return BlazePose()
    from ski_lvlm.estimation.object_detector import ObjectDetector

    return ObjectDetector(name)
