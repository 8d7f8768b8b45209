"""Boxes of the acting persons without a skeleton, by a detector on a few frames a second and interpolation.

Paper: App. D says that persons are cropped, but not how. Without a skeleton, users of NTU fall back on detectors.
"""

from pathlib import Path

import numpy as np

from data_curation.cropping.boxes import KINECT, Boxes, CropError
from ski_lvlm.estimation.detector import Detector
from ski_lvlm.estimation.tracks import follow_persons
from ski_lvlm.videos.timeline import Span


def find_boxes(source: Path, *, detector: Detector, persons: int, span: Span | None = None) -> Boxes:
    """Return the boxes of at most `persons` actors in every frame of a video, with NaN outside their detections.

    With a `span`, the frames are those of that stretch of the video.

    Assumption: the persons with the longest and largest detections act.

    Raises:
        CropError: there are no persons.
        VideoError: the video cannot be read.
    """
    tracks = follow_persons(source, detector=detector, span=span)
    if not tracks.boxes:
        raise CropError(f"{detector.model} found nobody in {tracks.num_sampled} frames, so there is nobody to cut out")
    return np.stack(tracks.boxes[:persons]) * np.array([*KINECT, *KINECT])
