"""Train SkeletonCLIP, one stage after the other.

    python train_ski_vlm.py --stage skeleton_pretrain --prepared DIR --split ntu60/48-12 --output_dir PRETRAINED
    python train_ski_vlm.py --stage skeleton_align --skeleton_encoder PRETRAINED --prepared DIR --split ntu60/48-12 \
        --output_dir ALIGNED

Also runs under torchrun and deepspeed, on GPUs or on a CPU. The same command resumes after a kill. Name a stage to see
its flags; their defaults are the paper's, where it is silent the published code's.

Paper: Sec. 3.1, Sec. 4 "Implementation Details".
"""

import argparse
import dataclasses
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import HfArgumentParser, set_seed

from ski_lvlm.files import write_json
from ski_lvlm.hyperformer import ActionClassifier
from ski_lvlm.ntu import Part, clips, split_named
from ski_lvlm.packed import PackedSkeletons
from ski_lvlm.recipe import (
    SKELETON_ALIGN_SCHEDULE,
    SKELETON_PRETRAIN_SCHEDULE,
    SkeletonAlignRecipe,
    SkeletonPretrainRecipe,
)
from ski_lvlm.skeleton_clip import SkeletonCLIP, save_skeleton_encoder
from ski_lvlm.skeleton_data import SkeletonClips, collate
from ski_lvlm.skeleton_stages import aligner, card_of, classifier, sentences
from ski_lvlm.skeleton_training import AlignmentLoss, ClassifierLoss, SkeletonTrainer, measure_accuracy
from ski_lvlm.training import (
    GlobalBatchArguments,
    JsonLines,
    adapted_flags,
    check_same_processes,
    is_finished,
    join_deepspeed,
    last_whole_checkpoint,
    part_from_processes,
    write_run,
)

STAGES: dict[str, tuple[type, dict[str, Any]]] = {
    "skeleton_pretrain": (SkeletonPretrainRecipe, SKELETON_PRETRAIN_SCHEDULE),
    "skeleton_align": (SkeletonAlignRecipe, SKELETON_ALIGN_SCHEDULE),
}
TESTS: dict[type, tuple[Part, ...]] = {
    ActionClassifier: ("seen_test",),
    SkeletonCLIP: ("seen_test", "unseen_test", "unseen_all"),
}


@dataclass
class VlmArguments(GlobalBatchArguments):
    """The Trainer's arguments; what differs between the stages is in `ski_lvlm/recipe.py`."""

    save_strategy: str = "epoch"


def parse(flags: Sequence[str]) -> tuple[str, Any, VlmArguments]:
    """The stage, its recipe, and the Trainer's arguments with that stage's defaults."""
    choose = argparse.ArgumentParser(add_help=False)
    wants_help = bool({"-h", "--help"} & set(flags))
    choose.add_argument("--stage", choices=STAGES, required=not wants_help, default="skeleton_pretrain")
    chosen, rest = choose.parse_known_args(flags)
    recipe_type, schedule = STAGES[chosen.stage]
    parser = HfArgumentParser((recipe_type, VlmArguments), description=__doc__)  # type: ignore[arg-type]
    parser.set_defaults(**schedule, output_dir=f"runs/{chosen.stage}")
    recipe, args = parser.parse_args_into_dataclasses(rest)
    return chosen.stage, recipe, args


def main(flags: Sequence[str]) -> None:
    """Read top to bottom: data, model, trainer, train, save, test."""
    stage, recipe, args = parse(flags)
    output_dir = Path(str(args.output_dir))
    settings = {
        "stage": stage,
        **dataclasses.asdict(recipe),
        **{name: getattr(args, name) for name in STAGES[stage][1]},
    }
    if is_finished(output_dir, settings=settings):
        print(f"{output_dir} is finished (result.json); delete it to train again")
        return
    set_seed(args.seed)
    if args.deepspeed:
        join_deepspeed()

    packed, split = PackedSkeletons.open(Path(recipe.prepared)), split_named(recipe.split)
    build: Any = classifier if stage == "skeleton_pretrain" else aligner
    model, preprocessing = build(recipe, packed)

    def dataset(part: Part) -> SkeletonClips:
        return SkeletonClips(
            packed,
            clips(packed.names, split=split, protocol=recipe.protocol, part=part),
            actions=split.seen if part.startswith("seen") else split.unseen,
            num_frames=recipe.num_frames,
            preprocessing=preprocessing,
            seed=args.seed if part == "seen_train" else None,
        )

    seen_train = dataset("seen_train")
    if not len(seen_train):
        raise ValueError(
            f"{recipe.prepared} holds {len(packed)} clips, but none of {split.name}'s seen actions that "
            f"{recipe.protocol} trains on; check --split, or prepare the folder that holds them"
        )
    if args.world_size > 1 and torch.cuda.is_available():
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    is_clip = isinstance(model, SkeletonCLIP)
    loss = AlignmentLoss(model, prompts=sentences(recipe, split.seen)) if is_clip else ClassifierLoss(model)
    trainer = SkeletonTrainer(
        model=loss,
        args=args,
        train_dataset=seen_train,
        data_collator=collate,
        callbacks=[JsonLines(output_dir / "metrics.jsonl")],
        decay_at=[] if is_clip else recipe.decay_at,
    )
    if args.should_save:
        write_run(output_dir, recipe=settings, seed=args.seed)
        print(f"{stage}: {len(seen_train)} clips of {len(split.seen)} seen actions", flush=True)
    checkpoint = args.resume_from_checkpoint or last_whole_checkpoint(output_dir)
    if checkpoint:
        check_same_processes(Path(checkpoint), args.world_size)
        print(f"resuming from {checkpoint}", flush=True)
    trained = trainer.train(resume_from_checkpoint=checkpoint)

    if args.should_save:
        model = model.float().eval()
        save_skeleton_encoder(output_dir, model, card=card_of(stage, recipe, model, preprocessing))
        result: dict[str, Any] = {"train": trained.metrics}
        for part in TESTS[type(model)]:
            data = dataset(part)
            prompts = sentences(recipe, split.seen if part == "seen_test" else split.unseen) if is_clip else None
            result[part] = measure_accuracy(model, data, prompts=prompts, device=args.device)
            print(f"{part}: {result[part]}", flush=True)
        write_json(output_dir / "result.json", result)
        print(f"skeleton encoder in {output_dir}", flush=True)
    part_from_processes()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        main(adapted_flags(sys.argv[1:]))
    except (ValueError, OSError, ImportError) as error:
        sys.exit(f"error: {error}")
