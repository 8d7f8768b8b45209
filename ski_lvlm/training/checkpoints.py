"""Checkpoints that are whole or absent, hold no frozen weights, and are resumed after a crash."""

import shutil
import sys
from collections.abc import Iterator, Sized
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from accelerate.utils import broadcast_object_list
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler
from transformers import Trainer, set_seed
from transformers.trainer import OPTIMIZER_NAME, SCHEDULER_NAME
from transformers.trainer_utils import TrainOutput, rotate_checkpoints
from transformers.utils import SAFE_WEIGHTS_NAME

from ski_lvlm.training.checkpoint_damage import damage, newest_whole
from ski_lvlm.training.epoch_sampler import EpochCallback, EpochSampler, Lengths
from ski_lvlm.training.speed import SAMPLES, SpeedMeter, Work, peak_of, rates
from ski_lvlm.training.trainer import GlobalBatchArguments
from ski_lvlm.training.zero_state import load_whole, whole_optimizer, whole_weights

PARTIAL = ".partial"  # checkpoints are written here and moved when whole


class ResumableTrainer(Trainer):
    """The Trainer, with checkpoints that are whole or absent, and an order of samples that resumed runs share.

    The dataset takes the keys (epoch, sample) of an `EpochSampler`. The log has the speed, for which `work` returns
    the amounts of work in a batch.
    """

    def __init__(self, *args: Any, work: Work | None = None, **trainer: Any) -> None:  # noqa: ANN401
        super().__init__(*args, **trainer)
        self.speed, self.samples = SpeedMeter(work), 0
        self.sampler = EpochSampler(
            len(cast(Sized, self.train_dataset)),
            seed=self.args.seed,
            batch_size=cast(GlobalBatchArguments, self.args).batch_size,
            lengths=lengths_for(self.args.train_sampling_strategy, self.train_dataset),
        )
        self.add_callback(EpochCallback(self.sampler))

    def _get_train_sampler(self, train_dataset: Any = None) -> EpochSampler:  # noqa: ANN401
        return self.sampler

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], Any]:
        """Return the batches of an optimiser step, after their work and the waiting for them have been counted."""
        batches, items = super().get_batch_samples(self.speed.timed(epoch_iterator), num_batches, device)
        for batch in batches:
            self.speed.count(batch)
        if batches:
            self.samples += cast(GlobalBatchArguments, self.args).batch_size
        return batches, items

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log, with the speed of all processes since the last line. The last line has that of the whole training."""
        args = cast(GlobalBatchArguments, self.args)
        totals = self.speed.totals(self.accelerator.gather, args.device) | {SAMPLES: float(self.samples)}
        amounts = self.speed.since_last(totals)
        if "train_runtime" in logs:
            amounts = totals
            if not logs.get("total_flos"):  # nobody has counted
                logs.pop("total_flos", None)
        peak = peak_of(args.device, is_16_bit=args.bf16 or args.fp16, stated=args.peak_tflops)
        logs.update(rates(amounts, processes=args.world_size, peak_tflops=peak))
        super().log(logs, start_time)

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """Return 0: `store_flos` takes what `work` has counted, for which no step has to wait."""
        return 0

    def store_flos(self) -> None:
        """Add the floating-point operations since the last time to the Trainer's state."""
        self.current_flos = self.speed.new_flops()  # type: ignore[assignment] # an int may overflow between processes
        super().store_flos()

    def train_or_resume(self) -> TrainOutput:
        """Train, from the checkpoint of --resume_from_checkpoint or else the last whole one.

        Raises:
            ValueError: that checkpoint, or every one, is damaged.
        """
        checkpoint: list[str | None] = [None]
        if self.args.process_index == 0:  # what the others see may lag behind on a network file system
            output_dir = Path(str(self.args.output_dir))
            checkpoint = [named_checkpoint(self.args.resume_from_checkpoint) or last_whole_checkpoint(output_dir)]
            if checkpoint[0]:
                sys.stdout.write(f"resuming from {checkpoint[0]}\n")
                sys.stdout.flush()
        broadcast_object_list(checkpoint)
        return self.train(resume_from_checkpoint=checkpoint[0])

    def _get_output_dir(self, trial: Any) -> str:  # noqa: ANN401
        return str(Path(str(self.args.output_dir)) / PARTIAL)

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:  # noqa: ANN401
        try:
            super()._save_checkpoint(model, trial)
        except (OSError, SafetensorError, RuntimeError) as error:  # what Python, safetensors and torch.save raise
            raise ValueError(
                f"checkpoint {self.state.global_step} could not be written to {self.args.output_dir}: {error}; "
                "make room and start the same command again: it resumes from the last whole checkpoint"
            ) from error
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            output_dir, name = Path(str(self.args.output_dir)), f"checkpoint-{self.state.global_step}"
            shutil.rmtree(output_dir / name, ignore_errors=True)
            (output_dir / PARTIAL / name).replace(output_dir / name)
            rotate_checkpoints(output_dir=str(output_dir), save_total_limit=self.args.save_total_limit)
        self.accelerator.wait_for_everyone()

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Write the trained weights in full precision, under DeepSpeed as without it."""
        if not self.is_deepspeed_enabled:
            super().save_model(output_dir, _internal_call)
            return
        self._save(output_dir, state_dict=self.whole_state())

    def whole_state(self) -> dict[str, Tensor]:
        """Return the trained weights in full precision. Processes that do not write them may have fewer."""
        model = cast(nn.Module, self.model)
        return {**model.state_dict(), **whole_weights(model, is_kept=self.args.should_save)}

    def checkpoint_weights(self, checkpoint: Path) -> dict[str, Tensor]:
        """Read the trained weights of a checkpoint, by the model's names."""
        return load_file(checkpoint / SAFE_WEIGHTS_NAME)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        if not self.is_deepspeed_enabled:
            super()._save_optimizer_and_scheduler(output_dir)
            return
        zero: Any = self.model_wrapped.optimizer
        optimizer = whole_optimizer(zero, is_kept=self.args.should_save)
        if self.args.should_save:
            torch.save(optimizer | {"loss_scaler": _numbers(zero)}, Path(output_dir) / OPTIMIZER_NAME)
            torch.save(cast(LRScheduler, self.lr_scheduler).state_dict(), Path(output_dir) / SCHEDULER_NAME)

    def _prepare_for_training(self, max_steps: int, train_dataloader: Any, resume_from_checkpoint: str | None) -> Any:  # noqa: ANN401
        if not (self.is_deepspeed_enabled and resume_from_checkpoint):
            return super()._prepare_for_training(max_steps, train_dataloader, resume_from_checkpoint)
        self._load_from_checkpoint(resume_from_checkpoint)  # the engine makes its working weights from these
        prepared = super()._prepare_for_training(max_steps, train_dataloader, None)
        self._load_shares(Path(resume_from_checkpoint))
        return prepared

    def _load_shares(self, checkpoint: Path) -> None:
        saved = torch.load(checkpoint / OPTIMIZER_NAME, weights_only=True, map_location="cpu")
        zero: Any = self.model_wrapped.optimizer
        load_whole(zero, saved, self.checkpoint_weights(checkpoint), cast(nn.Module, self.model))
        if hasattr(zero, "loss_scaler"):
            vars(zero.loss_scaler).update(saved.get("loss_scaler", {}))
        schedule = torch.load(checkpoint / SCHEDULER_NAME, weights_only=True)
        cast(LRScheduler, self.lr_scheduler).load_state_dict(schedule)

    def _load_rng_state(self, checkpoint: str | None) -> None:
        """Restore the random numbers of the checkpoint. Another number of processes starts new ones."""
        if checkpoint is None or processes_of(Path(checkpoint)) == self.args.world_size:
            super()._load_rng_state(checkpoint)
            return
        place = (self.args.seed, self.state.global_step, self.args.process_index)
        set_seed(int(np.random.SeedSequence(place).generate_state(1)[0]))


