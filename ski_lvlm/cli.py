"""Parts that every command shares: flags in either spelling, one-line errors, a progress bar, the device."""

import argparse
import math
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_LINE_EVERY = 30.0  # seconds


class _Parser(argparse.ArgumentParser):
    def parse_known_args(self, args=None, namespace=None):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        spelled = [underscored(a) for a in (sys.argv[1:] if args is None else args)]
        return super().parse_known_args(spelled, namespace)


def underscored(argument: str) -> str:
    """Return a flag's name with underscores for hyphens. Values and other arguments stay as they are.

    >>> underscored("--out-dir=a-b"), underscored("a-b")
    ('--out_dir=a-b', 'a-b')
    """
    match = re.match(r"--[A-Za-z][\w-]*", argument)
    return match.group().replace("-", "_").replace("__", "--", 1) + argument[match.end() :] if match else argument


def without(words: Sequence[str], flags: Sequence[str]) -> list[str]:
    """Return a command line without these flags and their single values, however they are written.

    >>> without(["--engine", "ray", "--out", "x", "--shards=4"], ["--engine", "--shards"])
    ['--out', 'x']
    """
    remaining, is_value = [], False
    for word in words:
        name, equals, _ = underscored(word).partition("=")
        if is_value:
            is_value = False
        elif name in flags:
            is_value = not equals
        else:
            remaining.append(word)
    return remaining


def parser(description: str) -> argparse.ArgumentParser:
    """Return a parser whose `--help` shows defaults and keeps line breaks. Hyphens in flags are accepted.

    >>> p = parser("example")
    >>> _ = p.add_argument("--num_frames", type=int, default=16, help="frames per clip")
    >>> p.parse_args(["--num-frames", "4"]).num_frames
    4
    """

    class Formatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
        def _get_help_string(self, action: argparse.Action) -> str | None:
            return action.help if action.default is None else super()._get_help_string(action)

    return _Parser(description=description, formatter_class=Formatter, allow_abbrev=False)


def add_selection_flags(flags: argparse.ArgumentParser, *, split: str) -> None:
    """Add the flags that name a data set, a split and a protocol. `split` says what holds without `--split`."""
    add = flags.add_argument
    add("--data", nargs="+", action="extend", help="data sets: ntu60, ntu120, synthetic, synthetic48, or folders "
        "with dataset.json, which are joined (default: the one that --split begins with)")  # fmt: skip
    add(
        "--same_classes",
        type=Path,
        metavar="FILE",
        help="for several data sets: JSON {class: the same class in another data set}",
    )
    add("--split", help="zero-shot split of the data set, such as ntu60/48-12 or synthetic, a file of "
        f"unseen classes, or a list of them with commas. Without it, {split}")  # fmt: skip
    add("--protocol", help="which clips are for training and which for testing: one of the data set's "
        "protocols (default: its first, xsub for NTU)")  # fmt: skip


def positive(text: str) -> int:
    """Parse a whole number above 0, as the `type` of a flag."""
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"found {number}, expected at least 1")
    return number


def expect_at_least(flags: argparse.ArgumentParser, options: argparse.Namespace, **minimums: int | float) -> None:
    """End with an error about the first of these numbers that is smaller than its minimum, infinite or NaN."""
    for name, minimum in minimums.items():
        if (number := getattr(options, name)) is not None and not minimum <= number < math.inf:
            flags.error(f"--{name} {number}: expected {minimum:g} or more")


def device(name: str | None = None) -> "torch.device":
    """Return the named device. Without a name it is the GPU, or the CPU if there is none.

    Raises:
        ValueError: there is no such device here.
    """
    import torch

    name = name or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"--device {name} cannot be used here ({str(error).splitlines()[0]}); try cpu") from error


@contextmanager
def progress(title: str, *, total: int | None, completed: int = 0) -> Iterator[Callable[[int], None]]:
    """Yield a function that advances a progress bar on stderr by a number of items.

    Where stderr is no terminal, a line is printed now and then and at the end. `total` is None where it is unknown.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    last_line = time.monotonic()
    with Progress(*columns, console=console, disable=total == 0 or not console.is_terminal) as bars:
        task = bars.add_task(title, total=total, completed=completed)

        def advance(count: int) -> None:
            nonlocal completed, last_line
            completed += count
            bars.advance(task, count)
            now = time.monotonic()
            if not console.is_terminal and (now - last_line > _LINE_EVERY or completed == total):
                last_line = now
                of_total = "" if total is None else f" of {total}"
                console.print(f"{title}: {completed}{of_total}", markup=False, highlight=False, soft_wrap=True)

        yield advance


def run(main: Callable[[Sequence[str] | None], int | None]) -> None:
    """Run `main`. A user's mistake (ValueError, OSError, ImportError) becomes one line on stderr and exit code 2."""
    try:
        sys.exit(main(None))
    except (ValueError, OSError, ImportError) as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; run the same command again\n")
        sys.exit(130)
