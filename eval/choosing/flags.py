"""Flags of `eval/choose.py`, and their checks before a model is loaded."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from eval.choosing.results import ACCURACY, CHOICES, TEXT_ONLY
from eval.describe_flags import add_model_flags, add_video_flags, check_videos, settle_baseline
from eval.describing.model_flags import add_other_model_flags, take_frames
from ski_lvlm.cli import expect_at_least, parser
from ski_lvlm.parallel.gpu_shards import add_shard_flags

MAX_NEW_TOKENS = 64  # a letter, or an option's text within a sentence


def arguments(argv: Sequence[str] | None, *, description: str) -> argparse.Namespace:
    """Read the command line."""
    p = parser(description)
    alternatives = ", hf:ID (a video or image-text-to-text model of transformers), or openai:MODEL behind --base_url"
    add_model_flags(p, is_required=False, alternatives=alternatives)
    add_other_model_flags(p)
    add_video_flags(p)
    p.add_argument("--questions", type=Path, help="multiple-choice file: LLAVIDAL's, or JSON or CSV of your own")
    p.add_argument("--out", type=Path, help="folder for the results (default: choices)")
    p.add_argument(
        "--compare", type=Path, nargs=2, metavar=("A", "B"), help="two folders of results, nothing else runs"
    )
    _add_orders(p)
    p.add_argument("--prompt", type=Path, metavar="FILE", help="words of the question, with {question} and {options}, "
                   "or {question} alone, which shows no options")  # fmt: skip
    p.add_argument("--text_only", action="store_true", help="ask without the video: the floor, in OUT/text_only")
    p.add_argument("--limit", type=int, help="ask this many questions, evenly spaced over the file (default: all)")
    add_shard_flags(p)
    p.add_argument("--batch_size", type=int, default=8, help="answers written at once")
    p.add_argument("--workers", type=int, default=2, help="processes that decode videos ahead (0: decode in this one)")
    p.add_argument("--max_new_tokens", type=int, default=MAX_NEW_TOKENS, help="maximum tokens of a written answer")
    p.add_argument("--strict", action="store_true", help="exit code 1 if any question has no answer, not only if all")
    p.set_defaults(temperature=0.0, top_p=1.0, engine="hf")  # a choice is greedy
    args = p.parse_args(argv)
    frames = take_frames(p, args)
    settle_baseline(p, args)
    args.num_frames = args.num_frames if frames is None else frames
    minimums = {"num_frames": 1, "limit": 1, "batch_size": 1, "workers": 0, "orders": 1, "max_new_tokens": 1}
    expect_at_least(p, args, **minimums, frame_side=0)
    _settle(p, args)
    return args


def _add_orders(p: argparse.ArgumentParser) -> None:
    p.add_argument("--orders", type=int, default=1, help="ask each question in this many orders of its options")
    p.add_argument("--file_order", action="store_true", help="leave the options in the order of the file")
    p.add_argument("--seed", type=int, default=0, help="seed that shuffles the options of each question")


def _settle(p: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    if args.compare:
        return
    if not (args.model or args.baseline):
        p.error("give --model DIR, the --output_dir of train_ski_lvlm.py, --baseline, or --compare A B")
    if not args.questions:
        p.error("give --questions FILE, a multiple-choice file")
    if args.file_order and args.orders > 1:
        p.error(f"--file_order --orders {args.orders}: expected one order of the file; leave one of the flags out")
    if args.text_only and args.features:
        p.error("--text_only --features: without a video there are no tokens to keep; leave --features out")
    args.out = args.out or Path("choices")


def check(args: argparse.Namespace) -> None:
    """Refuse flags that would fail late."""
    if args.out.is_file():
        raise ValueError(f"--out {args.out} is a file, expected a folder for the results; choose another --out")
    if args.questions.resolve() in ((folder_of(args) / name).resolve() for name in (CHOICES, ACCURACY)):
        raise ValueError(f"--out {args.out} would overwrite the questions in {args.questions}; choose another --out")
    if not args.text_only:
        check_videos(args)


def folder_of(args: argparse.Namespace) -> Path:
    """Return the folder of this run's results."""
    return Path(args.out, TEXT_ONLY) if args.text_only else Path(args.out)
