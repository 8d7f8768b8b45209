"""What the two stages of SkeletonCLIP add to the shared training code: losses, step decay, and the final test."""

from collections.abc import Sequence
from functools import partial
from typing import Any, TypedDict

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler
from torch.utils.data import DataLoader
from transformers import PretrainedConfig, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ski_lvlm.hyperformer import ActionClassifier
from ski_lvlm.losses import language_cross_entropy
from ski_lvlm.skeleton_clip import SkeletonCLIP
from ski_lvlm.skeleton_data import EpochSampler, SkeletonClips, collate
from ski_lvlm.training import ResumableTrainer
from ski_lvlm.zero_shot import top_k_accuracy


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

    Paper: Eq. (1), Sec. 3.1.
    """

    def __init__(self, model: SkeletonCLIP, *, prompts: Sequence[str]) -> None:
        super().__init__()
        self.model, self.prompts = model, tuple(prompts)
        self.config = _deepspeed_config(model)

    def forward(self, skeleton: Float[Tensor, "B T M J _"], labels: Int[Tensor, " B"]) -> dict[str, Tensor]:
        """Cross-entropy of the cosines with the seen classes' sentences."""
        similarity = self.model(skeleton, self.prompts).similarity
        loss = language_cross_entropy(similarity, labels, temperature=self.model.temperature)
        return {"loss": loss, "logits": similarity}


def _deepspeed_config(model: ActionClassifier | SkeletonCLIP) -> PretrainedConfig:
    """The one number that the Trainer needs to fill in "auto" in DeepSpeed's settings."""
    return PretrainedConfig(hidden_size=model.encoder.width)  # type: ignore[call-arg]


class SkeletonTrainer(ResumableTrainer):
    """The resumable Trainer with orders and augmentations by epoch, and Hyperformer's step decay.

    Assumption: weight decay acts on the weights of convolutions and linear layers alone; the published code has it act
    on everything.
    """

    def __init__(self, *, decay_at: Sequence[float] = (), **trainer: Any) -> None:  # noqa: ANN401
        super().__init__(**trainer)
        self.decay_at = tuple(decay_at)
        self.sampler = EpochSampler(len(trainer["train_dataset"]), seed=self.args.seed)
        self.add_callback(_TellEpoch(self.sampler))

    def _get_train_sampler(self, train_dataset: Any = None) -> EpochSampler:  # noqa: ANN401
        return self.sampler

    def get_decay_parameter_names(self, model: nn.Module) -> list[str]:
        """The weights of convolutions and linear layers."""
        return [name for name, p in model.named_parameters() if name.endswith(".weight") and p.ndim > 1]

    def create_scheduler(self, num_training_steps: int, optimizer: Optimizer | None = None) -> LRScheduler:
        """The Trainer's schedules; `constant_with_warmup` falls to a tenth at each of `decay_at`."""
        if self.args.lr_scheduler_type != "constant_with_warmup" or not self.decay_at:
            return super().create_scheduler(num_training_steps, optimizer)
        if self.lr_scheduler is None:
            warmup = self.args.get_warmup_steps(num_training_steps)
            steps = tuple(share * num_training_steps for share in self.decay_at)
            factor = partial(step_decay, warmup=warmup, decay_steps=steps)
            self.lr_scheduler = LambdaLR(optimizer or self.optimizer, factor)  # type: ignore[arg-type]
            self._created_lr_scheduler = True
        return self.lr_scheduler


class _TellEpoch(TrainerCallback):
    def __init__(self, sampler: EpochSampler) -> None:
        self.sampler = sampler

    def on_epoch_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **_: Any,  # noqa: ANN401
    ) -> None:
        self.sampler.start_epoch(int((state.epoch or 0.0) + 1e-6))


def step_decay(step: int, *, warmup: int, decay_steps: Sequence[float]) -> float:
    """Factor of the learning rate: rising in a line over `warmup` steps, then a tenth of it at each of `decay_steps`.

    >>> [step_decay(step, warmup=2, decay_steps=[4.0]) for step in (0, 1, 2, 3, 4)]
    [0.0, 0.5, 1.0, 1.0, 0.1]
    """
    if step < warmup:
        return step / warmup
    return 0.1 ** sum(step >= decay for decay in decay_steps)


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
