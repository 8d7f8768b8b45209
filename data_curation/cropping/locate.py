"""Where the acting persons are in each frame of a clip: by its skeleton, by a detector, or nowhere."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from data_curation.cropping.boxes import WHOLE, Boxes, CropError, skeleton_boxes
from data_curation.cropping.crop_settings import CropSettings
from data_curation.cropping.detect import Detector, find_boxes
from data_curation.ledger import Rejected
from ski_lvlm.datasets.ntu import missing_skeletons, parse_name
from ski_lvlm.skeletons.cleaning import CleaningError
from ski_lvlm.skeletons.ntu_file import SkeletonFileError, read_skeleton

Nobody = Literal["leave_out", "keep_whole"]


class Locator:
    """Finds the persons to cut out.

    Args:
        settings: say how many persons a crop shows.
        detector: its name, for clips without a usable skeleton; `none` does without.
        load: makes the detector when it is needed first.
        nobody: whether a clip in which nobody is found is left out or kept whole.

    `otherwise` says what is done with clips that have no usable skeleton; others do not depend on it.
    """

    def __init__(
        self, settings: CropSettings, *, detector: str, load: Callable[[str], Detector], nobody: Nobody
    ) -> None:
        self.otherwise = f"detector={detector} nobody={nobody}"
        self._settings, self._nobody = settings, nobody
        self._detector_name, self._load, self._lock = detector, load, threading.Lock()
        self._loaded: Detector | None = None

    def locate(self, name: str, video: Path, skeleton: Path | None) -> tuple[Boxes, str]:
        """The boxes of the persons, and what found them: `skeleton`, the detector's name, or `nobody`.

        Raises:
            Rejected: the skeleton file is broken, or nobody is found and such clips are left out.
            VideoError: the video cannot be read.
        """
        wanted = self._settings.persons_in(parse_name(name).action)
        try:
            if skeleton is None:
                raise CropError(f"there is a video but no skeleton{_listed(name)}")
            return skeleton_boxes(read_skeleton(skeleton), persons=wanted), "skeleton"
        except SkeletonFileError as error:
            raise Rejected(str(error)) from error
        except (CropError, CleaningError) as error:
            return self._without_skeleton(video, persons=wanted, why=str(error))

    def _without_skeleton(self, video: Path, *, persons: int, why: str) -> tuple[Boxes, str]:
        if self._detector_name == "none":
            tried = "no detector was asked (--detector)"
        else:
            detector = self._detector()
            try:
                return find_boxes(video, detector=detector, persons=persons), detector.model
            except CropError as error:
                tried = str(error)
        if self._nobody == "keep_whole":
            return WHOLE, "nobody"
        remedy = "such clips can be kept whole with --nobody keep_whole"
        raise Rejected(f"{why}, and {tried}; {remedy}", otherwise=self.otherwise)

    def _detector(self) -> Detector:
        with self._lock:
            if self._loaded is None:
                self._loaded = self._load(self._detector_name)
            return self._loaded


def _listed(name: str) -> str:
    return " (NTU lists this clip among those without)" if name in missing_skeletons("ntu120") else ""
