"""Train SKI-VLM, one stage after the other.

    python train_ski_vlm.py --stage skeleton_pretrain --prepared DIR --split ntu60/48-12 --output_dir PRETRAINED
    python train_ski_vlm.py --stage skeleton_align --skeleton_encoder PRETRAINED --prepared DIR --split ntu60/48-12 \
        --output_dir ALIGNED
    python train_ski_vlm.py --stage skeleton_text --skeleton_encoder PRETRAINED --prepared DIR --split ntu60/48-12 \
        --output_dir SYNSE
    python train_ski_vlm.py --stage video_finetune --student vificlip --ntu DIR --split ntu60/48-12 --output_dir STUDENT
    python train_ski_vlm.py --stage distill --video_student STUDENT --skeleton_clip ALIGNED --ntu DIR --prepared DIR \
        --split ntu60/48-12 --output_dir SKI_STUDENT

`--gpus 8` trains on all GPUs of a machine, `torchrun --nnodes` or `deepspeed --hostfile` on several machines. These
must mount --output_dir and the data at the same place (see train_ski_lvlm.py --help). Without a GPU the CPU trains. The
same command resumes after a crash, also with another number of GPUs: --batch_size stays the batch of all together.

Name a stage to see its flags. Their defaults are the paper's, and the published code's where the paper is silent.
`--num_train_epochs 0` writes the untrained model of a stage. A student is tested by eval/zero_shot.py.

Paper: Sec. 3.1, Sec. 3.2, Sec. 4 "Implementation Details".
"""

import argparse
import dataclasses
import logging
import os
import sys
from collections.abc import Callable, Sequence, Sized
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from torch import nn
from transformers import HfArgumentParser, set_seed

from ski_lvlm.cli import device
from ski_lvlm.parallel.launch import (
    adapted_flags,
    check_shared_folder,
    join_deepspeed,
    leave_process_group,
    start_processes,
)
from ski_lvlm.recipe import (
    DISTILL_SCHEDULE,
    SKELETON_ALIGN_SCHEDULE,
    SKELETON_PRETRAIN_SCHEDULE,
    SKELETON_PRETRAIN_SCHEDULES,
    SKELETON_TEXT_SCHEDULES,
    VIDEO_FINETUNE_SCHEDULE,
    VIDEO_FINETUNE_SCHEDULES,
    DistillRecipe,
    SkeletonAlignRecipe,
    SkeletonPretrainRecipe,
    SkeletonTextRecipe,
    VideoFinetuneRecipe,
)
from ski_lvlm.sharing.hub import with_local_models
from ski_lvlm.sharing.model_card import add_missing_card, write_model_card
from ski_lvlm.storage.files import write_json
from ski_lvlm.training.trainer import (
    GlobalBatchArguments,
    JsonLines,
    check_origin,
    is_finished,
    write_run,
)
from ski_lvlm.vlm.distill import distill
from ski_lvlm.vlm.skeleton_align import skeleton_align
from ski_lvlm.vlm.skeleton_pretrain import skeleton_pretrain
from ski_lvlm.vlm.skeleton_text import skeleton_text
from ski_lvlm.vlm.trainer import Stage, VlmTrainer
from ski_lvlm.vlm.video_finetune import video_finetune


class _StageKind(NamedTuple):
    recipe: type
    schedule: dict[str, Any]
    build: Callable[..., Stage]


STAGES = {
    "skeleton_pretrain": _StageKind(SkeletonPretrainRecipe, SKELETON_PRETRAIN_SCHEDULE, skeleton_pretrain),
    "skeleton_align": _StageKind(SkeletonAlignRecipe, SKELETON_ALIGN_SCHEDULE, skeleton_align),
    "video_finetune": _StageKind(VideoFinetuneRecipe, VIDEO_FINETUNE_SCHEDULE, video_finetune),
    "distill": _StageKind(DistillRecipe, DISTILL_SCHEDULE, distill),
}


# Stages whose schedule depends on a flag, and the first choice of that flag is its default.
_SCHEDULES: dict[str, tuple[str, dict[str, dict[str, Any]]]] = {
    "skeleton_pretrain": ("--encoder", SKELETON_PRETRAIN_SCHEDULES),
    "video_finetune": ("--student", VIDEO_FINETUNE_SCHEDULES),
}

SKELETON_TEXT = "skeleton_text"  # has no Trainer


@dataclass
class SkeletonTextArguments:
    """Settings of a --stage skeleton_text run, which needs no Trainer and one process."""

    output_dir: str = field(default=f"runs/{SKELETON_TEXT}", metadata={"help": "folder of the run"})
    seed: int = field(default=5, metadata={"help": "of weights, batches and noise (published)"})
    use_cpu: bool = field(default=False, metadata={"help": "extract features and train on the CPU, even with a GPU"})


@dataclass
class VlmArguments(GlobalBatchArguments):
    """The Trainer's arguments. Defaults that differ between the stages are in `ski_lvlm/recipe.py`."""

    save_strategy: str = "epoch"

    def __post_init__(self) -> None:
        """Refuse what the stages cannot do, before anything is loaded."""
        super().__post_init__()
        if self.activation_checkpointing or self.label_smoothing_factor:
            raise ValueError(
                "--activation_checkpointing and --label_smoothing_factor are not built for these stages; for memory, "
                "lower --per_device_train_batch_size: the global --batch_size stays as it is"
            )
        if self.use_liger_kernel:
            raise ValueError("--use_liger_kernel is for the language model of train_ski_lvlm.py; leave it out")
        deepspeed = getattr(self, "hf_deepspeed_config", None)
        if deepspeed and deepspeed.is_zero3():
            raise ValueError(
                f"{self.deepspeed} shares the weights out (ZeRO-3), which these stages cannot; use zero2.json: "
                "models of their size fit on one GPU"
            )


