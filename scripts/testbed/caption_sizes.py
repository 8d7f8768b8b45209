"""Sizes and recipes of the captions part. docs/evidence.md says by which models they were chosen."""

from dataclasses import dataclass, replace

from scripts.tables.scales import SYNTHETIC, Scale, with_value
from scripts.testbed.domains import BROAD, NARROW, NUM_FRAMES, THIRD

SMALL_LLM = "small"  # trained on texts of the three domains
VIDEO_TOKENS = "--vision_tower efficientnet-lite0 --num_frames 8 --side 96"
SKELETON_TOKENS = "--skeleton_tokens 8"
# 24 classes with some 400 clips take longer than the miniature's 12 with 640.
SKELETONS = replace(
    SYNTHETIC,
    skeletons=with_value(SYNTHETIC.skeletons, "--num_frames", NUM_FRAMES),
    skeleton_pretrain=with_value(SYNTHETIC.skeleton_pretrain, "--num_train_epochs", 12),
)


@dataclass(frozen=True)
class CaptionSizes:
    """Clips of the domains, texts of the language model, steps of the trainings, and their number.

    Attributes:
        clips: of each domain.
        described: clips of each domain that are described.
        performances: of each domain that the language model reads about.
        pairs: question-answer pairs that it reads.
        start_steps: optimiser steps of T_v on the broad domain.
        steps: of each way on the narrow domain.
        seeds: trainings of the main ways.
        other_seeds: trainings of the other ways.
        base_llm: the small language model, or one for `train_ski_lvlm.py --base_llm`.
        lvlm: flags of all trainings.
        describe: flags of all descriptions.
        choose: flags of all multiple-choice questions.
    """

    clips: dict[str, int]
    described: int
    performances: int
    pairs: int
    start_steps: int
    steps: int
    seeds: int
    other_seeds: int
    base_llm: str = SMALL_LLM
    skeletons: Scale = SKELETONS
    lvlm: str = "--batch_size 8 --per_device_train_batch_size 8 --learning_rate 3e-4 --bf16 False"
    describe: str = "--max_new_tokens 80 --batch_size 48"
    choose: str = "--max_new_tokens 1 --batch_size 48 --limit 400"


FULL = CaptionSizes(
    clips={BROAD: 1200, NARROW: 600, THIRD: 96},
    described=96,
    performances=1000,
    pairs=30_000,
    start_steps=600,
    steps=300,
    seeds=4,
    other_seeds=3,
)
QUICK = replace(
    FULL,
    clips={BROAD: 600, NARROW: 300, THIRD: 48},
    described=48,
    performances=500,
    pairs=15_000,
    start_steps=300,
    steps=150,
    seeds=1,
    other_seeds=1,
)


def with_llm(sizes: CaptionSizes, base_llm: str) -> CaptionSizes:
    """Return the sizes for a larger language model, whose steps take seconds on a processor."""
    from ski_lvlm.llm.loading import native_bf16

    return replace(
        sizes,
        base_llm=base_llm,
        start_steps=200,
        steps=100,
        seeds=min(sizes.seeds, 3),
        lvlm=f"--batch_size 8 --per_device_train_batch_size 4 --learning_rate 3e-3 --bf16 {native_bf16()}",
        describe="--max_new_tokens 80 --batch_size 16 --limit 160",
        choose="--max_new_tokens 1 --batch_size 16 --limit 120",
    )
