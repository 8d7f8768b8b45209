"""Try trained models in the browser, on your own clips.

    python -m ski_lvlm.demo                                # what the last `bash scripts/quickstart.sh` trained
    python -m ski_lvlm.demo --model DIR --student DIR
    python -m ski_lvlm.demo --model WITH WITHOUT --student AFTER BEFORE   # two of each are compared

Install it by `python -m pip install -e ".[demo]"`. A video-language model answers questions, and a student names
actions. The page is on this machine alone unless --host says otherwise. Uploads are removed when a visitor leaves and
when the command ends. Nothing is sent elsewhere.
"""

import argparse
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ski_lvlm.cli import expect_at_least, parser, run
from ski_lvlm.llm.sampling import add_sampling_flags, generation_settings

_QUICKSTART = Path("runs/quickstart")
_MAX_EXAMPLES = 12


def main(argv: Sequence[str] | None = None) -> int:
    """Load the models and serve the page until Ctrl-C."""
    args = _arguments(argv)
    home = Path(tempfile.mkdtemp(prefix="ski_lvlm_demo_"))
    os.environ |= {"GRADIO_TEMP_DIR": str(home / "cache"), "GRADIO_ANALYTICS_ENABLED": "False"}
    try:
        try:
            from ski_lvlm.demo.page import build, launch
        except ModuleNotFoundError as error:
            raise ImportError(f'{error}; install the page with: python -m pip install -e ".[demo]"') from error
        from ski_lvlm import from_pretrained
        from ski_lvlm.demo.actions import Namer
        from ski_lvlm.demo.answers import Answerer
        from ski_lvlm.demo.clips import Limits
        from ski_lvlm.demo.handlers import Handlers

        handlers = Handlers(
            answerers=[Answerer(from_pretrained(folder), folder.name) for folder in args.model],
            namers=[Namer.load(folder, folder.name) for folder in args.student],
            examples=_examples(args.examples),
            home=home,
            limits=Limits(args.max_seconds, args.max_megabytes),
            generation=generation_settings(args),
        )
        launch(build(handlers), host=args.host, port=args.port, megabytes=args.max_megabytes)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    return 0


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    flags = parser(__doc__ or "")
    flags.prog = "python -m ski_lvlm.demo"
    add = flags.add_argument
    add("--model", type=Path, nargs="+", default=[], help="--output_dir of train_ski_lvlm.py or hub id, 1 or 2")
    add("--student", type=Path, nargs="+", default=[], help="student of train_ski_vlm.py or hub id, 1 or 2")
    add("--examples", type=Path, help="folder of clips to choose from (default: the quickstart's, if there are)")
    add("--host", default="127.0.0.1", help="address to listen on. 0.0.0.0 opens the page to the network")
    add("--port", type=int, help="port to listen on (default: the first free one from 7860)")
    add("--max_seconds", type=float, default=60.0, help="longest clip")
    add("--max_megabytes", type=int, default=200, help="largest clip")
    add_sampling_flags(flags)
    args = flags.parse_args(argv)
    expect_at_least(flags, args, port=1, max_seconds=1, max_megabytes=1)
    if not (args.model or args.student):
        _take_quickstart(args)
    for name in ("model", "student"):
        if len(getattr(args, name)) > 2:
            flags.error(f"--{name}: found {len(getattr(args, name))} folders, expected one, or two to compare")
    return args


def _take_quickstart(args: argparse.Namespace) -> None:
    """Take what the last quickstart trained, and say so."""
    model, students = _QUICKSTART / "lvlm", [_QUICKSTART / "distill", _QUICKSTART / "video_finetune"]
    if not model.is_dir():
        raise ValueError("give --model DIR or --student DIR, or run `bash scripts/quickstart.sh` first: it trains both")
    args.model, args.student = [model], [folder for folder in students if folder.is_dir()]
    args.examples = args.examples or _QUICKSTART / "ntu"
    sys.stderr.write(f"using the last quickstart: {_QUICKSTART}\n")


def _examples(folder: Path | None) -> dict[str, Path]:
    """Return clips of a folder, evenly chosen, by their names."""
    from ski_lvlm.videos.folder import list_videos

    if folder is None:
        return {}
    files = sorted(list_videos(folder).items())
    step = max(1, len(files) // _MAX_EXAMPLES)
    return dict(files[::step][:_MAX_EXAMPLES])


if __name__ == "__main__":
    logging.getLogger("httpx").setLevel(logging.WARNING)
    run(main)
