"""Training of SynSE on a table of features, cycle by cycle.

It has a loop of its own. The Trainer counts epochs over a data set. SynSE's step is one random batch of a table in
memory, and takes less time than the Trainer's own bookkeeping.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ski_lvlm.skeleton_text.features import FeatureTable
from ski_lvlm.skeleton_text.synse import SynSE
from ski_lvlm.skeleton_text.synse_loss import cross_start, synse_terms, weights_at
from ski_lvlm.storage.files import append_jsonl, atomic_path
from ski_lvlm.storage.weight_files import damage_of

CHECKPOINT = "checkpoint.pt"
_SAVE_EVERY = 500  # steps


class SynSESchedule(NamedTuple):
    """Length of the training, and its optimiser. Each step is one random batch."""

    cycles: int
    cycle_length: int
    batch_size: int
    learning_rate: float
    seed: int

    def check(self) -> None:
        """Refuse cycles that end before their cross-reconstruction begins.

        Raises:
            ValueError: they do, or there is nothing to train.
        """
        first = cross_start(self.cycle_length)
        if self.cycle_length <= first + 1:
            raise ValueError(
                f"--cycle_length {self.cycle_length}: cross-reconstruction begins after iteration {first}, so a cycle "
                "would never have it; give 1700, or more than 1501"
            )
        if self.cycles < 1 or self.batch_size < 1 or not 0 < self.learning_rate < 1:
            raise ValueError(
                f"--cycles {self.cycles}, --batch_size {self.batch_size}, --learning_rate {self.learning_rate}: "
                "expected one or more of both, and a rate between 0 and 1"
            )


class WordTable(NamedTuple):
    """Vectors of each class's noun and verb."""

    nouns: Float[Tensor, "C D"]
    verbs: Float[Tensor, "C D"]


@dataclass
class Progress:
    """Content of a checkpoint beside weights and optimiser: steps, accuracies after cycles, the best weights."""

    step: int = 0
    accuracies: list[float] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)

    @property
    def best_cycle(self) -> int:
        """Number of cycles, from 1, after which the accuracy was best. Of equals it is the first."""
        return int(np.argmax(self.accuracies)) + 1


def train_synse(
    model: SynSE,
    table: FeatureTable,
    words: WordTable,
    schedule: SynSESchedule,
    *,
    folder: Path,
    accuracy: Callable[[SynSE], float] | None = None,
) -> Progress:
    """Train from the last checkpoint in `folder`, if there is one.

    Batches and noise depend on the seed and the step alone, so that a resumed training repeats them.

    Args:
        model: whose weights are trained in place.
        table: of the training clips, whose labels are rows of `words`.
        words: of the training classes.
        schedule: of the training.
        folder: of the checkpoint and metrics.jsonl.
        accuracy: measured after each cycle, to choose by.
    """
    schedule.check()
    optimizer = torch.optim.Adam(model.parameters(), lr=schedule.learning_rate)
    progress = _resume(folder / CHECKPOINT, model, optimizer)
    terms_since: list[float] = []
    for step in range(progress.step, schedule.cycles * schedule.cycle_length):
        terms_since.append(_step(model, table, words, schedule, step, optimizer))
        progress.step = step + 1
        is_cycle_end = progress.step % schedule.cycle_length == 0
        if is_cycle_end and accuracy:
            _note(progress, model, accuracy(model))
        if is_cycle_end or progress.step % _SAVE_EVERY == 0:
            loss = sum(terms_since) / len(terms_since)
            terms_since.clear()
            last = {"accuracy": progress.accuracies[-1]} if is_cycle_end and accuracy else {}
            append_jsonl(folder / "metrics.jsonl", {"step": progress.step, "loss": loss, **last})
            _save(folder / CHECKPOINT, model, optimizer, progress)
    return progress


def _step(
    model: SynSE,
    table: FeatureTable,
    words: WordTable,
    schedule: SynSESchedule,
    step: int,
    optimizer: torch.optim.Optimizer,
) -> float:
    random = np.random.default_rng((schedule.seed, step))
    size = min(schedule.batch_size, len(table.labels))
    rows = torch.from_numpy(random.choice(len(table.labels), size, replace=False))
    noise = torch.from_numpy(random.standard_normal((3, size), dtype=np.float32))
    labels = table.labels[rows]
    optimizer.zero_grad()
    terms = synse_terms(model, table.features[rows], words.nouns[labels], words.verbs[labels], noise)
    cycle, iteration = divmod(step, schedule.cycle_length)
    loss = terms.total(weights_at(iteration, cycle=cycle, length=schedule.cycle_length))
    loss.backward()
    optimizer.step()
    return loss.item()


def _note(progress: Progress, model: SynSE, accuracy: float) -> None:
    progress.accuracies.append(accuracy)
    if progress.best_cycle == len(progress.accuracies):
        progress.best = {name: value.clone() for name, value in model.state_dict().items()}


def _save(file: Path, model: SynSE, optimizer: torch.optim.Optimizer, progress: Progress) -> None:
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "progress": asdict(progress)}
    with atomic_path(file) as temporary:
        torch.save(state, temporary)


def _resume(file: Path, model: SynSE, optimizer: torch.optim.Optimizer) -> Progress:
    if not file.is_file():
        return Progress()
    if reason := damage_of(file, checksums=True):
        raise ValueError(f"{file} is damaged ({reason}); delete it to train again from the start")
    state: dict[str, Any] = torch.load(file, weights_only=True, map_location="cpu")
    try:
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        return Progress(**state["progress"])
    except (KeyError, TypeError, RuntimeError, ValueError) as error:
        raise ValueError(f"{file} is of another training ({error}); choose another --output_dir") from error
