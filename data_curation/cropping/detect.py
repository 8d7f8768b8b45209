"""Find the acting persons without a skeleton: a detector looks at a few frames a second, the rest is interpolated.

Paper: App. D says that persons are cropped, not how; where the skeleton is missing, NTU's users fall back on detectors.
Assumption: five frames a second are enough, since nobody leaves the slack of 64 pixels faster.
"""

from pathlib import Path
from typing import Protocol

import numpy as np
from einops import rearrange
from jaxtyping import Float, UInt8

from data_curation.cropping.association import Found, Person, associate
from data_curation.cropping.boxes import KINECT, Boxes, CropError, between, smoothed
from ski_lvlm.videos.decoding import probe, read_frames
from ski_lvlm.videos.packets import timeline

_PER_SECOND = 5  # frames looked at
_PATIENCE = 5  # frames looked at in which a person may be hidden
_LOOK = (360, 640)  # height and width of what the detector sees, turned for upright videos; it is unsqueezed so
_SMOOTH = 3  # frames looked at: one wrong box among right ones does not count


class Detector(Protocol):
    """Finds the persons in each of several frames; may be called from several threads at once.

    `model` says which one it is and of which version, for records.
    """

    model: str

    def __call__(self, frames: UInt8[np.ndarray, "n H W 3"]) -> list[Found]:
        """The persons of each frame, in pixels of these frames."""


def load_detector(name: str) -> Detector:
    """The offline detector `blazepose`, or any object detector of transformers by hub id or local folder.

    Raises:
        ImportError: the packages of the offline detector are not installed.
        ValueError: there is no such detector, or it does not know persons.
    """
    if name == "blazepose":
        from data_curation.cropping.blazepose import BlazePose

        return BlazePose()
    from data_curation.cropping.object_detector import ObjectDetector

    return ObjectDetector(name)


def find_boxes(source: Path, *, detector: Detector, persons: int) -> Boxes:
    """The boxes of those who act, at most `persons`, in every frame of a video; NaN before and after they are seen.

    Assumption: the longest and largest seen act.

    Raises:
        CropError: nobody is found.
        VideoError: the video cannot be read.
    """
    info = probe(source)
    count = max(1, round(info.num_frames / (info.fps or 30) * _PER_SECOND))
    looked_at = timeline(source).middle_frames(count)
    height, width = _LOOK if info.width >= info.height else _LOOK[::-1]
    frames = rearrange(read_frames(source, numbers=looked_at, size=(height, width)).numpy(), "t c h w -> t h w c")
    acting = associate(detector(frames), patience=_PATIENCE)[:persons]
    if not acting:
        raise CropError(f"{detector.model} found nobody in {len(frames)} frames, so there is nobody to cut out")
    scale = np.tile(np.array(KINECT) / (width, height), 2)
    return np.stack([_in_every_frame(person, looked_at.tolist(), info.num_frames) for person in acting]) * scale


def _in_every_frame(person: Person, looked_at: list[int], num_frames: int) -> Float[np.ndarray, "{num_frames} 4"]:
    frames = [looked_at[number] for number in person.seen]
    seen = np.stack(person.boxes)
    seen[1:-1] = smoothed(seen, window=_SMOOTH)[1:-1]  # the first and the last have no neighbours to be judged by
    boxes = between(seen, frames, num_frames=num_frames)
    boxes[: frames[0]] = boxes[frames[-1] + 1 :] = np.nan
    return boxes
