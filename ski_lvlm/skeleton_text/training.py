"""Training of a method on a table of features, round by round.

It has a loop of its own. The Trainer counts epochs over a data set. A step here is one random batch of a table, and
takes less time than the Trainer's own bookkeeping.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ski_lvlm.cli import progress as progress_bar
from ski_lvlm.skeleton_text.features import FeatureTable
from ski_lvlm.skeleton_text.method import SkeletonTextMethod, Step
from ski_lvlm.storage.files import append_jsonl, atomic_path
from ski_lvlm.storage.weight_files import damage_of

CHECKPOINT = "checkpoint.pt"
_SAVE_EVERY = 500  # steps


class Schedule(NamedTuple):
    """Length of the training, and its rate. A round is so many random batches, or an epoch if its length is 0."""

    rounds: int
    round_length: int
    batch_size: int
    learning_rate: float
    seed: int

    def check(self) -> None:
        """Refuse what cannot be trained.

        Raises:
            ValueError: the message names the flags.
        """
        if self.rounds < 0 or self.round_length < 0 or self.batch_size < 1 or not 0 < self.learning_rate < 1:
            raise ValueError(
                f"--rounds {self.rounds}, --round_length {self.round_length}, --batch_size {self.batch_size}, "
                f"--learning_rate {self.learning_rate}: expected 0 or more of both, 1 or more, and a rate between 0 "
                "and 1"
            )

    def steps_of_round(self, clips: int) -> int:
        """Return the steps of a round over so many clips. An epoch ends with its last full batch."""
        return self.round_length or max(1, clips // self.batch_size)


@dataclass
class Progress:
    """Content of a checkpoint beside weights and optimiser: steps, accuracies after rounds, the best weights."""

    step: int = 0
    accuracies: list[float] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)
    idle_rounds: int = 0  # at the beginning, whose learning rate is 0

    @property
    def best_round(self) -> int:
        """Number of rounds, from 1, after which the accuracy was best. Of equals it is the first.

        Weights that no step has changed yet are no choice, unless there are no others.
        """
        idle = self.idle_rounds if self.idle_rounds < len(self.accuracies) else 0
        return idle + int(np.argmax(self.accuracies[idle:])) + 1


def train(
    model: SkeletonTextMethod,
    table: FeatureTable,
    texts: Float[Tensor, "C K D"],
    schedule: Schedule,
    *,
    folder: Path,
    last_round: int | None = None,
    accuracy: Callable[[SkeletonTextMethod], float] | None = None,
) -> Progress:
    """Train from the last checkpoint in `folder`, if there is one.

    Batches and noise depend on the seed and the step alone, so that a resumed training repeats them.

    Args:
        model: whose weights are trained in place, where they are.
        table: of the training clips, whose labels are rows of `texts`.
        texts: of the training classes.
        schedule: of the training.
        folder: of the checkpoint and metrics.jsonl.
        last_round: after which it ends, although the learning rate is that of all rounds.
        accuracy: measured after each round, to choose by.
    """
    schedule.check()
    model.check_rounds(schedule.round_length)
    model.initialise(table, texts)
    if not schedule.rounds:
        return Progress()
    if not list(model.parameters()):
        raise ValueError(f"--rounds {schedule.rounds}: {model.title} has a closed form and no steps; leave it 0")
    optimizer = model.optimizer(schedule.learning_rate)
    progress = _resume(folder / CHECKPOINT, model, optimizer)
    length = schedule.steps_of_round(len(table))
    losses: list[float] = []
    total = (last_round or schedule.rounds) * length
    with progress_bar(folder.name, total=total, completed=progress.step) as advance:
        for number in range(progress.step, total):
            step = Step(*divmod(number, length), length, schedule.rounds)
            losses.append(_train_step(model, table, texts, schedule, step, optimizer))
            progress.step = number + 1
            is_round_end = progress.step % length == 0
            if is_round_end and accuracy:
                progress.idle_rounds += progress.idle_rounds == step.round and not model.rate_multiplier(step)
                _note(progress, model, accuracy(model))
            if is_round_end or progress.step % _SAVE_EVERY == 0:
                last = {"accuracy": progress.accuracies[-1]} if is_round_end and accuracy else {}
                append_jsonl(
                    folder / "metrics.jsonl", {"step": progress.step, "loss": sum(losses) / len(losses), **last}
                )
                losses.clear()
                _save(folder / CHECKPOINT, model, optimizer, progress)
            advance(1)
    return progress


def _train_step(
    model: SkeletonTextMethod,
    table: FeatureTable,
    texts: Float[Tensor, "C K D"],
    schedule: Schedule,
    step: Step,
    optimizer: torch.optim.Optimizer,
) -> float:
    random = np.random.default_rng((schedule.seed, step.round * step.round_length + step.number))
    places = _places(schedule, step, len(table), random)
    for group in optimizer.param_groups:
        group["lr"] = schedule.learning_rate * model.rate_multiplier(step) * group.get("multiplier", 1.0)
    optimizer.zero_grad()
    features, labels = table.batch(places).to(texts.device), table.labels[places].to(texts.device)
    loss = model.loss(features, labels, texts, step=step, random=random)
    loss.backward()
    optimizer.step()
    return loss.item()


def _places(schedule: Schedule, step: Step, clips: int, random: np.random.Generator) -> Int[Tensor, " B"]:
    """Return the clips of a batch: at random, or the next ones of an epoch in random order."""
    size = min(schedule.batch_size, clips)
    if schedule.round_length:
        return torch.from_numpy(random.choice(clips, size, replace=False))
    order = np.random.default_rng((schedule.seed, step.round)).permutation(clips)
    return torch.from_numpy(order[step.number * size : (step.number + 1) * size])


def _note(progress: Progress, model: SkeletonTextMethod, accuracy: float) -> None:
    progress.accuracies.append(accuracy)
    if progress.best_round == len(progress.accuracies):
        progress.best = {name: value.clone() for name, value in model.state_dict().items()}


def _save(file: Path, model: SkeletonTextMethod, optimizer: torch.optim.Optimizer, progress: Progress) -> None:
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "progress": asdict(progress)}
    with atomic_path(file) as temporary:
        torch.save(state, temporary)


def _resume(file: Path, model: SkeletonTextMethod, optimizer: torch.optim.Optimizer) -> Progress:
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
