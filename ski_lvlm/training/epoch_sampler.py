"""The order of training samples, which neither a restart nor the number of processes changes."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from torch.utils.data import Sampler
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

_POOL = 50  # steps whose samples are sorted together, as in transformers
Lengths = Callable[[int], np.ndarray]  # epoch → tokens of each sample


class EpochSampler(Sampler[tuple[int, int]]):
    """Pairs (epoch, sample) of every sample once, in an order that depends on seed and epoch alone.

    The epoch travels with the sample because worker processes and resumed runs cannot know it otherwise. The first
    samples of an epoch also fill up its last batch: each step is one of `batch_size`, however many processes share it.

    With `lengths`, the samples of a step are of similar length.
    """

    def __init__(self, num_samples: int, *, seed: int, batch_size: int = 1, lengths: Lengths | None = None) -> None:
        self.num_samples, self.seed, self.batch_size, self.epoch = num_samples, seed, batch_size, 0
        self.lengths = lengths

    def start_epoch(self, epoch: int) -> None:
        """Choose the order and the augmentations of the next iteration."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-self.num_samples // self.batch_size) * self.batch_size

    def __iter__(self) -> Iterator[tuple[int, int]]:
        epoch = self.epoch
        generator = np.random.default_rng((self.seed, epoch))
        order = np.resize(generator.permutation(self.num_samples), len(self))
        if self.lengths is not None:
            order = _grouped(order, self.lengths(epoch), self.batch_size, generator)
        return iter([(epoch, sample) for sample in order.tolist()])


def _grouped(order: np.ndarray, lengths: np.ndarray, batch_size: int, generator: np.random.Generator) -> np.ndarray:
    """Return the order with steps of similar lengths, themselves in random order.

    The step with the longest sample is the first, so that memory runs out at the start or never.
    """
    pool = _POOL * batch_size
    pools = (order[start : start + pool] for start in range(0, len(order), pool))
    steps = np.concatenate([part[np.argsort(-lengths[part], kind="stable")] for part in pools]).reshape(-1, batch_size)
    steps = steps[generator.permutation(len(steps))]
    longest = int(lengths[steps].max(axis=1).argmax())
    steps[[0, longest]] = steps[[longest, 0]]
    return steps.flatten()


class SampleKey(NamedTuple):
    """The place of a sample in the training.

    Attributes:
        epoch: counted from 0.
        sample: its number in the dataset.
        progress: of the training, 0 in its first optimiser step and 1 in its last.
    """

    epoch: int
    sample: int
    progress: float = 0.0


def sample_key(key: "int | tuple[int, int] | SampleKey") -> SampleKey:
    """Return the place that a dataset is asked for. A number alone is at the start of the training.

    >>> sample_key(3)
    SampleKey(epoch=0, sample=3, progress=0.0)
    """
    return SampleKey(*key) if isinstance(key, tuple) else SampleKey(0, key)


class ProgressSampler(Sampler[SampleKey]):
    """The samples of an `EpochSampler`, with the progress of the training at each.

    Steps of an epoch are whole, so the place of a sample in the order names its step, whatever the number of
    processes, accumulation steps and worker processes, and also after a resume.

    Args:
        sampler: the order of the samples.
        num_steps: optimiser steps of the whole training.
    """

    def __init__(self, sampler: EpochSampler, *, num_steps: int) -> None:
        self.sampler, self.num_steps = sampler, num_steps

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[SampleKey]:
        size = self.sampler.batch_size
        for place, (epoch, sample) in enumerate(self.sampler):
            step = epoch * (len(self) // size) + place // size
            yield SampleKey(epoch, sample, min(1.0, step / max(1, self.num_steps - 1)))


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
