"""Boxes of the acting persons without a skeleton, by a detector on a few frames a second and interpolation.

Paper: App. D says that persons are cropped, but not how. Without a skeleton, users of NTU fall back on detectors.
Assumption: five frames a second are enough, because nobody leaves the slack of 64 pixels faster.
"""

from pathlib import Path
from typing import Protocol

import numpy as np
from einops import rearrange
from jaxtyping import Float, UInt8

from data_curation.cropping.association import Detections, Person, associate
from data_curation.cropping.boxes import KINECT, Boxes, CropError, between, smoothed
from ski_lvlm.videos.decoding import probe, read_frames
from ski_lvlm.videos.packets import timeline

_PER_SECOND = 5  # sampled frames
_PATIENCE = 5  # sampled frames in which a person may be hidden
_INPUT = (360, 640)  # height and width of the detector's frames, exchanged for upright videos
_SMOOTH = 3  # sampled frames of a median, which drops a single wrong box


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
        from data_curation.cropping.blazepose import BlazePose

        return BlazePose()
    from data_curation.cropping.object_detector import ObjectDetector

    return ObjectDetector(name)


def find_boxes(source: Path, *, detector: Detector, persons: int) -> Boxes:
    """Return the boxes of at most `persons` actors in every frame of a video, with NaN outside their detections.

    Assumption: the persons with the longest and largest detections act.

    Raises:
        CropError: there are no persons.
        VideoError: the video cannot be read.
    """
    info = probe(source)
    count = max(1, round(info.num_frames / (info.fps or 30) * _PER_SECOND))
    sampled = timeline(source).middle_frames(count)
    height, width = _INPUT if info.width >= info.height else _INPUT[::-1]
    frames = rearrange(read_frames(source, numbers=sampled, size=(height, width)).numpy(), "t c h w -> t h w c")
    acting = associate(detector(frames), patience=_PATIENCE)[:persons]
    if not acting:
        raise CropError(f"{detector.model} found nobody in {len(frames)} frames, so there is nobody to cut out")
    scale = np.tile(np.array(KINECT) / (width, height), 2)
    return np.stack([_in_every_frame(person, sampled.tolist(), info.num_frames) for person in acting]) * scale


def _in_every_frame(person: Person, sampled: list[int], num_frames: int) -> Float[np.ndarray, "{num_frames} 4"]:
    frames = [sampled[number] for number in person.frames]
    detected = np.stack(person.boxes)
    detected[1:-1] = smoothed(detected, window=_SMOOTH)[1:-1]  # the first and the last lack a neighbour
    boxes = between(detected, frames, num_frames=num_frames)
    boxes[: frames[0]] = boxes[frames[-1] + 1 :] = np.nan
    return boxes
