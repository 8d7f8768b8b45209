"""Boxes of the acting persons in each frame of a clip, from its skeleton or from a detector."""

import threading
from collections.abc import Callable
from typing import Literal

from data_curation.cropping.boxes import WHOLE, Boxes, CropError, skeleton_boxes
from data_curation.cropping.crop_settings import CropSettings
from data_curation.cropping.detect import find_boxes
from data_curation.ledger import Rejected
from data_curation.sources import SourceClip
from ski_lvlm.estimation.detector import Detector
from ski_lvlm.skeletons.cleaning import CleaningError
from ski_lvlm.skeletons.ntu_file import SkeletonFileError, read_skeleton
from ski_lvlm.videos.folder import VideoClip

Nobody = Literal["leave_out", "keep_whole"]


class Locator:
    """A finder of the persons to crop.

    Args:
        settings: settings with the number of persons in a crop.
        detector: the name of the detector for clips without a usable skeleton, or `none`.
        load: loads the detector at the first use.
        nobody: whether a clip without persons is left out or kept whole.

    Attributes:
        otherwise: the settings for clips without a usable skeleton. Others do not depend on them.
    """

    def __init__(
        self, settings: CropSettings, *, detector: str, load: Callable[[str], Detector], nobody: Nobody
    ) -> None:
        self.otherwise = f"detector={detector} nobody={nobody}"
        self._settings, self._nobody = settings, nobody
        self._detector_name, self._load, self._lock = detector, load, threading.Lock()
        self._loaded: Detector | None = None

    def locate(self, source: SourceClip, video: VideoClip) -> tuple[Boxes, str]:
        """Return the boxes of the persons and their source: `skeleton`, the detector's name, or `nobody`.

        Raises:
            Rejected: the skeleton file is broken, or there are no persons and such clips are left out.
            VideoError: the video cannot be read.
        """
        num_persons = self._settings.persons_in(source.action)
        try:
            if source.skeleton is None:
                raise CropError(f"there is a video but no skeleton{source.remark}")
            return skeleton_boxes(read_skeleton(source.skeleton), persons=num_persons), "skeleton"
        except SkeletonFileError as error:
            raise Rejected(str(error)) from error
        except (CropError, CleaningError) as error:
            return self._without_skeleton(video, persons=num_persons, reason=str(error))

    def _without_skeleton(self, video: VideoClip, *, persons: int, reason: str) -> tuple[Boxes, str]:
        if self._detector_name == "none":
            detection = "no detector was asked (--detector)"
        else:
            detector = self._detector()
            try:
                return find_boxes(video.path, detector=detector, persons=persons, span=video.span), detector.model
            except CropError as error:
                detection = str(error)
        if self._nobody == "keep_whole":
            return WHOLE, "nobody"
        remedy = "such clips can be kept whole with --nobody keep_whole"
        raise Rejected(f"{reason}, and {detection}; {remedy}", otherwise=self.otherwise)

    def _detector(self) -> Detector:
        with self._lock:
            if self._loaded is None:
                self._loaded = self._load(self._detector_name)
            return self._loaded
