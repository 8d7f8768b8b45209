"""The flags of `eval/score.py`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from eval.judges.judge import JudgeSettings
from eval.judges.open_judge import JUDGE_NAMES, judge_class
from eval.judges.rubrics import OWN_FILE, load_rubrics
from eval.judges.score_reading import EXPECTED, SAMPLED
from eval.metrics import METRICS
from ski_lvlm.cli import expect_at_least, parser, underscored


def arguments(argv: Sequence[str] | None, *, description: str) -> argparse.Namespace:
    """Read the command line. A mistake ends the process with a line that says what was expected."""
    flags = parser(description)
    flags.add_argument("--predictions", type=Path, nargs="+", action="extend", help="files made by eval/describe.py")
    flags.add_argument("--out", type=Path, help="folder for the results. Default: scores/ beside the predictions")
    flags.add_argument("--videos", type=Path, help="folder of the videos, for frames on the page")
    flags.add_argument(
        "--no_reference_metrics", action="store_true", help="skip BLEU, ROUGE, METEOR and sentence similarity"
    )
    _add_judge(flags)
    _add_grading(flags)
    _add_modes(flags)
    options = flags.parse_args(argv)
    words = sys.argv[1:] if argv is None else argv
    names = {underscored(word).partition("=")[0] for word in words if word.startswith("--")}
    _refuse_unused(flags, options, names)
    _refuse_beside_expected(flags, options, names)
    asks = options.rubrics or options.temperature or options.scores != "integer" or options.score == EXPECTED
    if asks and not judge_class(options.judge).has_prompts:
        flags.error(f"--judge {options.judge} asks no questions; omit --rubrics, --scores, --score and --temperature")
    expect_at_least(flags, options, workers=1, repeats=1, max_tokens=1, temperature=0, timeout=0.001)
    return options


def judge_settings(options: argparse.Namespace) -> JudgeSettings:
    """Return the settings of the judge.

    Raises:
        ValueError: the rubrics cannot be read.
    """
    return JudgeSettings(
        base_url=options.base_url,
        timeout=options.timeout,
        rubrics=load_rubrics(
            options.rubrics or OWN_FILE, scores="digit" if options.score == EXPECTED else options.scores
        ),
        temperature=options.temperature,
        max_tokens=options.max_tokens,
        requests_per_minute=options.requests_per_minute,
        score_kind=options.score,
    )


def _refuse_beside_expected(flags: argparse.ArgumentParser, options: argparse.Namespace, names: set[str]) -> None:
    """Refuse flags of a written reply where the probabilities of one digit are read."""
    if options.score == EXPECTED and (unused := sorted(names & {"--scores", "--temperature", "--max_tokens"})):
        flags.error(
            f"--score expected reads the probabilities of one digit and does not use {', '.join(unused)}; omit that"
        )


def _refuse_unused(flags: argparse.ArgumentParser, options: argparse.Namespace, names: set[str]) -> None:
    """Refuse flags of grading in the modes that only read finished grades."""
    mode = next((f"--{name}" for name in ("compare", "agreement", "aggregate") if getattr(options, name)), None)
    if mode and (unused := sorted(names - {mode, "--out"})):
        flags.error(f"{mode} reads finished grades and does not use {', '.join(unused)}; omit that")


def _add_judge(flags: argparse.ArgumentParser) -> None:
    flags.add_argument("--judge", default="llama3.1", help=f"one of {JUDGE_NAMES}. MODEL alone is one of Ollama's")
    flags.add_argument("--base_url", help="address of the judge's server, e.g. http://127.0.0.1:8000/v1")
    flags.add_argument(
        "--again",
        action="store_true",
        help="repeat also replies that were unreadable at temperature 0. Failures are always repeated",
    )
    flags.add_argument("--workers", type=int, default=4, help="number of records that are graded in parallel")
    flags.add_argument(
        "--requests_per_minute", type=int, help="maximum number of questions a minute. Default: no limit"
    )
    flags.add_argument("--timeout", type=float, default=120.0, help="seconds to wait for one reply")


def _add_grading(flags: argparse.ArgumentParser) -> None:
    flags.add_argument(
        "--metrics", nargs="+", choices=METRICS, help="grade only these. Default: all that the files allow"
    )
    flags.add_argument(
        "--rubrics",
        type=Path,
        help="questions to the judge instead of ours: a file as eval/judges/rubrics.json, or a clone of Video-ChatGPT",
    )
    flags.add_argument(
        "--score",
        choices=(SAMPLED, EXPECTED),
        default=SAMPLED,
        help="sampled: the score that the judge writes. expected: the mean of the digits 0 to 5 by the judge's "
        "probabilities of them as its first token, from servers that tell these and from hf:MODEL",
    )
    flags.add_argument("--scores", choices=("integer", "decimal"), default="integer", help="scale that the judge uses")
    flags.add_argument("--repeats", type=int, default=1, help="grades of each record, with seeds of their own")
    flags.add_argument("--seed", type=int, default=0, help="seed of the first repeat")
    flags.add_argument("--temperature", type=float, default=0.0, help="0 decodes greedily")
    flags.add_argument("--max_tokens", type=int, default=200, help="of a reply. Models that think aloud need more")


def _add_modes(flags: argparse.ArgumentParser) -> None:
    modes = flags.add_mutually_exclusive_group()
    modes.add_argument("--ping", action="store_true", help="only check that the judge answers")
    modes.add_argument("--compare", type=Path, nargs=2, metavar=("A", "B"), help="two models, graded on the same items")
    modes.add_argument("--agreement", type=Path, nargs=2, metavar=("A", "B"), help="two judges of the same items")
    modes.add_argument(
        "--aggregate", nargs="+", metavar="FILE", help="published score files, FILE or METRIC=FILE, or our own folders"
    )
