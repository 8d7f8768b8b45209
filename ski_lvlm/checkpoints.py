"""Checkpoints that are whole or absent, hold no frozen weights, and are found again after a kill."""

import os
import shutil
import sys
from functools import partial
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from torch import nn
from transformers import Trainer
from transformers.trainer_utils import TrainOutput, rotate_checkpoints

from ski_lvlm.checkpoint_damage import damage, newest_whole

PARTIAL = ".partial"  # checkpoints are written here and moved when whole


class CheckpointError(ValueError):
    """A checkpoint that could not be written, most often for want of space."""


class ResumableTrainer(Trainer):
    """The Trainer, with checkpoints that are whole or absent and hold no frozen weights."""

    def train_or_resume(self) -> TrainOutput:
        """Train, from the checkpoint asked for or else the last whole one, if there is any.

        Raises:
            ValueError: the checkpoint was written by another number of processes.
        """
        output_dir = Path(str(self.args.output_dir))
        checkpoint = asked_checkpoint(self.args.resume_from_checkpoint) or last_whole_checkpoint(output_dir)
        if checkpoint:
            check_same_processes(Path(checkpoint), self.args.world_size)
            sys.stdout.write(f"resuming from {checkpoint}\n")
            sys.stdout.flush()
        return self.train(resume_from_checkpoint=checkpoint)

    def _get_output_dir(self, trial: Any) -> str:  # noqa: ANN401
        return str(Path(str(self.args.output_dir)) / PARTIAL)

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:  # noqa: ANN401
        try:
            super()._save_checkpoint(model, trial)
        except (OSError, SafetensorError, RuntimeError) as error:  # what Python, safetensors and torch.save raise
            raise CheckpointError(
                f"checkpoint {self.state.global_step} could not be written to {self.args.output_dir}: {error}; "
                "make room and start the same command again: it goes on from the last whole checkpoint"
            ) from error
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            output_dir, name = Path(str(self.args.output_dir)), f"checkpoint-{self.state.global_step}"
            shutil.rmtree(output_dir / name, ignore_errors=True)
            (output_dir / PARTIAL / name).replace(output_dir / name)
            rotate_checkpoints(output_dir=str(output_dir), save_total_limit=self.args.save_total_limit)
        self.accelerator.wait_for_everyone()

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        if not self.is_deepspeed_enabled:
            super()._save_optimizer_and_scheduler(output_dir)
            return
        engine: Any = self.model_wrapped
        save_all = engine.save_checkpoint
        engine.save_checkpoint = partial(save_all, exclude_frozen_parameters=True)
        try:
            super()._save_optimizer_and_scheduler(output_dir)
        finally:
            engine.save_checkpoint = save_all


def last_whole_checkpoint(output_dir: Path) -> str | None:
    """Return the newest whole checkpoint to resume from, or None; what a kill left half-written is removed.

    Raises:
        ValueError: there are checkpoints, and all are damaged.
    """
    if not output_dir.is_dir():
        return None
    is_first = int(os.environ.get("RANK", "0")) == 0
    if is_first:
        shutil.rmtree(output_dir / PARTIAL, ignore_errors=True)
    folders = [folder for folder in output_dir.glob("checkpoint-*") if folder.name.split("-")[-1].isdecimal()]
    ascending = sorted(folders, key=lambda folder: int(folder.name.split("-")[-1]))
    checkpoint = newest_whole(ascending, sys.stderr.write if is_first else lambda line: 0)
    return str(checkpoint) if checkpoint else None


def asked_checkpoint(checkpoint: str | None) -> str | None:
    """Return the checkpoint that was asked for, if one was.

    Raises:
        ValueError: it is absent or damaged.
    """
    if checkpoint and (reason := damage(Path(checkpoint))):
        raise ValueError(f"{checkpoint}: {reason}; give another --resume_from_checkpoint, or leave the flag out")
    return checkpoint


def check_same_processes(checkpoint: Path, processes: int) -> None:
    """DeepSpeed keeps each process's share of the optimiser; another number of processes cannot use them.

    Raises:
        ValueError: the checkpoint was written by another number of processes.
    """
    shares = len(list(checkpoint.glob("global_step*/*optim_states.pt")))
    if shares and shares != processes:
        raise ValueError(
            f"{checkpoint} was written by {shares} processes, found {processes}; resume with `deepspeed --num_gpus "
            f"{shares}`, or start anew with another --output_dir"
        )
