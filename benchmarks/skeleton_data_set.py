"""SkeletonCLIP on the splits of any data set of skeletons, beside a nearest neighbour.

    python scripts/prepare.py --kind utd-mhad --root UTD-MHAD --out utd
    python -m benchmarks.skeleton_data_set --data utd --splits A B C --out runs/utd
    python -m benchmarks.skeleton_data_set --data utd --splits A B C --encoder shift_gcn --out runs/utd_shift_gcn

For every split and seed it runs train_ski_vlm.py (skeleton_pretrain, skeleton_align), and for "all" the first stage
alone. It prints accuracies in percent: of seen classes on test clips, and of unseen classes on test clips and on all of
their clips. Intervals are bootstrap intervals over clips and over classes of the mean over seeds. A nearest neighbour
among training clips stands beside it. For unseen classes it takes the unseen class whose sentence is nearest to that of
the neighbour's class. The same command resumes.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float32

from scripts.tables.scales import SMALL
from ski_lvlm.cli import parser, positive, run
from ski_lvlm.datasets.catalogue import Part
from ski_lvlm.datasets.clip_files import open_skeletons
from ski_lvlm.datasets.selection import Selection, select
from ski_lvlm.recognition.intervals import interval_over
from ski_lvlm.skeletons.packed import PackedSkeletons
from ski_lvlm.skeletons.preprocessing import Preprocessing, preprocess
from ski_lvlm.storage.files import write_json

ROOT = Path(__file__).parents[1]
PARTS: dict[str, Part] = {"seen": "seen_test", "unseen": "unseen_test", "unseen, all clips": "unseen_all"}
PRETRAINING = {"hyperformer": SMALL.skeleton_pretrain, "shift_gcn": SMALL.shift_gcn}


class Training(NamedTuple):
    """One split and seed, and the folder of its runs."""

    split: str
    seed: int
    folder: Path


def train(training: Training, args: argparse.Namespace) -> None:
    """Run the stages of one training, each unless it is finished."""
    stages = {"skeleton_pretrain": f"--encoder {args.encoder} {PRETRAINING[args.encoder]}"}
    if training.split != "all":
        encoder = f"--skeleton_encoder {training.folder / 'skeleton_pretrain'}"
        stages["skeleton_align"] = f"{SMALL.skeleton_align} {encoder} --text_encoder {args.text_encoder}"
    for stage, flags in stages.items():
        out = training.folder / stage
        command = [sys.executable, str(ROOT / "train_ski_vlm.py"), "--stage", stage, "--data", args.data]
        command += ["--split", training.split, "--seed", str(training.seed), "--output_dir", str(out)]
        command += [*SMALL.skeletons.split(), *flags.split(), *args.flags.split()]
        out.mkdir(parents=True, exist_ok=True)
        environment = os.environ | {"OMP_NUM_THREADS": str(args.threads)}
        with (out / "log.txt").open("a") as log:
            subprocess.run(command, check=True, stdout=log, stderr=subprocess.STDOUT, env=environment)
        print(f"  {training.split}, seed {training.seed}: {stage} is finished", flush=True)


def correct_clips(training: Training, selection: Selection, packed: PackedSkeletons, part: Part) -> list[float]:
    """Return 1 for each clip of a part that a training recognises, else 0."""
    from ski_lvlm.datasets.skeleton_clips import SkeletonClips, collate
    from ski_lvlm.dual_encoders.checkpoints import SkeletonEncoderCard, load_skeleton_clip, read_card
    from ski_lvlm.recognition.class_sentences import class_prompts

    folder = training.folder / "skeleton_align"
    card = read_card(folder, SkeletonEncoderCard)
    model, preprocessing = load_skeleton_clip(folder)
    names, classes = selection.clips(packed.names, part), selection.classes(part)
    clips = SkeletonClips(
        packed,
        names,
        labels=selection.labels(names, classes),
        num_frames=card.num_frames,
        preprocessing=preprocessing,
    )
    prompts = class_prompts(classes, template=card.prompt or "{name}")
    right: list[float] = []
    loader = torch.utils.data.DataLoader(clips, batch_size=64, collate_fn=collate)
    with torch.inference_mode():
        for batch in loader:
            answers = model(batch["skeleton"], prompts).similarity.argmax(1)
            right += (answers == batch["labels"]).float().tolist()
    return right


def features(packed: PackedSkeletons, names: Sequence[str]) -> Float32[np.ndarray, "N F"]:
    """Return the clips' joints relative to the centre, in 48 frames, with 0 for absent persons."""
    preprocessing = Preprocessing(layout=packed.layout.name, cleaning=packed.cleaning)
    rows = [preprocess(packed.get(name), num_frames=48, preprocessing=preprocessing).ravel() for name in names]
    return np.nan_to_num(np.stack(rows))


def neighbours(packed: PackedSkeletons, train_clips: Sequence[str], names: Sequence[str]) -> np.ndarray:
    """Return for each clip the number of the nearest training clip."""
    reference, queries = features(packed, train_clips), features(packed, names)
    squares = (reference**2).sum(1)[None] - 2 * queries @ reference.T
    return squares.argmin(1)


