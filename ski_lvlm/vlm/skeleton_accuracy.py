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
    labels = torch.tensor(dataset.labels)
    result = top1_of(scores, labels)
    if result["classes"] > 5:
        result["top5"] = round(top_k_accuracy(scores, labels, k=5), 4)
    return result


def top1_of(scores: Tensor, labels: Tensor) -> Accuracy:
    """Return the share of clips whose best score [N C] is that of their class."""
    clips, classes = scores.shape
    chance, top1 = round(1 / classes, 4), round(top_k_accuracy(scores, labels), 4)
    return {"clips": clips, "classes": classes, "chance": chance, "top1": top1}
