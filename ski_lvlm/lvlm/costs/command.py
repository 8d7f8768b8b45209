"""The way from the flags of `train_ski_lvlm.py` to an estimate of what they would cost."""

import argparse
import dataclasses
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from transformers.hf_argparser import string_to_bool

from ski_lvlm.cli import underscored
from ski_lvlm.datasets.instruction_file import read_instructions
from ski_lvlm.llm.config import known_config
from ski_lvlm.lvlm.adapter import check_adapter
from ski_lvlm.lvlm.costs.estimate import Plan, estimate, report
from ski_lvlm.lvlm.costs.flags import MODALITIES, NUM_SAMPLES, TOKEN_WIDTHS, sample_tokens
from ski_lvlm.lvlm.costs.table import print_estimate
from ski_lvlm.lvlm.distillation import check_distillation
from ski_lvlm.lvlm.features import FeatureFolder
from ski_lvlm.lvlm.projectors.settings import chosen_settings
from ski_lvlm.parallel.launch import asked_processes
from ski_lvlm.recipe import AdapterRecipe, SkiLvlmRecipe
from ski_lvlm.storage.files import write_json


def asks_estimate(flags: Sequence[str]) -> bool:
    """Return whether a command line asks for an estimate instead of a training."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--estimate", nargs="?", const=True, default=False, type=string_to_bool)
    return bool(parser.parse_known_args([underscored(flag) for flag in flags])[0].estimate)


def run_estimate(parser: argparse.ArgumentParser, flags: Sequence[str]) -> None:
    """Print the estimate of a command line in the first process. `parser` has the flags of the training.

    Raises:
        ValueError: flags that contradict each other, or a language model without a configuration here.
    """
    if os.environ.get("RANK", "0") != "0":
        return
    parser.set_defaults(bf16=True)  # this machine need not be the one that trains
    options = parser.parse_args([underscored(flag) for flag in flags if not flag.startswith("--local_rank=")])
    recipe = SkiLvlmRecipe(**_values(options, SkiLvlmRecipe))
    tuning = AdapterRecipe(**_values(options, AdapterRecipe))
    check_adapter(tuning, is_partitioned=_stage(options.deepspeed) == 3)
    check_distillation(recipe, tuning, is_partitioned=_stage(options.deepspeed) == 3)
    if options.base_vlm:
        raise ValueError("--estimate beside --base_vlm: not built, since vision paths differ; leave --estimate out")
    costs = estimate(known_config(recipe.base_llm), _plan(recipe, tuning, options))
    print_estimate(costs, stage=_stage(options.deepspeed), console=Console(width=100, file=sys.stdout))
    if options.estimate_json:
        file = Path(options.output_dir) / "estimate.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, report(costs))


def _values(options: argparse.Namespace, kind: type) -> dict[str, Any]:
    """Return the options that are fields of a recipe."""
    names = {field.name for field in dataclasses.fields(kind)}
    return {name: value for name, value in vars(options).items() if name in names}


def _plan(recipe: SkiLvlmRecipe, tuning: AdapterRecipe, options: argparse.Namespace) -> Plan:
    modalities = recipe.modalities.split(",")
    if unknown := set(modalities) - set(MODALITIES):
        raise ValueError(f"--modalities: {sorted(unknown)} unknown; expected video, skeleton or both")
    widths = dict(TOKEN_WIDTHS)
    if recipe.features:
        widths = {name: FeatureFolder(Path(recipe.features)).width(name) for name in modalities}
    gpus = _gpus(options.gpus)
    return Plan(
        sample=sample_tokens(options.sample_tokens, modalities),
        token_widths=widths,
        projectors=chosen_settings(recipe, modalities),
        tuning=tuning,
        frozen=tuple(filter(None, recipe.freeze.split(","))),
        is_distilled=recipe.video_only_distillation > 0,
        rows=min(options.per_device_train_batch_size, max(1, options.batch_size // gpus)),
        gpus=gpus,
        num_samples=options.num_samples or _num_samples(recipe),
        epochs=float(options.num_train_epochs),
        is_bf16=options.bf16,
        is_checkpointing=bool(options.activation_checkpointing or options.gradient_checkpointing),
        attn_implementation="eager" if options.attn_implementation == "eager" else None,  # others need the same memory
        is_lean=options.lean != "off",
        optimiser=str(getattr(options.optim, "value", options.optim)),
    )


def _gpus(flag: str) -> int:
    if flag:
        return asked_processes(flag, available=torch.cuda.device_count() if flag == "all" else 0)
    return int(os.environ.get("WORLD_SIZE", "1"))


def _num_samples(recipe: SkiLvlmRecipe) -> int:
    return len(read_instructions(Path(recipe.instructions))) if recipe.instructions else NUM_SAMPLES


def _stage(deepspeed: str | None) -> int:
    """Return the stage of ZeRO of a DeepSpeed configuration, 0 without one."""
    if not deepspeed:
        return 0
    stage = json.loads(Path(deepspeed).read_text(encoding="utf-8")).get("zero_optimization", {}).get("stage")
    if stage not in (1, 2, 3):
        raise ValueError(f"{deepspeed}: expected a zero_optimization of stage 1, 2 or 3; name zero2.json")
    return 3 if stage == 3 else 2
