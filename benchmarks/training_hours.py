"""Hours of every step from skeletons to scores on GPUs, at the paper's sizes, by calculation. Nothing is measured.

    python -m benchmarks.training_hours
    python -m benchmarks.training_hours --gpus 1 --students vificlip --vit 0.3

Training, features:  hours = operations a sample x samples x epochs / (peak x utilisation x GPUs x 3600)
Answers, grades:     the same for the prompt, and for each new token the bytes of the weights / (bandwidth x 0.6 x rows)

Operations are counted (benchmarks/stage_flops.py, ski_lvlm/lvlm/flops.py), epochs and batches are the recipe's, peaks
are dense bf16 of data sheets. Utilisation is an assumption, and so is that no step waits for data.
"""

import argparse
from collections.abc import Sequence
from typing import NamedTuple

from torch import bfloat16, nn

from benchmarks.stage_flops import hyperformer, student_training, vision_tower
from ski_lvlm.cli import parser, positive, run
from ski_lvlm.dual_encoders.students import STUDENTS
from ski_lvlm.llm.config import known_config
from ski_lvlm.lvlm.costs.flags import NUM_SAMPLES, SAMPLE_TOKENS, TOKEN_WIDTHS
from ski_lvlm.lvlm.costs.step_memory import fake_llm
from ski_lvlm.lvlm.flops import step_flops
from ski_lvlm.recipe import (
    DISTILL_SCHEDULE,
    SKELETON_ALIGN_SCHEDULE,
    SKELETON_PRETRAIN_SCHEDULE,
    VIDEO_FINETUNE_SCHEDULES,
    SkiLvlmRecipe,
)
from ski_lvlm.training.gpu_peaks import GPUS

# Source: NTU RGB+D 120 by subjects has 63,026 training clips with a skeleton, of which ntu120/110-10 sees 110 of 120
# classes. Assumption: classes have equally many clips.
CLIPS, SEEN = 63_026, 110
SEEN_CLIPS = CLIPS * SEEN // 120
QUESTIONS, RUBRICS = 1_863, 5  # eval/charades.py, eval/judges/rubrics.json
BANDWIDTHS = {"RTX A6000": 0.768, "A100": 2.039, "H100": 3.35, "H200": 4.8}  # TB/s, source: NVIDIA's data sheets
USED_BANDWIDTH = 0.6  # Assumption
ANSWER, ROWS = 128, 8  # Assumption: tokens of an answer. Questions at once are the default of eval/describe.py
GRADE, GRADE_PROMPT, JUDGE_BYTES, JUDGE_WEIGHTS = (
    40,
    400,
    4.9e9,
    8.0e9,
)  # Assumption: Llama 3.1 8B in 4 bits, one by one


class Step(NamedTuple):
    """A step of the paper's way: operations a sample, samples of all epochs, the utilisation, tokens to generate."""

    name: str
    flops: float
    samples: float
    utilisation: float
    new_tokens: int = 0
    token_bytes: float = 0.0  # read for each new token of a sample

    def hours(self, tflops: float, bandwidth: float, gpus: int) -> float:
        """Return the hours on GPUs of this peak in TFLOP/s and bandwidth in TB/s."""
        computing = self.flops / (tflops * 1e12 * self.utilisation)
        reading = self.new_tokens * self.token_bytes / (bandwidth * 1e12 * USED_BANDWIDTH)
        return self.samples * (computing + reading) / gpus / 3600


def skeleton_steps(share: float) -> list[Step]:
    """Return the stages of SkeletonCLIP."""
    flops = hyperformer(64, is_training=True)
    schedules = {"skeleton_pretrain": SKELETON_PRETRAIN_SCHEDULE, "skeleton_align": SKELETON_ALIGN_SCHEDULE}
    return [Step(name, flops, SEEN_CLIPS * s["num_train_epochs"], share) for name, s in schedules.items()]