def lengths_for(strategy: str, dataset: Any) -> Lengths | None:  # noqa: ANN401
    """Return the lengths by which `--train_sampling_strategy` groups samples, or None for a random order.

    Raises:
        ValueError: another strategy, or samples without lengths.
    """
    if strategy == "random":
        return None
    if strategy != "group_by_length":
        raise ValueError(f"--train_sampling_strategy {strategy}: expected random or group_by_length")
    lengths: Lengths | None = getattr(dataset, "lengths", None)
    if lengths is None:
        raise ValueError(
            "--train_sampling_strategy group_by_length: nobody knows the lengths of these samples; leave the flag out"
        )
    return lengths


def _numbers(zero: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return the state of the loss scale, which fp16 alone changes."""
    state = vars(zero.loss_scaler) if hasattr(zero, "loss_scaler") else {}
    return {name: value for name, value in state.items() if isinstance(value, bool | int | float)}


def last_whole_checkpoint(output_dir: Path) -> str | None:
    """Return the newest whole checkpoint to resume from, or None, and remove what a crash left half-written.

    Raises:
        ValueError: there are checkpoints, and all are damaged.
    """
    if not output_dir.is_dir():
        return None
    shutil.rmtree(output_dir / PARTIAL, ignore_errors=True)
    folders = [folder for folder in output_dir.glob("checkpoint-*") if folder.name.split("-")[-1].isdecimal()]
    ascending = sorted(folders, key=lambda folder: int(folder.name.split("-")[-1]))
    checkpoint = newest_whole(ascending, sys.stderr.write)
    return str(checkpoint) if checkpoint else None


def named_checkpoint(checkpoint: str | None) -> str | None:
    """Return the checkpoint that the user names, if it is whole."""
    if checkpoint and (reason := damage(Path(checkpoint))):
        raise ValueError(f"{checkpoint}: {reason}; give another --resume_from_checkpoint, or leave the flag out")
    return checkpoint


def processes_of(checkpoint: Path) -> int:
    """Return the number of processes that wrote a checkpoint, each of which left its random numbers."""
    return len(list(checkpoint.glob("rng_state*.pth")))
