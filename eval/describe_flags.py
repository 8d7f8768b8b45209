"""The flags of `eval/describe.py`, and what is wrong with them before a model is loaded."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from ski_lvlm.cli import expect_at_least, parser
from ski_lvlm.llm.sampling import add_sampling_flags
from ski_lvlm.parallel.gpu_shards import add_shard_flags

_NEEDED = ("projector_weights", "base_llm", "vision_tower")  # by --baseline, and by nothing else
_OF_BASELINE = {"num_frames": 100, "delimiters": "auto"}


def arguments(argv: Sequence[str] | None, *, description: str) -> argparse.Namespace:
    """Read the command line; a mistake ends the process with a line that says what was expected."""
    p = parser(description)
    _add_model(p)
    p.add_argument(
        "--videos", type=Path, required=True, help="folder of videos, also in sub-folders, searched by clip name"
    )
    p.add_argument("--questions", type=Path, required=True, help="benchmark file")
    p.add_argument("--out", type=Path, default=Path("predictions.json"), help="where the answers go")
    p.add_argument("--limit", type=int, help="answer this many items, evenly spaced over the file; default: all")
    add_shard_flags(p)
    p.add_argument("--batch_size", type=int, default=8, help="questions answered at once")
    p.add_argument("--workers", type=int, default=2, help="processes that decode videos ahead; 0: decode in this one")
    p.add_argument("--strict", action="store_true", help="exit code 1 if any item has no answer, not only if all have")
    add_sampling_flags(p)
    args = p.parse_args(argv)
    _settle_baseline(p, args)
    expect_at_least(p, args, num_frames=1, limit=1, batch_size=1, workers=0)
    return args


def _add_model(p: argparse.ArgumentParser) -> None:
    which = p.add_mutually_exclusive_group(required=True)
    which.add_argument("--model", type=Path, help="--output_dir of train_ski_lvlm.py")
    which.add_argument("--baseline", choices=["video-chatgpt"], help="a published projector, with the next flags")
    p.add_argument("--projector_weights", type=Path, help="mm_projector.bin of Video-ChatGPT, LLAVIDAL or SKI")
    p.add_argument("--base_llm", help="the baseline's language model, the one its projector was trained with")
    p.add_argument("--vision_tower", help="the baseline's tower, such as openai/clip-vit-large-patch14")
    p.add_argument("--num_frames", type=int, help="frames that the baseline sees of a video; default: 100")
    p.add_argument(
        "--delimiters",
        choices=("auto", "none"),
        help="auto, the default: the start and end token that the baseline's file has; none: without, whatever it has",
    )


def _settle_baseline(p: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse what is missing, or what a trained model settles itself, and fill in defaults."""
    given = {name for name in (*_NEEDED, *_OF_BASELINE) if getattr(args, name) is not None}
    if args.baseline and (missing := [f"--{name}" for name in _NEEDED if name not in given]):
        p.error(f"--baseline needs {', '.join(missing)}")
    if not args.baseline and given:
        p.error(f"{', '.join(f'--{name}' for name in sorted(given))}: only for --baseline")
    for name in _OF_BASELINE.keys() - given:
        setattr(args, name, _OF_BASELINE[name])


def check(args: argparse.Namespace) -> None:
    """Refuse what would come to light late, or overwrite a file that is not this command's.

    Raises:
        ValueError: files of the command that are the same, or no folder of videos.
    """
    if args.out.suffix == ".jsonl":
        raise ValueError(f"--out {args.out}: the answers as they come are kept under that name; give a .json file")
    for file in (args.out, args.out.with_suffix(".jsonl"), run_file(args.out)):
        if file.resolve() == args.questions.resolve():
            raise ValueError(f"--out {args.out} would write over the questions in {file}; choose another --out")
    if not args.videos.is_dir():
        raise ValueError(f"--videos {args.videos}: no such folder; give the one that holds the videos, or NTU's rgb/")


def run_file(out: Path) -> Path:
    """Where it stands how the predictions `out` were made.

    >>> run_file(Path("runs/predictions.json"))
    PosixPath('runs/predictions.run.json')
    """
    return out.with_name(f"{out.stem}.run.json")
