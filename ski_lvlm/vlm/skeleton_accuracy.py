"""The test at the end of stages 1 and 2: how many skeletons are recognised."""

from collections.abc import Callable
from typing import TypedDict

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from ski_lvlm.datasets.skeleton_clips import SkeletonClips, collate
from ski_lvlm.recognition.accuracy import top_k_accuracy


class Accuracy(TypedDict, total=False):
    """Shares of a number of clips that were recognised among a number of classes. Top-5 needs more than five."""

    clips: int
    classes: int
    chance: float
    top1: float
    top5: float


@torch.no_grad()
def measure_accuracy(
    scores_of: Callable[[Tensor], Tensor], dataset: SkeletonClips, *, device: torch.device, batch_size: int = 64
) -> Accuracy:
    """Recognise every clip of a dataset once, in order.

    Args:
        scores_of: returns the scores [B C] of a batch of skeletons, from a model in evaluation mode.
        dataset: whose labels are the C classes.
        device: of the model.
        batch_size: skeletons at once.
    """
    if not len(dataset):
        return {"clips": 0}
    loader = DataLoader(dataset, batch_size=batch_size, collate_fn=collate)
    scores = torch.cat([scores_of(batch["skeleton"].to(device)).float().cpu() for batch in loader])
    labels, classes = torch.tensor(dataset.labels), scores.shape[1]
    result: Accuracy = {"clips": len(labels), "classes": classes, "chance": round(1 / classes, 4)}
    result["top1"] = round(top_k_accuracy(scores, labels), 4)
    if classes > 5:
        result["top5"] = round(top_k_accuracy(scores, labels, k=5), 4)
    return result
