"""What every command shares: a parser that takes `--flag_name` and `--flag-name` alike, and one-line errors."""

import argparse
import math
import re
import sys
from collections.abc import Callable, Sequence


class _Parser(argparse.ArgumentParser):
    def parse_known_args(self, args=None, namespace=None):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        spelled = [underscored(a) for a in (sys.argv[1:] if args is None else args)]
        return super().parse_known_args(spelled, namespace)


def underscored(argument: str) -> str:
    """A flag's name with underscores for hyphens; values and other arguments stay as they are.

    >>> underscored("--out-dir=a-b"), underscored("a-b")
    ('--out_dir=a-b', 'a-b')
    """
    match = re.match(r"--[A-Za-z][\w-]*", argument)
    return match.group().replace("-", "_").replace("__", "--", 1) + argument[match.end() :] if match else argument


def without(words: Sequence[str], flags: Sequence[str]) -> list[str]:
    """A command line without these flags and their single values, however they are written.

    >>> without(["--engine", "ray", "--out", "x", "--shards=4"], ["--engine", "--shards"])
    ['--out', 'x']
    """
    kept, is_value = [], False
    for word in words:
        name, equals, _ = underscored(word).partition("=")
        if is_value:
            is_value = False
        elif name in flags:
            is_value = not equals
        else:
            kept.append(word)
    return kept


def parser(description: str) -> argparse.ArgumentParser:
    """A parser whose `--help` shows defaults and keeps the description's line breaks; hyphens in flags are accepted.

    >>> p = parser("example")
    >>> _ = p.add_argument("--num_frames", type=int, default=16, help="frames per clip")
    >>> p.parse_args(["--num-frames", "4"]).num_frames
    4
    """

    class Formatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
        def _get_help_string(self, action: argparse.Action) -> str | None:
            return action.help if action.default is None else super()._get_help_string(action)

    return _Parser(description=description, formatter_class=Formatter, allow_abbrev=False)


def positive(text: str) -> int:
    """A whole number above 0, as the `type` of a flag."""
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"found {number}, expected at least 1")
    return number


def expect_at_least(flags: argparse.ArgumentParser, options: argparse.Namespace, **least: int | float) -> None:
    """End with a line about the first of these numbers that was given and is smaller, infinite or NaN."""
    for name, smallest in least.items():
        if (number := getattr(options, name)) is not None and not smallest <= number < math.inf:
            flags.error(f"--{name} {number}: expected {smallest:g} or more")


def run(main: Callable[[Sequence[str] | None], int | None]) -> None:
    """Call `main`; a user's mistake (ValueError, OSError, ImportError) becomes one line on stderr and exit code 2."""
    try:
        sys.exit(main(None))
    except (ValueError, OSError, ImportError) as error:
        sys.exit(_fail(error))
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; the same command continues where it stopped\n")
        sys.exit(130)


def _fail(error: Exception) -> int:
    sys.stderr.write(f"error: {error}\n")
    return 2
