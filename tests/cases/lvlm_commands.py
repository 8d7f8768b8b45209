"""The command that trains a SKI-LVLM in miniature, and what it leaves on disk."""

import json
import shutil
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

import train_ski_lvlm
from ski_lvlm.parallel.launch import adapted_flags
from tests.cases.command_case import ROOT, has_compiler, run_ranks

needs_compiler = pytest.mark.skipif(
    not has_compiler(), reason="DeepSpeed compiles its shared-memory communication for 2 processes on a CPU"
)


def flags(case, output_dir, **settings):
    """Return flags of a training of six steps or more. The words of a list follow one flag."""
    defaults = {
        "output_dir": output_dir,
        "batch_size": 4,
        "per_device_train_batch_size": 2,
        "num_train_epochs": 6,
        "learning_rate": 0.01,
        "save_steps": 1,
        "logging_steps": 1,
        "dataloader_num_workers": 0,
        "video_projector": "none",
    }
    values = case | defaults | settings
    lists = {name: value if isinstance(value, list) else [value] for name, value in values.items()}
    return [word for name, words in lists.items() for word in (f"--{name}", *map(str, words))]


def training(case, output_dir, *, launcher=(sys.executable,), **settings):
    """Return the command of a training."""
    return [*launcher, str(ROOT / "train_ski_lvlm.py"), *flags(case, output_dir, **settings)]


def train_here(case, output_dir, **settings):
    """Train in this process."""
    train_ski_lvlm.main(adapted_flags(flags(case, output_dir, **settings)))


def train_in_ranks(case, output_dir, *, processes=2, **settings):
    """Train in several processes and return what they printed."""
    return run_ranks(training(case, output_dir, **settings), processes)


def projectors(output_dir):
    """Return the weights of a run."""
    return load_file(Path(output_dir) / "model.safetensors")


def same(a, b):
    """Return whether two runs have equal weights."""
    return a.keys() == b.keys() and all((a[name] == b[name]).all() for name in a)


def losses(output_dir):
    """Return the loss of each step."""
    lines = [json.loads(line) for line in (Path(output_dir) / "metrics.jsonl").read_text().splitlines()]
    return {line["step"]: line["loss"] for line in lines if "loss" in line}


def halted(run, step, out):
    """Copy a run's folder as it was when the run had reached a step."""
    shutil.copytree(run / f"checkpoint-{step}", out / f"checkpoint-{step}")
    shutil.copy(run / "recipe.json", out)
    return out
