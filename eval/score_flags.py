"""The flags of `eval/score.py`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from eval.judges.similarity_judge import SIMILARITY
from eval.metrics import METRICS
from ski_lvlm.cli import expect_at_least, parser, underscored


def arguments(argv: Sequence[str] | None, *, description: str) -> argparse.Namespace:
    """Read the command line; a mistake ends the process with a line that says what was expected."""
    flags = parser(description)
    flags.add_argument("--predictions", type=Path, nargs="+", action="extend", help="files made by eval/describe.py")
    flags.add_argument("--out", type=Path, help="folder for the results; default: scores/ beside the predictions")
    flags.add_argument("--videos", type=Path, help="folder of the videos, for frames on the page")
    flags.add_argument(
        "--no_reference_metrics", action="store_true", help="leave out BLEU, ROUGE, METEOR and sentence similarity"
    )
    _add_judge(flags)
    _add_grading(flags)
    others = flags.add_mutually_exclusive_group()
    others.add_argument("--ping", action="store_true", help="only check that the judge is there")
    others.add_argument(
        "--compare", type=Path, nargs=2, metavar=("A", "B"), help="two models, graded on the same items"
    )
    others.add_argument("--agreement", type=Path, nargs=2, metavar=("A", "B"), help="two judges of the same items")
    others.add_argument(
        "--aggregate", nargs="+", metavar="FILE", help="published score files, FILE or METRIC=FILE, or our own folders"
    )
    options = flags.parse_args(argv)
    _refuse_unused(flags, options, sys.argv[1:] if argv is None else argv)
    if options.judge == SIMILARITY and (options.rubrics or options.temperature or options.scores != "integer"):
        flags.error("--judge similarity asks no questions; leave out --rubrics, --scores and --temperature")
    expect_at_least(flags, options, workers=1, repeats=1, max_tokens=1, temperature=0, timeout=0.001)
    return options


def _refuse_unused(flags: argparse.ArgumentParser, options: argparse.Namespace, argv: Sequence[str]) -> None:
    """Where models are compared or files added up nobody grades: flags that say who and what mistake the command."""
    command = next((f"--{name}" for name in ("compare", "agreement", "aggregate") if getattr(options, name)), None)
    given = {underscored(word).partition("=")[0] for word in argv if word.startswith("--")}
    if command and (unused := sorted(given - {command, "--out"})):
        flags.error(f"{command} reads finished grades and does not use {', '.join(unused)}; leave that out")


def _add_judge(flags: argparse.ArgumentParser) -> None:
    flags.add_argument(
        "--judge", default="llama3.1", help="MODEL or ollama:MODEL, openai:MODEL, hf:MODEL in this process, similarity"
    )
    flags.add_argument("--base_url", help="address of the judge's server, e.g. http://127.0.0.1:8000/v1")
    flags.add_argument(
        "--again",
        action="store_true",
        help="ask once more where a reply could not be read at temperature 0; what failed is always asked for again",
    )
    flags.add_argument("--workers", type=int, default=4, help="records that are with the judge at a time")
    flags.add_argument("--requests_per_minute", type=int, help="no more questions than this; default: no limit")
    flags.add_argument("--timeout", type=float, default=120.0, help="seconds to wait for one reply")


def _add_grading(flags: argparse.ArgumentParser) -> None:
    flags.add_argument(
        "--metrics", nargs="+", choices=METRICS, help="grade only these; default: all that the files allow"
    )
    flags.add_argument(
        "--rubrics",
        type=Path,
        help="questions to the judge instead of ours: a file as eval/judges/rubrics.json, or a clone of Video-ChatGPT",
    )
    flags.add_argument("--scores", choices=("integer", "decimal"), default="integer", help="what is asked of the judge")
    flags.add_argument("--repeats", type=int, default=1, help="grades of each record, with seeds of their own")
    flags.add_argument("--seed", type=int, default=0, help="of the first repeat")
    flags.add_argument("--temperature", type=float, default=0.0, help="0: always the likeliest reply")
    flags.add_argument("--max_tokens", type=int, default=200, help="of a reply; more for judges that think aloud")
