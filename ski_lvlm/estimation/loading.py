"""Estimators by name."""

from ski_lvlm.estimation.detector import load_detector
from ski_lvlm.estimation.estimate import Estimator

DETECTOR = "PekingU/rtdetr_r50vd_coco_o365"  # transformers' own example for ViTPose


def load_estimator(name: str, *, detector: str = DETECTOR) -> Estimator:
    """Load `blazepose`, or `vitpose:ID` by hub id or folder.

    Args:
        name: of the estimator.
        detector: of persons, for ViTPose. BlazePose has its own.

    Raises:
        ImportError: BlazePose's weights are not installed.
        ValueError: there is no such estimator, or it cannot be used.
    """
    kind, _, model = name.partition(":")
    if name == "blazepose":
        from ski_lvlm.estimation.blazepose import BlazePoseEstimator

        return BlazePoseEstimator()
    if kind == "vitpose" and model:
        from ski_lvlm.estimation.vitpose import VitPoseEstimator

        return VitPoseEstimator(model, detector=load_detector(detector))
    raise ValueError(f"unknown estimator {name!r}; expected blazepose, or vitpose:ID with a hub id or folder")
