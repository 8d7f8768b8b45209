"""The order of training samples, which neither a restart nor the number of processes changes."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from torch.utils.data import Sampler
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments


class EpochSampler(Sampler[tuple[int, int]]):
    """Pairs (epoch, sample) of every sample once, in an order that depends on seed and epoch alone.

    The epoch travels with the sample because worker processes and resumed runs cannot know it otherwise. The first
    samples of an epoch also fill up its last batch: each step is one of `batch_size`, however many processes share it.
    """

    def __init__(self, num_samples: int, *, seed: int, batch_size: int = 1) -> None:
        self.num_samples, self.seed, self.batch_size, self.epoch = num_samples, seed, batch_size, 0

    def start_epoch(self, epoch: int) -> None:
        """Choose the order and the augmentations of the next iteration."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-self.num_samples // self.batch_size) * self.batch_size

    def __iter__(self) -> Iterator[tuple[int, int]]:
        epoch = self.epoch
        order = np.random.default_rng((self.seed, epoch)).permutation(self.num_samples)
        return iter([(epoch, sample) for sample in np.resize(order, len(self)).tolist()])


class EpochCallback(TrainerCallback):
    """Start of each epoch in the sampler: accelerate does not reach samplers of resumed or several loaders."""

    def __init__(self, sampler: EpochSampler) -> None:
        self.sampler = sampler

    def on_epoch_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **_: Any,  # noqa: ANN401
    ) -> None:
        """Start the epoch that the Trainer is in."""
        self.sampler.start_epoch(int((state.epoch or 0.0) + 1e-6))
