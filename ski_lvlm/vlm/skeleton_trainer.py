"""What the two stages of SkeletonCLIP add to the shared training code: their losses, and the final test."""

from collections.abc import Sequence
from typing import TypedDict

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import PretrainedConfig

from ski_lvlm.datasets.skeleton_clips import SkeletonClips, collate
from ski_lvlm.dual_encoders.losses import language_cross_entropy, scaled, temperature_in
from ski_lvlm.dual_encoders.skeleton_clip import SkeletonCLIP
from ski_lvlm.encoders.hyperformer import ActionClassifier
from ski_lvlm.recipe import Scale
from ski_lvlm.recognition.classes import top_k_accuracy


class Accuracy(TypedDict, total=False):
    """How many clips of how many classes were recognised, as shares; top-5 where there are more than five classes."""

    clips: int
    classes: int
    chance: float
    top1: float
    top5: float


class ClassifierLoss(nn.Module):
    """Stage 1 as the Trainer wants it: the loss comes out of `forward`."""

    def __init__(self, model: ActionClassifier) -> None:
        super().__init__()
        self.model = model
        self.config = _deepspeed_config(model)

    def forward(self, skeleton: Float[Tensor, "B T M J _"], labels: Int[Tensor, " B"]) -> dict[str, Tensor]:
        """Cross-entropy over the seen classes."""
        logits = self.model(skeleton)
        return {"loss": F.cross_entropy(logits, labels), "logits": logits}


class AlignmentLoss(nn.Module):
    """Stage 2 as the Trainer wants it.

    Paper: Eq. (1), Sec. 3.1. Deviation: in the published scale without tau, and features keep their length.
    """

    def __init__(self, model: SkeletonCLIP, *, prompts: Sequence[str], scale: Scale = "published") -> None:
        super().__init__()
        self.model, self.prompts, self.scale = model, tuple(prompts), scale
        model.log_scale.requires_grad_(scale == "cosine")
        self.config = _deepspeed_config(model)

    def forward(self, skeleton: Float[Tensor, "B T M J _"], labels: Int[Tensor, " B"]) -> dict[str, Tensor]:
        """Return the cross-entropy over the seen classes' sentences."""
        similarity = scaled(self.model(skeleton, self.prompts), self.scale)
        loss = language_cross_entropy(
            similarity, labels, temperature=temperature_in(self.scale, self.model.temperature)
        )
        return {"loss": loss, "logits": similarity}


def _deepspeed_config(model: ActionClassifier | SkeletonCLIP) -> PretrainedConfig:
    """The one number that the Trainer needs to fill in "auto" in DeepSpeed's settings."""
    return PretrainedConfig(hidden_size=model.encoder.width)  # type: ignore[call-arg]


@torch.no_grad()
def measure_accuracy(
    model: ActionClassifier | SkeletonCLIP,
    dataset: SkeletonClips,
    *,
    prompts: Sequence[str] | None,
    device: torch.device,
    batch_size: int = 64,
) -> Accuracy:
    """Recognise every clip of a dataset once, in order, by a model in evaluation mode.

    A SkeletonCLIP compares clips with `prompts`, one sentence for each of the dataset's classes.
    """
    if not len(dataset):
        return {"clips": 0}
    loader = DataLoader(dataset, batch_size=batch_size, collate_fn=collate)
    scores = torch.cat([_scores(model, batch["skeleton"].to(device), prompts).float().cpu() for batch in loader])
    labels, classes = torch.tensor(dataset.labels), scores.shape[1]
    result: Accuracy = {"clips": len(labels), "classes": classes, "chance": round(1 / classes, 4)}
    result["top1"] = round(top_k_accuracy(scores, labels), 4)
    if classes > 5:
        result["top5"] = round(top_k_accuracy(scores, labels, k=5), 4)
    return result


def _scores(
    model: ActionClassifier | SkeletonCLIP, skeleton: Float[Tensor, "B T M J X"], prompts: Sequence[str] | None
) -> Float[Tensor, "B C"]:
    if isinstance(model, ActionClassifier):
        return model(skeleton)
    assert prompts, "a SkeletonCLIP needs the classes' sentences"
    return model(skeleton, prompts).similarity
