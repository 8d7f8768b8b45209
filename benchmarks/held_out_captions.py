"""Accuracy of the actions that a trained SKI-LVLM names in held-out clips, from video alone, with controls.

    python -m benchmarks.held_out_captions --run runs/quickstart --out runs/held_out

Trains one model for each --skeleton_dropout on the run's instructions and features (600 samples each), then captions
the run's held-out clips (seen actions, other subjects) with each model under four conditions: video alone, its frames
shuffled in time, videos swapped between clips, and untrained projectors. Writes accuracy.json. The same command resumes
the training.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from rich.progress import track
from torch import Tensor, nn

from eval.accuracy import AccuracyRow, caption_accuracy, most_frequent
from eval.items.questions import evenly, read_questions
from eval.items.records import Item
from scripts.miniature import MINIATURE
from ski_lvlm.cli import parser, run
from ski_lvlm.datasets.catalogue import DataSet, open_data_set
from ski_lvlm.llm.loading import native_bf16
from ski_lvlm.lvlm.inference import LoadedLvlm, load_for_inference
from ski_lvlm.lvlm.model import SkiLvlm
from ski_lvlm.storage.files import write_json
from ski_lvlm.videos.folder import find_video

ROOT = Path(__file__).resolve().parents[1]

Tokens = list[Float[Tensor, "N F"]]


def train(source: Path, output_dir: Path, *, dropout: float, seed: int) -> None:
    """Train as the quickstart does, with another skeleton dropout, unless the run is finished."""
    if (output_dir / "result.json").exists():
        return
    command = [sys.executable, str(ROOT / "train_ski_lvlm.py"), "--base_llm", MINIATURE["base_llm"]]
    command += ["--instructions", str(source / "instructions" / "instructions.json")]
    command += ["--features", str(source / "features"), "--output_dir", str(output_dir)]
    command += [*MINIATURE["lvlm"].split(), "--standardise", "True", "--save_steps", "25"]
    command += ["--bf16", str(native_bf16())]
    command += ["--skeleton_dropout", str(dropout), "--seed", str(seed)]
    subprocess.run(command, check=True)


def video_tokens(lvlm: LoadedLvlm, items: Sequence[Item], videos: Path) -> Tokens:
    """Encode every held-out clip."""
    files = (find_video(videos, item["video_name"]) for item in track(items, "video tokens"))
    return [lvlm.encode(lvlm.read(file)) for file in files]


def shuffled(tokens: Tokens, *, spatial: int) -> Tokens:
    """Permute each clip's temporal tokens. The last, spatial ones (means over time) stay."""
    generator = torch.Generator().manual_seed(0)
    frames = [len(clip) - spatial for clip in tokens]
    order = [torch.randperm(count, generator=generator) for count in frames]
    return [torch.cat([clip[perm], clip[len(perm) :]]) for clip, perm in zip(tokens, order, strict=True)]


def swapped(tokens: Tokens) -> Tokens:
    """Give every clip the video of another one."""
    order = torch.randperm(len(tokens), generator=torch.Generator().manual_seed(0)).tolist()
    return [tokens[order[(order.index(k) + 1) % len(order)]] for k in range(len(order))]


def captions(model: SkiLvlm, items: Sequence[Item], tokens: Tokens, *, batch_size: int = 16) -> dict[str, str | None]:
    """Caption all clips, by name."""
    answers: list[str] = []
    for start in range(0, len(items), batch_size):
        questions = [item["Q"] for item in items[start : start + batch_size]]
        answers += model.answer(tokens[start : start + batch_size], questions, max_new_tokens=24)
    return {item["video_name"]: answer for item, answer in zip(items, answers, strict=True)}


def untrained(model: SkiLvlm) -> None:
    """Give the projectors fresh weights."""
    for module in model.projectors.modules():
        if isinstance(module, nn.Linear):
            module.reset_parameters()


def conditions(folder: Path, items: Sequence[Item], videos: Path, *, data: DataSet, name: str) -> list[AccuracyRow]:
    """Return all rows of one trained model."""
    lvlm = load_for_inference(folder)
    model, tower = lvlm.model, lvlm.tower
    tokens = video_tokens(lvlm, items, videos)
    rows = [
        caption_accuracy(captions(model, items, shown_tokens), data=data, condition=f"{name}: {condition}")
        for condition, shown_tokens in (
            ("video alone", tokens),
            ("frames shuffled in time", shuffled(tokens, spatial=tower.num_tokens - tower.num_frames)),
            ("videos swapped between clips", swapped(tokens)),
        )
    ]
    untrained(model)
    rows.append(caption_accuracy(captions(model, items, tokens), data=data, condition=f"{name}: untrained projectors"))
    return rows


def show(rows: Sequence[AccuracyRow]) -> None:
    """Markdown, as it stands in docs/results.md."""
    print("| condition | clips | named | averaged over actions | same-object pairs |\n|---|---|---|---|---|")
    for row in rows:
        print(
            f"| {row['condition']} | {row['clips']} | {row['share']} % | {row['macro']} % | "
            f"{row['same_object_share']} % of {row['same_object_clips']} |"
        )


def parse(flags: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command's flags."""
    p = parser(__doc__ or "")
    p.add_argument("--run", type=Path, default=ROOT / "runs" / "quickstart", help="a finished quickstart")
    p.add_argument("--out", type=Path, default=ROOT / "runs" / "held_out", help="models and accuracy.json")
    p.add_argument("--dropout", type=float, nargs="+", default=[0.0, 0.5], help="shares of samples without skeletons")
    p.add_argument("--seed", type=int, default=42, help="seed of the training")
    p.add_argument("--limit", type=int, help="number of held-out clips, evenly spaced (default: all)")
    return p.parse_args(flags)


def main(flags: Sequence[str] | None = None) -> int:
    """Train, caption, count."""
    args = parse(flags)
    items = evenly(read_questions(args.run / "instructions" / "questions.json"), args.limit)
    data = open_data_set("ntu120")  # with the synthetic set's classes and more, as its captions are counted elsewhere
    names = [item["video_name"] for item in items]
    rows = [most_frequent(args.run / "instructions" / "instructions.json", names, data=data)]
    for dropout in args.dropout:
        folder = args.out / f"dropout-{dropout}-seed-{args.seed}"
        train(args.run, folder, dropout=dropout, seed=args.seed)
        rows += conditions(folder, items, args.run / "ntu" / "rgb", data=data, name=f"dropout {dropout}")
        write_json(args.out / "accuracy.json", rows)
    show(rows)
    return 0


if __name__ == "__main__":
    run(main)
