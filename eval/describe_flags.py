"""Flags of `eval/describe.py`, and their checks before a model is loaded."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from eval.describing.model_flags import add_other_model_flags, other_kind, take_frames
from ski_lvlm.cli import expect_at_least, parser
from ski_lvlm.llm.sampling import add_sampling_flags
from ski_lvlm.parallel.gpu_shards import add_shard_flags
from ski_lvlm.sharing.hub import model_argument

_NEEDED = ("projector_weights", "base_llm", "vision_tower")  # by --baseline alone
VLLM_PYTHON = Path(__file__).resolve().parents[1] / ".venv-vllm" / "bin" / "python"
BATCH_SIZES = {"hf": 8, "vllm": 64}
_OF_BASELINE = {"num_frames": 100, "delimiters": "auto"}


def arguments(argv: Sequence[str] | None, *, description: str) -> argparse.Namespace:
    """Read the command line."""
    p = parser(description)
    alternatives = ", hf:ID (a video or image-text-to-text model of transformers), or openai:MODEL behind --base_url"
    add_model_flags(p, is_required=True, alternatives=alternatives)
    add_other_model_flags(p)
    add_video_flags(p)
    p.add_argument("--questions", type=Path, required=True, help="benchmark file")
    p.add_argument("--out", type=Path, default=Path("predictions.json"), help="file for the answers")
    p.add_argument("--limit", type=int, help="answer this many items, evenly spaced over the file (default: all)")
    add_shard_flags(p)
    _add_engine(p)
    p.add_argument("--workers", type=int, default=2, help="processes that decode videos ahead (0: decode in this one)")
    p.add_argument("--strict", action="store_true", help="exit code 1 if any item has no answer, not only if all have")
    add_sampling_flags(p)
    args = p.parse_args(argv)
    frames = take_frames(p, args)
    settle_baseline(p, args)
    args.num_frames = args.num_frames if frames is None else frames
    _settle_engine(p, args)
    expect_at_least(p, args, num_frames=1, limit=1, batch_size=1, workers=0, frame_side=0)
    return args


def add_model_flags(p: argparse.ArgumentParser, *, is_required: bool, alternatives: str = "") -> None:
    """Add the flags that name a trained model or a published projector. `alternatives` says what else is one."""
    source = p.add_mutually_exclusive_group(required=is_required)
    source.add_argument("--model", type=_model, help=f"--output_dir of train_ski_lvlm.py, or a hub id{alternatives}")
    source.add_argument("--baseline", choices=["video-chatgpt"], help="a published projector, with the next flags")
    p.add_argument("--projector_weights", type=Path, help="mm_projector.bin of Video-ChatGPT, LLAVIDAL or SKI")
    p.add_argument("--base_llm", help="the baseline's language model, the one its projector was trained with")
    p.add_argument("--vision_tower", help="the baseline's tower, such as openai/clip-vit-large-patch14")
    p.add_argument(
        "--num_frames", type=int, help="frames of a video for the baseline (default: 100), hf: (16) and openai: (8)"
    )
    p.add_argument(
        "--delimiters",
        choices=("auto", "none"),
        help="auto (default): the start and end token in the baseline's file, if it has them. none: without them",
    )


def _model(name: str) -> str:
    """Return the folder of a trained model, and the name of any other as it is."""
    return name if other_kind(name) else str(model_argument(name))


def _add_engine(p: argparse.ArgumentParser) -> None:
    p.add_argument(
        "--engine",
        choices=("hf", "vllm"),
        default="hf",
        help="program that decodes: hf is transformers in this process, vllm a process with vLLM",
    )
    p.add_argument(
        "--vllm_python",
        type=Path,
        help="Python with vLLM (default: .venv-vllm/bin/python, made by scripts/vllm_environment.sh)",
    )
    p.add_argument("--batch_size", type=int, help="questions answered at once (default: 8, with --engine vllm 64)")


def _settle_engine(p: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse a Python for an engine that needs none, and set the engine's defaults."""
    if args.vllm_python and args.engine != "vllm":
        p.error("--vllm_python: only for --engine vllm")
    args.vllm_python = args.vllm_python or VLLM_PYTHON
    args.batch_size = BATCH_SIZES[args.engine] if args.batch_size is None else args.batch_size


def add_video_flags(p: argparse.ArgumentParser) -> None:
    """Add the flags that name the videos and a folder for their tokens."""
    p.add_argument("--videos", type=Path, help="folder of videos, also in sub-folders, searched by clip name")
    p.add_argument("--data", help="data set: a folder with dataset.json, whose table names videos (default: --videos)")
    p.add_argument(
        "--features",
        type=Path,
        help="feature folder: videos whose tokens are there are not read, and the tokens of others are kept there",
    )


def settle_baseline(p: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse missing flags of the baseline, or any of them for a trained model, and set their defaults."""
    present = {name for name in (*_NEEDED, *_OF_BASELINE) if getattr(args, name) is not None}
    if args.baseline and (missing := [f"--{name}" for name in _NEEDED if name not in present]):
        p.error(f"--baseline needs {', '.join(missing)}")
    if not args.baseline and present:
        p.error(f"{', '.join(f'--{name}' for name in sorted(present))}: only for --baseline")
    for name in _OF_BASELINE.keys() - present:
        setattr(args, name, _OF_BASELINE[name])


def check(args: argparse.Namespace) -> None:
    """Refuse flags that would fail late, or overwrite a file of another command."""
    if args.out.suffix == ".jsonl":
        raise ValueError(f"--out {args.out}: that name is for the log of answers; give a .json file")
    for file in (args.out, args.out.with_suffix(".jsonl"), run_file(args.out)):
        if file.resolve() == args.questions.resolve():
            raise ValueError(f"--out {args.out} would overwrite the questions in {file}; choose another --out")
    if args.engine == "vllm" and not args.vllm_python.exists():
        raise ValueError(
            f"--engine vllm: found no {args.vllm_python}, expected a Python with vLLM; make it with bash "
            "scripts/vllm_environment.sh, name one with --vllm_python, or use --engine hf"
        )
    check_videos(args)


def check_videos(args: argparse.Namespace) -> None:
    """Make sure that the flags name videos.

    Raises:
        ValueError: they name none, or a folder that does not exist.
    """
    if not (args.videos or args.data):
        raise ValueError("give --videos DIR, the folder that holds the videos, or --data DIR, a data set with videos")
    if args.videos and not args.videos.is_dir():
        raise ValueError(f"--videos {args.videos}: no such folder; give the one that holds the videos, or NTU's rgb/")


def videos_of(args: argparse.Namespace) -> str:
    """Return the absolute place of the videos, for logs. It is empty where there are none."""
    place = args.videos or args.data
    return str(Path(place).resolve()) if place else ""


def run_file(out: Path) -> Path:
    """Return the file with the settings of the predictions `out`.

    >>> run_file(Path("runs/predictions.json"))
    PosixPath('runs/predictions.run.json')
    """
    return out.with_name(f"{out.stem}.run.json")
