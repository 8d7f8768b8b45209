"""The Trainer of SKI-LVLM: an own rate for the language model, and checkpoints in the form of its folder."""

import math
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer
from transformers.integrations import is_deepspeed_zero3_enabled

from ski_lvlm.lvlm.model_folder import read_weights
from ski_lvlm.lvlm.ski_model import SkiModel
from ski_lvlm.lvlm.trained import constant_weights, trained_names
from ski_lvlm.parallel.partitioned import assign
from ski_lvlm.training.checkpoints import ResumableTrainer
from ski_lvlm.training.epoch_sampler import ProgressSampler
from ski_lvlm.training.rate_groups import split_groups


class LvlmTrainer(ResumableTrainer):
    """The resumable Trainer of a `SkiModel`.

    `llm_learning_rate` is the rate of what is trained within the language model. None is that of the projectors.
    """

    def __init__(self, model: SkiModel, *, llm_learning_rate: float | None = None, **trainer: Any) -> None:  # noqa: ANN401
        super().__init__(model=model, **trainer)
        if llm_learning_rate is not None and not self.args.learning_rate:
            raise ValueError(
                "--learning_rate 0 beside --adapter_learning_rate; freeze projectors with --freeze instead"
            )
        self.lvlm, self.llm_learning_rate = model, llm_learning_rate
        self.constant = constant_weights(model)  # an engine may round them
        if model.config.train == "llm" and self.args.bf16 and is_deepspeed_zero3_enabled():
            for parameter in model.projectors.parameters():  # ZeRO-3 trains weights of one type, and keeps fp32 itself
                parameter.data = parameter.data.bfloat16()

    def _get_train_sampler(self, train_dataset: Any = None) -> ProgressSampler:  # type: ignore[override]  # noqa: ANN401
        steps_an_epoch = len(self.sampler) // self.sampler.batch_size
        steps = (
            self.args.max_steps if self.args.max_steps > 0 else math.ceil(self.args.num_train_epochs * steps_an_epoch)
        )
        return ProgressSampler(super()._get_train_sampler(train_dataset), num_steps=steps)

    def create_optimizer(self, model: Any = None) -> Optimizer:  # noqa: ANN401
        """Create the Trainer's optimizer, with groups of their own for weights within the language model."""
        is_new = self.optimizer is None
        optimizer = super().create_optimizer(model)
        if is_new and self.llm_learning_rate is not None:
            within_llm = {id(p) for p in self.lvlm.llm.parameters()}
            split_groups(optimizer, within_llm, multiplier=self.llm_learning_rate / self.args.learning_rate)
        return optimizer

    def whole_state(self) -> dict[str, Tensor]:
        """Return the trained weights in full precision, as far as this process writes them."""
        return super().whole_state() | self.constant

    def checkpoint_weights(self, checkpoint: Path) -> dict[str, Tensor]:
        """Read the trained weights of a checkpoint, by the model's names."""
        model = self.lvlm
        return read_weights(model.config, model.llm, checkpoint, expected=trained_names(model))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        assign(model or self.lvlm, self.checkpoint_weights(Path(resume_from_checkpoint)))