def neighbour_correct(selection: Selection, packed: PackedSkeletons, part: Part, text_encoder: str) -> list[float]:
    """Return 1 for each clip of a part that the nearest training clip recognises, else 0."""
    from ski_lvlm.encoders.text_encoder import load_text_encoder

    seen_classes, classes = selection.split.seen, selection.classes(part)
    train_clips, names = selection.clips(packed.names, "seen_train"), selection.clips(packed.names, part)
    nearest = np.array(selection.labels(train_clips, seen_classes))[neighbours(packed, train_clips, names)]
    if classes != seen_classes:
        encoder = load_text_encoder(text_encoder)
        with torch.inference_mode():
            of_seen, of_unseen = (
                torch.nn.functional.normalize(encoder(tuple(c)), dim=-1) for c in (seen_classes, classes)
            )
        nearest = (of_seen @ of_unseen.T).argmax(1).numpy()[nearest]
    return (nearest == np.array(selection.labels(names, classes))).astype(float).tolist()


def entry(values: Sequence[Sequence[float]], selection: Selection, names: Sequence[str]) -> dict[str, Any]:
    """Return the mean over seeds and clips, with its intervals and the mean of each seed."""
    of_clips = np.array(values).mean(0)
    by_class: dict[str, list[float]] = {}
    for class_name, value in zip(selection.data.classes_of(names), of_clips.tolist(), strict=True):
        by_class.setdefault(str(class_name), []).append(value)
    intervals = {over: [float(end) for end in interval_over(by_class, over)] for over in ("clips", "classes")}
    return {
        "clips": len(names),
        "top1": float(of_clips.mean()),
        "seeds": [float(np.mean(v)) for v in values],
        "intervals": intervals,
    }


def measure(split: str, trainings: Sequence[Training], args: argparse.Namespace) -> dict[str, Any]:
    """Return the accuracies of a split's parts."""
    selection = select([args.data], split=split)
    packed = open_skeletons(None, selection.data)
    result = {}
    for title, part in PARTS.items():
        names = selection.clips(packed.names, part)
        values = [correct_clips(training, selection, packed, part) for training in trainings]
        beside = neighbour_correct(selection, packed, part, args.text_encoder)
        result[title] = entry(values, selection, names) | {
            "chance": 1 / len(selection.classes(part)),
            "nearest_neighbour": float(np.mean(beside)),
        }
    return result


def measure_all(trainings: Sequence[Training], args: argparse.Namespace) -> dict[str, Any]:
    """Return the accuracy among all classes, which the trainings themselves measured."""
    selection = select([args.data])
    packed = open_skeletons(None, selection.data)
    results = [json.loads((t.folder / "skeleton_pretrain" / "result.json").read_text()) for t in trainings]
    top1 = [result["seen_test"]["top1"] for result in results]
    beside = neighbour_correct(selection, packed, "seen_test", args.text_encoder)
    return {
        "all classes": {
            "clips": results[0]["seen_test"]["clips"],
            "top1": float(np.mean(top1)),
            "seeds": top1,
            "chance": 1 / len(selection.split.seen),
            "nearest_neighbour": float(np.mean(beside)),
        }
    }


def show(split: str, result: dict[str, Any]) -> None:
    """Print a split as rows of a Markdown table."""
    for title, part in result.items():
        intervals = part.get("intervals")
        ends = (
            [" to ".join(f"{100 * end:.1f}" for end in intervals[o]) for o in ("clips", "classes")] if intervals else []
        )
        seeds = ", ".join(f"{100 * value:.1f}" for value in part["seeds"])
        cells = [split, title, part["clips"], f"{100 * part['top1']:.1f}", " · ".join(ends) or "–", seeds]
        cells += [f"{100 * part['nearest_neighbour']:.1f}", f"{100 * part['chance']:.1f}"]
        print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    p = parser(__doc__ or "")
    p.add_argument("--data", required=True, help="data set folder with packed skeletons")
    p.add_argument("--splits", nargs="+", default=["all"], help="splits of the data set, and all")
    p.add_argument("--seeds", type=positive, default=3, help="trainings of each split")
    p.add_argument("--encoder", choices=tuple(PRETRAINING), default="hyperformer", help="the skeleton encoder")
    p.add_argument("--text_encoder", default="minilm", help="of the class sentences")
    p.add_argument("--out", type=Path, required=True, help="folder of the runs")
    p.add_argument("--jobs", type=positive, default=2, help="trainings at once")
    p.add_argument("--threads", type=positive, default=1, help="threads of each")
    p.add_argument("--flags", default="", help="further flags of train_ski_vlm.py, in quotes")
    return p.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Train, measure and print."""
    args = arguments(argv)
    trainings = {
        split: [Training(split, seed, args.out / split / f"seed_{seed}") for seed in range(args.seeds)]
        for split in args.splits
    }
    with ThreadPoolExecutor(args.jobs) as pool:
        list(pool.map(lambda training: train(training, args), [t for group in trainings.values() for t in group]))
    print("| split | classes | clips | top-1 | 95 % over clips · classes | seeds | nearest neighbour | chance |")
    print("|---|---|---|---|---|---|---|---|")
    results = {}
    for split, group in trainings.items():
        results[split] = measure_all(group, args) if split == "all" else measure(split, group, args)
        show(split, results[split])
    write_json(args.out / "results.json", results)
    return 0


if __name__ == "__main__":
    run(main)
