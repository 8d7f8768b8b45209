"""CPU seconds that train_ski_lvlm.py takes to check and measure its samples before the first step.

    python -m benchmarks.start --conversations 100000 --clips 63000

A synthetic instruction file and tiny features are written, as many as the sets of the paper have. The first start makes
the index, the second maps it, each in a process of its own. The model is not loaded, its tokenizer is.
"""

import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.timing import cost_of
from ski_lvlm.cli import parser, run
from ski_lvlm.datasets.instruction_file import instruction_record
from ski_lvlm.datasets.instruction_index import indexed_instructions
from ski_lvlm.llm.loading import load_llm
from ski_lvlm.lvlm.features import FeatureFolder
from ski_lvlm.lvlm.samples import InstructDataset, SampleSettings
from ski_lvlm.lvlm.token_statistics import cached_statistics
from ski_lvlm.lvlm.usable_samples import drop_unusable

SHAPES = {"video": (6, 12), "skeleton": (4, 8)}  # the size of a file costs nothing here, its header alone is read
SENTENCE = "the person stands near a table picks up a cup with the right hand drinks and puts it back while looking"


def write_set(folder: Path, *, conversations: int, clips: int) -> None:
    """Write an instruction file and features. Answers have 20 to 160 words."""
    names = [f"performance_{k:08d}" for k in range(clips)]
    for modality, shape in SHAPES.items():
        (folder / "features" / modality).mkdir(parents=True)
        for name in names:
            np.save(folder / "features" / modality / f"{name}.npy", np.ones(shape, np.float16))
    generator, words = random.Random(0), SENTENCE.split()
    records = [
        instruction_record(
            f"{k}",
            clip=names[k % clips],
            question=" ".join(generator.choices(words, k=generator.randint(6, 18))) + "?",
            answer=" ".join(generator.choices(words, k=generator.randint(20, 160))) + ".",
        )
        for k in range(conversations)
    ]
    (folder / "instructions.json").write_text(json.dumps(records))


def start(folder: Path, *, standardise: bool, skeleton_dropout: float) -> dict[str, float]:
    """Do what a process does before and after it loads the model, and return CPU seconds of each part."""
    tokenizer, folders = load_llm("smollm2").tokenizer, [folder / "index"]
    features = FeatureFolder(folder / "features")
    parts: dict[str, float] = {}

    def read() -> None:
        conversations = indexed_instructions(folder / "instructions.json", folders)
        if standardise:
            parts["statistics"] = cost_of(
                lambda: [cached_statistics(features, conversations.clips, name, folders) for name in SHAPES]
            ).cpu
        settings = SampleSettings(skeleton_dropout=skeleton_dropout)
        dataset = InstructDataset(conversations, features, tokenizer, settings)
        parts["samples"] = cost_of(lambda: drop_unusable(dataset, folders=folders)).cpu

    return {"all": cost_of(read).cpu, **parts}


def main(flags: Sequence[str] | None = None) -> int:
    """Measure a first and a second start."""
    p = parser(__doc__ or "")
    p.add_argument("--conversations", type=int, default=100_000, help="conversations in the file")
    p.add_argument("--clips", type=int, default=63_000, help="clips that they are about")
    p.add_argument("--skeleton_dropout", type=float, default=0.0, help="above 0 each sample is measured twice")
    p.add_argument("--standardise", action="store_true", help="also the statistics of the tokens")
    p.add_argument("--folder", type=Path, help="the set of an earlier call, in which a start is measured alone")
    args = p.parse_args(flags)
    settings = {"skeleton_dropout": args.skeleton_dropout, "standardise": args.standardise}
    if args.folder:
        print(json.dumps({name: round(seconds, 2) for name, seconds in start(args.folder, **settings).items()}))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        write_set(Path(folder), conversations=args.conversations, clips=args.clips)
        options = ["--folder", folder, "--skeleton_dropout", str(args.skeleton_dropout)]
        options += ["--standardise"] if args.standardise else []
        for name in ("first", "second"):
            command = [sys.executable, "-m", "benchmarks.start", *options]
            print(name, subprocess.run(command, check=True, capture_output=True, text=True).stdout, end="", flush=True)
    return 0


if __name__ == "__main__":
    run(main)
