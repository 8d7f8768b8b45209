"""Object detectors of transformers (RT-DETR, YOLOS, ...) as person detectors."""

import threading

import numpy as np
from jaxtyping import UInt8

from ski_lvlm.cli import device
from ski_lvlm.estimation.association import Detections

_MIN_SCORE = 0.5
_BATCH = 8  # frames


class ObjectDetector:
    """A person detector from a hub id or a folder, on the GPU if there is one.

    Raises:
        ValueError: it is no object detector, or its classes have no "person".
    """

    def __init__(self, name: str) -> None:
        from transformers import AutoImageProcessor, AutoModelForObjectDetection

        from ski_lvlm.encoders.digest import weights_digest
        from ski_lvlm.storage.weight_files import weights_explained

        try:
            with weights_explained(name):
                self._processor = AutoImageProcessor.from_pretrained(name)
                network = AutoModelForObjectDetection.from_pretrained(name)
        except (OSError, ValueError) as error:
            raise ValueError(
                f"the detector {name!r} cannot be loaded ({str(error).splitlines()[0]}); expected blazepose, or the "
                "hub id or folder of an object detector such as RT-DETR or YOLOS"
            ) from error
        labels = network.config.id2label
        self._person = [number for number, label in labels.items() if label.lower() == "person"]
        if not self._person:
            raise ValueError(
                f"the detector {name!r} knows {len(labels)} classes and no 'person'; choose one trained on COCO"
            )
        self.model = f"{name} {weights_digest(network)}"
        self._network = network.eval().to(device())
        self._lock = threading.Lock()

    def __call__(self, frames: UInt8[np.ndarray, "n H W 3"]) -> list[Detections]:
        """Detect the persons of each frame, in pixels of these frames."""
        with self._lock:
            batches = (frames[start : start + _BATCH] for start in range(0, len(frames), _BATCH))
            return [detections for batch in batches for detections in self._find(batch)]

    def _find(self, frames: UInt8[np.ndarray, "n H W 3"]) -> list[Detections]:
        import torch

        inputs = self._processor(images=list(frames), return_tensors="pt").to(self._network.device)
        with torch.inference_mode():
            outputs = self._network(**inputs)
        results = self._processor.post_process_object_detection(
            outputs, threshold=_MIN_SCORE, target_sizes=[frames.shape[1:3]] * len(frames)
        )
        return [self._persons({key: value.cpu().numpy() for key, value in each.items()}) for each in results]

    def _persons(self, result: dict[str, np.ndarray]) -> Detections:
        is_person = np.isin(result["labels"], self._person)
        boxes, scores = result["boxes"][is_person], result["scores"][is_person]
        return Detections(boxes.astype(np.float64), scores.astype(np.float64))