def student_steps(name: str, share: float) -> list[Step]:
    """Return the stages of a student. The teacher of `distill` learns as well."""
    flops = student_training(name, classes=SEEN)
    epochs = VIDEO_FINETUNE_SCHEDULES[name]["num_train_epochs"]
    distillation = flops + hyperformer(64, is_training=True)
    return [
        Step(f"video_finetune {name}", flops, SEEN_CLIPS * epochs, share),
        Step(f"distill {name}", distillation, SEEN_CLIPS * DISTILL_SCHEDULE["num_train_epochs"], share),
    ]


def lvlm_steps(vit: float, llm: float) -> list[Step]:
    """Return features, training, answers and grades of SKI-LVLM on a frozen Vicuna of 7B."""
    model = fake_llm(known_config(SkiLvlmRecipe().base_llm), dtype=bfloat16)
    width = model.get_input_embeddings().embedding_dim
    projectors = nn.ModuleDict({name: nn.Linear(tokens, width, device="meta") for name, tokens in TOKEN_WIDTHS.items()})
    video, skeleton, text, answer = SAMPLE_TOKENS
    length = video + skeleton + text
    step = step_flops(model, projectors)
    sample = step.total(tokens=length, pairs=length**2, logits=answer, projected={"video": video, "skeleton": skeleton})
    weights = sum(p.numel() for p in model.parameters())
    prompt = 2.0 * weights * (video + text - answer + ANSWER)
    tower = vision_tower(100)
    return [
        Step("features", tower + hyperformer(1024, is_training=False), CLIPS, vit),
        Step("train_ski_lvlm.py", sample, 3.0 * NUM_SAMPLES, llm),
        Step("describe", tower + prompt, QUESTIONS, vit, ANSWER, 2.0 * weights / ROWS),
        Step("score", 2.0 * JUDGE_WEIGHTS * GRADE_PROMPT, QUESTIONS * RUBRICS, llm, GRADE, JUDGE_BYTES),
    ]


def table(steps: Sequence[Step], gpus: int) -> str:
    """Return the hours as a table in Markdown."""
    columns = [gpu for gpu in GPUS if gpu.name in BANDWIDTHS]
    heads = ["step", "GFLOP a sample", "samples x epochs", "utilisation", *(gpu.name for gpu in columns)]
    rows = [heads, ["---"] * len(heads)]
    for step in steps:
        hours = [f"{step.hours(gpu.tflops, BANDWIDTHS[gpu.name], gpus):.2g}" for gpu in columns]
        rows.append([step.name, f"{step.flops / 1e9:,.0f}", f"{step.samples:,.0f}", f"{step.utilisation:.0%}", *hours])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def arguments(flags: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    p = parser(__doc__ or "")
    add = p.add_argument
    add("--gpus", type=positive, default=8, help="GPUs that work together")
    add("--students", nargs="*", choices=list(STUDENTS), default=list(STUDENTS), help="whose stages are listed")
    add("--skeletons", type=float, default=0.1, help="utilisation of stages of skeletons alone: many small operations")
    add("--vit", type=float, default=0.4, help="utilisation of stages that look at frames")
    add("--llm", type=float, default=0.4, help="utilisation of stages with the language model")
    return p.parse_args(flags)


def main(flags: Sequence[str] | None = None) -> int:
    """Print the table."""
    args = arguments(flags)
    for name in ("skeletons", "vit", "llm"):
        if not 0 < getattr(args, name) <= 1:
            raise ValueError(f"--{name} {getattr(args, name)}: expected a share above 0 and at most 1")
    steps = skeleton_steps(args.skeletons)
    for name in args.students:
        steps += student_steps(name, args.vit)
    steps += lvlm_steps(args.vit, args.llm)
    print(f"Hours on {args.gpus} GPUs of one kind. Calculated, not measured.\n")
    print(table(steps, args.gpus))
    return 0


if __name__ == "__main__":
    run(main)
