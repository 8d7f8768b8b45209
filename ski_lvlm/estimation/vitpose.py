"""ViTPose (Xu et al. 2022) and other models of transformers with its interface: COCO's 17 joints in the picture.

Two coordinates a joint. The unit is the picture's height, the origin its middle, x to the right and y up, so that
values do not depend on the size of the video and its mirror image has the other sign of x.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from ski_lvlm.cli import device
from ski_lvlm.estimation.detector import Detector
from ski_lvlm.estimation.estimate import Estimate, Frames, nobody
from ski_lvlm.estimation.tracks import frame_batches
from ski_lvlm.skeletons.layouts import layout_named

_NUM_JOINTS = 17
_BATCH = 16  # frames


class VitPoseEstimator:
    """An estimator of COCO's 17 joints, on the GPU if there is one.

    Args:
        name: hub id or folder of the model.
        detector: of the persons.

    Raises:
        ValueError: it cannot be loaded, or has other than 17 joints.
    """

    layout = "coco-17"
    cleaning = "vitpose-1"
    min_confidence = 0.3

    def __init__(self, name: str, *, detector: Detector) -> None:
        from transformers import AutoImageProcessor, VitPoseForPoseEstimation

        from ski_lvlm.encoders.digest import weights_digest
        from ski_lvlm.storage.weight_files import weights_explained

        try:
            with weights_explained(name):
                self._processor = AutoImageProcessor.from_pretrained(name)
                network = VitPoseForPoseEstimation.from_pretrained(name)
        except (OSError, ValueError) as error:
            raise ValueError(
                f"the estimator {name!r} cannot be loaded ({str(error).splitlines()[0]}); expected the hub id or "
                "folder of a ViTPose, such as usyd-community/vitpose-base-simple"
            ) from error
        if network.config.num_labels != _NUM_JOINTS:
            raise ValueError(
                f"the estimator {name!r} has {network.config.num_labels} joints; expected the {_NUM_JOINTS} of COCO: "
                "choose a ViTPose trained on COCO"
            )
        self.detector, self.model = detector, f"{name} {weights_digest(network)}, persons by {detector.model}"
        self._network = network.eval().to(device())
        self._is_mixture = getattr(network.config.backbone_config, "num_experts", 1) > 1

    def __call__(self, frames: Frames, boxes: Float[np.ndarray, "M T 4"]) -> Iterator[Estimate]:
        """Yield the estimates of a batch of frames at a time."""
        start = 0
        for batch in frame_batches(frames, _BATCH):
            yield self._estimate(batch, boxes[:, start : start + len(batch)])
            start += len(batch)

    def _estimate(self, frames: UInt8[np.ndarray, "n H W 3"], boxes: Float[np.ndarray, "M n 4"]) -> Estimate:
        estimate = nobody(len(frames), len(boxes), layout=layout_named(self.layout))
        is_there = ~np.isnan(boxes).any(axis=-1)
        peopled = [number for number in range(len(frames)) if is_there[:, number].any()]
        if not peopled:
            return estimate
        corners = [boxes[is_there[:, number], number] for number in peopled]
        answers = self._answers(frames[peopled], [np.hstack([box[:, :2], box[:, 2:] - box[:, :2]]) for box in corners])
        size = np.array(frames.shape[2:0:-1])
        for number, persons in zip(peopled, answers, strict=True):
            for actor, person in zip(np.flatnonzero(is_there[:, number]), persons, strict=True):
                points = person["keypoints"].cpu().numpy().astype(np.float64)
                estimate.places[number, actor] = points / size
                estimate.joints[number, actor] = (points - size / 2) / size[1] * [1, -1]
                estimate.confidence[number, actor] = np.clip(person["scores"].cpu().numpy(), 0, 1)
        return estimate

    def _answers(
        self, frames: UInt8[np.ndarray, "n H W 3"], boxes: list[Float[np.ndarray, "_ 4"]]
    ) -> list[list[dict[str, Any]]]:
        """Return keypoints and scores of every person of every frame. Boxes are corner, width and height."""
        import torch

        lists = [box.tolist() for box in boxes]
        inputs = self._processor(images=list(frames), boxes=lists, return_tensors="pt").to(self._network.device)
        if self._is_mixture:
            inputs["dataset_index"] = torch.zeros(len(inputs["pixel_values"]), dtype=torch.long)  # COCO's expert
        with torch.inference_mode():
            outputs = self._network(**inputs)
        answers: list[list[dict[str, Any]]] = self._processor.post_process_pose_estimation(outputs, boxes=lists)
        return answers
