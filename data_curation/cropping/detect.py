"""Boxes of the acting persons without a skeleton, by a detector on a few frames a second and interpolation.

Paper: App. D says that persons are cropped, but not how. Without a skeleton, users of NTU fall back on detectors.
"""

from pathlib import Path

import numpy as np

from data_curation.cropping.boxes import KINECT, Boxes, CropError
from ski_lvlm.estimation.detector import Detector
from ski_lvlm.estimation.tracks import follow_persons


def find_boxes(source: Path, *, detector: Detector, persons: int) -> Boxes:
    """Return the boxes of at most `persons` actors in every frame of a video, with NaN outside their detections.

    Assumption: the persons with the longest and largest detections act.

    Raises:
        CropError: there are no persons.
        VideoError: the video cannot be read.
    """
    tracks = follow_persons(source, detector=detector)
    if not tracks.boxes:
        raise CropError(f"{detector.model} found nobody in {tracks.num_sampled} frames, so there is nobody to cut out")
    return np.stack(tracks.boxes[:persons]) * np.array([*KINECT, *KINECT])
