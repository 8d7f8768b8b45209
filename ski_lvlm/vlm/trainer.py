"""The Trainer of all stages of SKI-VLM, and the parts that a stage gives it."""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler
from torch.utils.data import Dataset
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ski_lvlm.dual_encoders.language import clamp_temperatures
from ski_lvlm.encoders.temporal_shift import TemporalShift
from ski_lvlm.training.checkpoints import ResumableTrainer
from ski_lvlm.training.rate_groups import split_groups

_NO_PARTS = ("loss", "logits")
_RATIO = "gradient_ratio"  # a measure among the parts of the loss
_NEGLIGIBLE = 1e-3  # of the video's gradient
logger = logging.getLogger(__name__)


@dataclass
class Stage:
    """One stage of `train_ski_vlm.py`: what the Trainer takes, and what follows the training."""

    loss: nn.Module  # one of ski_lvlm/vlm/stage_losses.py or alignment.py
    train: Dataset[Any]
    collate: Callable[[Any], Any]
    about: str  # a line for the start
    save: Callable[[Path], None]
    test: Callable[[torch.device], Mapping[str, Any]]
    decay_at: Sequence[float] = ()
    untrained: Collection[str] = ()  # names of the loss's weights that were not pretrained
    untrained_rate: float = 1.0  # multiplier of their learning rate
    decay_multipliers: Mapping[str, float] = field(default_factory=dict)  # of the weight decay, by the weights' names
    origin: Mapping[str, Any] = field(default_factory=dict)  # what a resumed run has to start from too


class VlmTrainer(ResumableTrainer):
    """The resumable Trainer with rates by part and losses logged by part.

    Assumption: weight decay acts on the weights of convolutions, linear layers and embeddings alone. In the published
    code it acts on everything.
    """

    def __init__(self, stage: Stage, **trainer: Any) -> None:  # noqa: ANN401
        super().__init__(model=stage.loss, train_dataset=stage.train, data_collator=stage.collate, **trainer)
        self.stage, self.decay_at = stage, tuple(stage.decay_at)
        self.parts: dict[str, list[Tensor]] = {}
        self.add_callback(_TemperatureBound(stage.loss))
        _prepare_shifts(stage.loss, self.args)

    def get_decay_parameter_names(self, model: nn.Module) -> list[str]:
        """Return the weights of convolutions, linear layers and embeddings."""
        return [name for name, p in model.named_parameters() if name.endswith(".weight") and p.ndim > 1]

    def create_optimizer(self, model: Any = None) -> Optimizer:  # noqa: ANN401
        """Create the Trainer's optimizer, with a rate of their own for weights that were not pretrained."""
        is_new = self.optimizer is None
        optimizer = super().create_optimizer(model)
        if is_new and self.stage.untrained_rate != 1.0:
            untrained = {id(p) for name, p in self.stage.loss.named_parameters() if name in self.stage.untrained}
            split_groups(optimizer, untrained, multiplier=self.stage.untrained_rate)
        if is_new:
            for multiplier in sorted(set(self.stage.decay_multipliers.values())):
                names = {name for name, value in self.stage.decay_multipliers.items() if value == multiplier}
                decayed = {id(p) for name, p in self.stage.loss.named_parameters() if name in names}
                split_groups(optimizer, decayed, multiplier=multiplier, setting="weight_decay")
        return optimizer

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:  # noqa: ANN401
        """Return the loss, and remember its parts for the next line of the log."""
        loss, outputs = super().compute_loss(model, inputs, return_outputs=True, num_items_in_batch=num_items_in_batch)
        if _RATIO in outputs and not self.parts and not self.state.global_step:
            self._report_ratio(float(outputs[_RATIO]))
        for name, part in outputs.items():
            if name not in _NO_PARTS:
                self.parts.setdefault(name, []).append(part.detach().float())
        return (loss, outputs) if return_outputs else loss

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        """Log, with the mean of each part of the loss since the last time (this process's part)."""
        means = {_logged_name(name): torch.stack(values).mean().item() for name, values in self.parts.items()}
        self.parts.clear()
        logs.update(means)
        super().log(logs, *args, **kwargs)

    def _report_ratio(self, ratio: float) -> None:
        if self.is_world_process_zero():
            advice = "; SCD will do next to nothing, raise --alpha" if ratio < _NEGLIGIBLE else ""
            logger.info("first batch: alpha * L_D has %.2g times the video's gradient%s", ratio, advice)

    def create_scheduler(self, num_training_steps: int, optimizer: Optimizer | None = None) -> LRScheduler:
        """Create the Trainer's schedule. `constant_with_warmup` falls to a tenth at each of `decay_at`."""
        if self.args.lr_scheduler_type != "constant_with_warmup" or not self.decay_at:
            return super().create_scheduler(num_training_steps, optimizer)
        if self.lr_scheduler is None:
            warmup = self.args.get_warmup_steps(num_training_steps)
            steps = tuple(share * num_training_steps for share in self.decay_at)
            multiplier = partial(step_decay, warmup=warmup, decay_steps=steps)
            self.lr_scheduler = LambdaLR(optimizer or self.optimizer, multiplier)  # type: ignore[arg-type]
            self._created_lr_scheduler = True
        return self.lr_scheduler


class _TemperatureBound(TrainerCallback):
    def __init__(self, loss: nn.Module) -> None:
        self.loss = loss

    def on_optimizer_step(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **_: Any,  # noqa: ANN401
    ) -> None:
        clamp_temperatures(self.loss)


def _prepare_shifts(loss: nn.Module, args: TrainingArguments) -> None:
    """Tell the temporal shifts, whose gradient is a sign, from how many parts a batch's gradient is accumulated."""
    shifts = [module for module in loss.modules() if isinstance(module, TemporalShift)]
    if shifts and args.fp16:
        raise ValueError("--fp16 scales gradients, and Shift-GCN's offsets in time use their sign; use --bf16")
    for shift in shifts:
        shift.num_parts = args.gradient_accumulation_steps


def _logged_name(part: str) -> str:
    return part if part == _RATIO else f"loss_{part}"


def step_decay(step: int, *, warmup: int, decay_steps: Sequence[float]) -> float:
    """Return the multiplier of the learning rate: a linear warm-up, then a tenth at each of `decay_steps`.

    >>> [step_decay(step, warmup=2, decay_steps=[4.0]) for step in (0, 1, 2, 3, 4)]
    [0.0, 0.5, 1.0, 1.0, 0.1]
    """
    if step < warmup:
        return step / warmup
    return 0.1 ** sum(step >= decay for decay in decay_steps)
