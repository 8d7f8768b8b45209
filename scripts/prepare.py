"""Convert a published data set, or videos in one folder a class, into a folder for --data.

    python scripts/prepare.py --kind utd-mhad --root /data/UTD-MHAD --out utd
    python scripts/prepare.py --kind folders --root my_videos --out my_data

The folder gets dataset.json, clips.csv and, where the data set has skeletons, a packed set of them, so that it is also
what --prepared takes. Files are found wherever they lie in --root. Damaged ones are listed and skipped. The report is
printed and written to report.json. The same command does nothing when no file has changed.
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from scripts import prepare_ntu
from ski_lvlm.cli import parser, run
from ski_lvlm.datasets.converters.kinds import KINDS
from ski_lvlm.datasets.converters.preparation import prepare

_NTU = "ntu"


def show(report: dict, out: Path, console: Console) -> None:
    """Print the report as a table, with the first few names of what was left out."""
    table = Table("what", "found", title=f"{report['root']}: {report['data_set']}", title_justify="left")
    table.add_row("clips", f"{report['clips']:,}", style="yellow" if report["bad"] else "green")
    table.add_row("clips with a video", f"{report['videos']:,}")
    table.add_row("classes with clips", f"{report['classes_with_clips']} of {report['classes']}")
    if "layout" in report:
        table.add_row(
            "skeletons", f"{report['skeletons']:,} (layout {report['layout']}, cleaning {report['cleaning']})"
        )
        table.add_row("frames; clips of two persons", f"{report['frames']:,}; {report['two_persons']:,}")
    for name, count in report["protocols"].items():
        table.add_row(f"{name}: train / test", f"{count['train']:,} / {count['test']:,}")
    for kind, explanation in (
        ("bad", "clips without a usable skeleton"),
        ("skipped", "files and spans that are no clips"),
    ):
        names = [Path(name).name for name in report[kind]]
        table.add_row(explanation, f"{len(names):,}" + (f": {', '.join(names[:3])} …" if names else ""))
    console.print(table)
    prepare_ntu.show_errors(report["bad"] | {n: f"{n}: {reason}" for n, reason in report["skipped"].items()}, console)
    if report["has_edited_table"]:
        console.print("clips.csv had been edited; that one is now clips.edited.csv", style="yellow")
    console.print(f"data set in {out}; all names in {out / 'report.json'}")


def arguments() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    options = parser(__doc__ or "")
    options.add_argument("--kind", choices=[_NTU, *KINDS], required=True, help="data set")
    options.add_argument("--root", type=Path, required=True, help="folder with the data set as it was unpacked")
    options.add_argument("--out", type=Path, required=True, help="data set folder to make")
    options.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes")
    return options


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    args = arguments().parse_args(argv)
    console = Console()
    if args.kind == _NTU:
        prepare_ntu.prepare(args.root, args.out, dataset="auto", workers=args.workers, console=console)
        return 0
    report, is_earlier = prepare(args.kind, args.root, args.out, workers=args.workers)
    if is_earlier:
        console.print(f"{args.out}: nothing has changed, the data set is kept")
    show(report, args.out, console)
    return 0


if __name__ == "__main__":
    run(main)
