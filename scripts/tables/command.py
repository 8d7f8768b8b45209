"""Flags, runs and files of the commands behind all tables."""

import argparse
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from scripts.tables.jobs import Runner, Step, add_job_flags, in_order, places, run_steps
from ski_lvlm.cli import parser
from ski_lvlm.storage.files import atomic_path, write_json


def table_flags(description: str) -> argparse.ArgumentParser:
    """Return the flags that every table and figure shares."""
    p = parser(description)
    p.add_argument("--data", default="synthetic", help="synthetic, ntu (at the paper's scale), or a data set's folder")
    p.add_argument("--prepared", type=Path, help="output of scripts/prepare_ntu.py (default: made)")
    p.add_argument("--rows", metavar="SUBSTRING", nargs="+", default=[""], help="run only rows whose names contain one")
    add_job_flags(p)
    p.add_argument("--dry_run", action="store_true", help="print the commands that are left to run, and stop")
    return p


def run_or_print(targets: Iterable[Step], args: argparse.Namespace, *, runner: Runner) -> list[Step] | None:
    """Run the unfinished steps and return those that failed. With --dry_run, print them and return None.

    Raises:
        ValueError: flags that do not fit each other, or a run's folder that holds the result of other settings.
    """
    targets = list(targets)
    if args.dry_run:
        processes = places(jobs=args.jobs, gpus=args.gpus)[0].processes
        print("\n".join(step.command_line(processes) for step in in_order(targets) if not step.is_finished()))
        return None
    return run_steps(targets, jobs=args.jobs, gpus=args.gpus, runner=runner)


def save(out: Path, name: str, *, text: str, data: Mapping[str, Any]) -> None:
    """Print the table, and write it as OUT/NAME.md and .json."""
    target = out / f"{name}.md"
    with atomic_path(target) as path:
        path.write_text(text, encoding="utf-8")
    write_json(target.with_suffix(".json"), data)
    print(f"\n{text}\n{target} (and .json)")


def exit_code(failed: Iterable[Step]) -> int:
    """Name the steps that failed and return the exit code."""
    failed = list(failed)
    for step in failed:
        print(f"✗ failed: {step.title}; the same command tries it again")
    return 1 if failed else 0
