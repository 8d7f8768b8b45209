"""Checkpoints that a full disk, a broken copy or a failing disk left damaged."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ski_lvlm.storage.weight_files import damage_of

_EXPECTED = ("trainer_state.json", "model.safetensors", "optimizer.pt", "scheduler.pt")


def damage(checkpoint: Path) -> str | None:
    """Return what is wrong with a checkpoint, or None. Every file is read to its end."""
    missing = (f"{name} is missing" for name in _EXPECTED if not (checkpoint / name).is_file())
    return next(missing, None) or next(_damaged_files(checkpoint), None)


def _damaged_files(checkpoint: Path) -> Iterator[str]:
    for file in sorted(file for file in checkpoint.rglob("*") if file.is_file()):
        if reason := damage_of(file, checksums=True) or (file.name == _EXPECTED[0] and _state_damage(file)):
            yield f"{file.relative_to(checkpoint)} is damaged ({reason})"


def _state_damage(file: Path) -> str | None:
    state = json.loads(file.read_bytes())
    if isinstance(state, dict) and isinstance(state.get("global_step"), int):
        return None
    return "no object with a global_step"


def newest_whole(checkpoints: Sequence[Path], say: Callable[[str], object]) -> Path | None:
    """Return the last of `checkpoints` that is whole.

    Args:
        checkpoints: folders, the newest last.
        say: gets a line for each damaged checkpoint behind it.

    Raises:
        ValueError: all are damaged.
    """
    reasons: list[str] = []
    for checkpoint in reversed(checkpoints):
        reason = damage(checkpoint)
        if reason is None:
            for line in reasons:
                say(f"{line}; going back to {checkpoint.name}\n")
            return checkpoint
        reasons.append(f"{checkpoint}: {reason}")
    if reasons:
        raise ValueError(
            f"no whole checkpoint is left: {'; '.join(reasons)}; copy one again, or delete them to start anew"
        )
    return None