def parse(flags: Sequence[str]) -> tuple[str, Any, Any]:
    """Return the stage, its recipe, and the Trainer's or the stage's own arguments with that stage's defaults."""
    choose = argparse.ArgumentParser(add_help=False)
    wants_help = bool({"-h", "--help"} & set(flags))
    choose.add_argument(
        "--stage", choices=[*STAGES, SKELETON_TEXT], required=not wants_help, default="skeleton_pretrain"
    )
    choice, stage_flags = choose.parse_known_args(flags)
    if choice.stage == SKELETON_TEXT:
        arguments = HfArgumentParser((SkeletonTextRecipe, SkeletonTextArguments), description=__doc__)  # type: ignore[arg-type]
        schedule = SKELETON_TEXT_SCHEDULES[_choice(stage_flags, "--method", SKELETON_TEXT_SCHEDULES)]
        arguments.set_defaults(**schedule)
        return choice.stage, *arguments.parse_args_into_dataclasses(stage_flags)
    recipe_type, schedule, _ = STAGES[choice.stage]
    if choice.stage in _SCHEDULES:
        flag, schedules = _SCHEDULES[choice.stage]
        schedule = schedules[_choice(stage_flags, flag, schedules)]
    parser = HfArgumentParser((recipe_type, VlmArguments), description=__doc__)  # type: ignore[arg-type]
    parser.set_defaults(**schedule, output_dir=f"runs/{choice.stage}")
    recipe, args = parser.parse_args_into_dataclasses(stage_flags)
    return choice.stage, recipe, args


def _choice(flags: Sequence[str], flag: str, choices: dict[str, Any]) -> str:
    choose = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    choose.add_argument(flag, choices=choices, default=next(iter(choices)), dest="name")
    name: str = choose.parse_known_args(flags)[0].name
    return name


def main(flags: Sequence[str]) -> None:
    """Build data and model, train, save, test."""
    name, recipe, args = parse(flags)
    output_dir = Path(str(args.output_dir))
    check_shared_folder(output_dir)
    if name == SKELETON_TEXT:
        train_skeleton_text(recipe, args)
        return
    settings = {
        "stage": name,
        **dataclasses.asdict(recipe),
        **{setting: getattr(args, setting) for setting in STAGES[name].schedule},
    }
    if is_finished(output_dir, settings=settings):
        print(f"{output_dir} is finished (result.json); delete it to train again")
        add_missing_card(output_dir)
        return
    set_seed(args.seed)
    if args.deepspeed:
        join_deepspeed()

    stage = STAGES[name].build(with_local_models(recipe), seed=args.seed)
    check_origin(output_dir, stage.origin)
    if args.world_size > 1 and torch.cuda.is_available():
        nn.SyncBatchNorm.convert_sync_batchnorm(stage.loss)
    trainer = VlmTrainer(stage, args=args, callbacks=[JsonLines(output_dir / "metrics.jsonl")])
    if args.should_save:
        write_run(output_dir, recipe={**settings, **stage.origin}, seed=args.seed)
        print(f"{name}: {stage.about}", flush=True)
    result: dict[str, Any] = {"train": {}}
    if args.num_train_epochs:
        result["train"] = trainer.train_or_resume().metrics

    if args.should_save:
        stage.save(output_dir)
        result |= {"clips": len(cast(Sized, stage.train)), **stage.test(args.device)}
        for part, value in result.items():
            print(f"{part}: {value}", flush=True)
        write_json(output_dir / "result.json", result)
        write_model_card(output_dir)
        print(f"{name} in {output_dir}", flush=True)
    leave_process_group()


def train_skeleton_text(recipe: SkeletonTextRecipe, args: SkeletonTextArguments) -> None:
    """Train a skeleton-text system, save, test."""
    if (processes := int(os.environ.get("WORLD_SIZE", "1"))) > 1:
        raise ValueError(f"found {processes} processes, expected one for --stage {SKELETON_TEXT}; leave out --gpus")
    output_dir = Path(args.output_dir)
    settings = {"stage": SKELETON_TEXT, **dataclasses.asdict(recipe), "seed": args.seed}
    if is_finished(output_dir, settings=settings):
        print(f"{output_dir} is finished (result.json); delete it to train again")
        add_missing_card(output_dir)
        return
    write_run(output_dir, recipe=settings, seed=args.seed)
    result = skeleton_text(
        with_local_models(recipe), output_dir=output_dir, seed=args.seed, device=device("cpu" if args.use_cpu else None)
    )
    for part, value in result.items():
        print(f"{part}: {value}", flush=True)
    write_json(output_dir / "result.json", result)
    write_model_card(output_dir)
    print(f"{SKELETON_TEXT} in {output_dir}", flush=True)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        flags = adapted_flags(sys.argv[1:])
        start_processes(__file__, flags)
        main(flags)
    except (ValueError, OSError, ImportError) as error:
        sys.exit(f"error: {error}")
