"""Extensions of the Hugging Face Trainer: a global batch, JSON-lines metrics, the record of a run."""

import importlib.metadata
import math
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ski_lvlm.parallel.launch import check_processes, stand_alone
from ski_lvlm.storage.files import append_jsonl, write_json
from ski_lvlm.storage.json_files import read_json

_MAY_CHANGE = (  # between two starts: folders move, and machines differ in what fits
    *("prepared", "ntu", "frames_cache", "instructions", "features", "videos"),
    *("skeleton_encoder", "skeleton_clip", "video_student", "init_from", "per_device_train_batch_size"),
)


@dataclass
class GlobalBatchArguments(TrainingArguments):
    """The Trainer's arguments, with the batch named as papers do: over all processes and accumulation steps."""

    batch_size: int = field(default=32, metadata={"help": "global batch, over all processes and accumulation steps"})
    per_device_train_batch_size: int = field(
        default=8, metadata={"help": "samples at a time in one process, at most its share of --batch_size"}
    )
    gpus: str = field(
        default="",
        metadata={
            "help": "train on this number of this machine's GPUs, or 'all', in as many processes; without a GPU they "
            "run on the CPU. Several machines: torchrun --nnodes or deepspeed --hostfile, and no --gpus"
        },
    )
    peak_tflops: float | None = field(
        default=None,
        metadata={
            "help": "peak of one GPU in TFLOP/s at the precision of the run, dense, for mfu in metrics.jsonl. Default: "
            "by the GPU's name, as far as ski_lvlm/training/gpu_peaks.py has it"
        },
    )
    bf16: bool = field(default_factory=lambda: torch.cuda.is_available())
    logging_steps: float = 10
    save_total_limit: int | None = 2
    report_to: None | str | list[str] = "none"  # noqa: RUF036 (HfArgumentParser knows this order only)
    remove_unused_columns: bool = False
    dataloader_num_workers: int = 2
    ddp_find_unused_parameters: bool | None = False
    label_names: list[str] | None = field(default_factory=lambda: ["labels"])

    def __post_init__(self) -> None:
        """Derive the accumulation steps before DeepSpeed's configuration is filled in from them."""
        check_processes(self.gpus, use_cpu=self.use_cpu)
        if self.deepspeed:
            stand_alone()
        processes = int(os.environ.get("WORLD_SIZE", "1"))
        self.per_device_train_batch_size = min(self.per_device_train_batch_size, max(1, self.batch_size // processes))
        steps = accumulation_steps(
            batch_size=self.batch_size, per_device=self.per_device_train_batch_size, processes=processes
        )
        if self.gradient_accumulation_steps not in (1, steps):
            raise ValueError(
                f"--gradient_accumulation_steps {self.gradient_accumulation_steps}: expected {steps}, which follows "
                "from --batch_size and the number of processes; leave the flag out"
            )
        self.gradient_accumulation_steps = steps
        super().__post_init__()
        self._check_batch(processes)
        self._check_engine()
        if self.enable_jit_checkpoint:
            raise ValueError(
                "--enable_jit_checkpoint ends a training early as if it were finished, and processes that hear the "
                "signal at different steps wait for each other; leave it out and set --save_steps to a few minutes"
            )
        if self.peak_tflops is not None and not 0 < self.peak_tflops < math.inf:
            raise ValueError(
                f"--peak_tflops {self.peak_tflops}: expected a number above 0, the dense peak of one GPU as in its "
                "data sheet (H200 in bf16: 989), or leave the flag out"
            )

    @property
    def n_gpu(self) -> int:
        """GPUs of this process, at most 1: DataParallel would multiply the batch, and replicas have no parameters."""
        return min(1, super().n_gpu)

    def _check_engine(self) -> None:
        """Refuse a DeepSpeed configuration without ZeRO, whose optimiser checkpoints do not know."""
        engine = getattr(self, "hf_deepspeed_config", None)
        if engine and engine.get_value("zero_optimization.stage") not in (1, 2, 3):
            raise ValueError(
                f"{self.deepspeed}: expected a zero_optimization of stage 1, 2 or 3; name zero2.json, or leave "
                "--deepspeed out, which trains the same as stage 0"
            )

    def _check_batch(self, processes: int) -> None:
        """Refuse what would train with another batch than the one named."""
        if self.world_size != processes:
            raise ValueError(
                f"WORLD_SIZE is {processes}, but {self.world_size} processes train together; start them with --gpus, "
                "torchrun or deepspeed, or take WORLD_SIZE out of the environment"
            )
        if self.auto_find_batch_size or getattr(self.accelerator_config, "split_batches", False):
            raise ValueError(
                "--auto_find_batch_size and split_batches would train with another batch than --batch_size; for "
                "memory, lower --per_device_train_batch_size: the global batch stays as it is"
            )


class JsonLines(TrainerCallback):
    """The Trainer's log in `metrics.jsonl`."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,  # noqa: ANN401
    ) -> None:
        """Write one line, in the first process."""
        if state.is_world_process_zero and logs is not None:
            append_jsonl(self.file, {"step": state.global_step, **logs})


def accumulation_steps(*, batch_size: int, per_device: int, processes: int) -> int:
    """Return the micro-batches per optimiser step that make the global batch with this number of processes.

    >>> accumulation_steps(batch_size=32, per_device=4, processes=8)
    1

    Raises:
        ValueError: `batch_size` is no multiple of what one micro-step processes.
    """
    steps, remainder = divmod(batch_size, per_device * processes)
    if remainder or not steps:
        share, uneven = divmod(batch_size, processes)
        fits = next((size for size in range(per_device, 0, -1) if not uneven and share and share % size == 0), None)
        remedy = f"--per_device_train_batch_size {fits}" if fits else "another number of processes"
        raise ValueError(
            f"a global batch of {batch_size} cannot be made of {processes} processes × {per_device} samples; give "
            f"{remedy}, or a --batch_size that is a multiple of their product"
        )
    return steps


def is_finished(output_dir: Path, *, settings: dict[str, Any], defaults: Mapping[str, Any] | None = None) -> bool:
    """Find out whether `output_dir` holds the result of this very run, and refuse the folder of another.

    Folders may have moved and the batch per device may be another. All other settings must be the same. `defaults` are
    the values of settings that earlier runs do not name.

    Raises:
        ValueError: the folder was begun with other settings.
    """
    file = output_dir / "recipe.json"
    if not file.is_file():
        return False
    recipe = {**(defaults or {}), **read_json(file)}
    names = [name for name in settings if name not in _MAY_CHANGE and settings[name] != recipe.get(name)]
    _refuse(output_dir, recipe, {name: settings[name] for name in names})
    return (output_dir / "result.json").is_file()


def check_origin(output_dir: Path, origin: Mapping[str, Any]) -> None:
    """Refuse to resume a run from other files than it began with. Earlier runs do not name theirs.

    Raises:
        ValueError: the folder was begun with others.
    """
    file = output_dir / "recipe.json"
    recipe = read_json(file) if file.is_file() else {}
    _refuse(output_dir, recipe, {name: value for name, value in origin.items() if recipe.get(name, value) != value})


def _refuse(output_dir: Path, recipe: Mapping[str, Any], changes: Mapping[str, Any]) -> None:
    if changes:
        names = ", ".join(f"{name} {recipe.get(name)!r}, now {value!r}" for name, value in changes.items())
        raise ValueError(
            f"{output_dir} was begun with other settings ({names}); resume with those, or choose another --output_dir"
        )


def write_run(output_dir: Path, *, recipe: dict[str, Any], seed: int) -> None:
    """Write what distinguishes this run from another: recipe, seed, versions, machine."""
    packages = ("torch", "transformers", "accelerate", "deepspeed", "safetensors", "numpy")
    write_json(output_dir / "recipe.json", recipe)
    write_json(output_dir / "run.json", {"seed": seed, **environment(packages)})


def environment(packages: Sequence[str]) -> dict[str, Any]:
    """Return the environment of a run: Python, the device, and the versions of these packages."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU ({platform.machine()})"
    versions = {name: importlib.metadata.version(name) for name in packages}
    return {"python": platform.python_version(), "device": device, "versions": versions}
