"""Trainings of SKI-LVLM on SmolLM2 (135 M) at the paper's token counts, with one change at a time.

    python -m benchmarks.training_changes --out OUT
    python -m benchmarks.training_changes --out OUT --ways lean packed

Every way is `train_ski_lvlm.py` in a process of its own, on the same random features and conversations: 356 video
tokens of width 1024, 256 skeleton tokens of width 216, and answers of 5 to 200 words. It prints samples a second
without the first step, peak memory, the useful share of tokens, and the loss of each step. A way that is done is
skipped.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from ski_lvlm.cli import parser, run
from ski_lvlm.storage.files import write_json

CLIPS, LONGEST = 24, 200
TOKENS = {"video": (356, 1024), "skeleton": (256, 216)}
WAYS = {
    "eager": "--lean off",
    "lean": "",
    "by length": "--lean off --train_sampling_strategy group_by_length",
    "packed": "--lean off --packing True",
    "checkpointing": "--lean off --gradient_checkpointing True",
    "all": "--packing True --train_sampling_strategy group_by_length",
    "LoRA": "--lean off --lora_rank 16",
    "LoRA, all": "--lora_rank 16 --packing True --train_sampling_strategy group_by_length",
}

SETTINGS = (
    "--base_llm smollm2 --use_cpu True --batch_size 4 --per_device_train_batch_size 4 --learning_rate 1e-3 "
    "--logging_steps 1 --save_strategy no --dataloader_num_workers 0"
)


def write_data(folder: Path) -> tuple[Path, Path]:
    """Write features and conversations, the same ones every time, and return their places."""
    rng = np.random.default_rng(0)
    conversations = []
    for number in range(CLIPS):
        clip = f"clip_{number}"
        for modality, shape in TOKENS.items():
            (folder / "features" / modality).mkdir(parents=True, exist_ok=True)
            np.save(folder / "features" / modality / f"{clip}.npy", rng.normal(size=shape).astype(np.float16))
        answer = " ".join(rng.choice(["a", "person", "lifts", "one", "arm", "and", "walks"], rng.integers(5, LONGEST)))
        question = {"from": "human", "value": "What is the person doing?\n<video>\n<skeleton>"}
        turns = [question, {"from": "gpt", "value": answer}]
        conversations.append({"id": clip, "video": clip, "skeleton": clip, "conversations": turns})
    file = folder / "instructions.json"
    write_json(file, conversations)
    return file, folder / "features"


def train(way: str, data: tuple[Path, Path], out: Path, *, steps: int) -> dict[str, Any]:
    """Train in one of the ways and return its figures."""
    folder = out / way.replace(", ", "_").replace(" ", "_")
    if not (folder / "result.json").exists():
        folders = ["--instructions", str(data[0]), "--features", str(data[1]), "--output_dir", str(folder)]
        settings = f"{SETTINGS} --max_steps {steps} {WAYS[way]}".split()
        command = [sys.executable, "train_ski_lvlm.py", *folders, *settings]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    logged = [line for line in lines if "loss" in line]
    speeds = {name: [line[name] for line in logged[1:]] for name in ("samples_per_second", "useful_share")}
    return {
        "way": way,
        **{name: round(median(values), 3) for name, values in speeds.items()},
        "peak_memory_gb": max(line["peak_memory_gb"] for line in logged),
        "losses": [round(line["loss"], 5) for line in logged],
    }


def main(flags: Sequence[str] | None = None) -> int:
    """Train in each way and print a line for it."""
    p = parser(__doc__ or "")
    p.add_argument("--out", type=Path, required=True, help="folder of the data and the runs")
    p.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS), help="changes to measure")
    p.add_argument("--steps", type=int, default=4, help="steps of four samples, at least two")
    args = p.parse_args(flags)
    data = write_data(args.out)
    for way in args.ways:
        print(json.dumps(train(way, data, args.out, steps=args.steps)), flush=True)
    return 0


if __name__ == "__main__":
    run(main)
