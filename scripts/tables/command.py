"""What the scripts of all tables do: make the data if needed, run the rows, print the table and write it."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

from scripts.tables.jobs import ROOT, Runner, Step, add_job_flags, in_order, places, run_steps, subprocess_runner
from scripts.tables.markdown import as_json, markdown
from scripts.tables.results import Results, collect
from scripts.tables.rows import Row, Table
from scripts.tables.runs import PAPER, SYNTHETIC, Plan, Scale, replicates, with_backbone
from ski_lvlm.cli import parser, positive
from ski_lvlm.storage.files import atomic_path, write_json

QUICKSTART = ROOT / "runs" / "quickstart"


def flags_of(table: Table, description: str) -> argparse.ArgumentParser:
    """The flags that every table and figure shares."""
    p = parser(description)
    p.add_argument("--data", choices=("synthetic", "ntu"), default="synthetic", help="ntu: at the paper's scale")
    p.add_argument("--ntu", type=Path, help="folder with rgb/ and skeletons/; synthetic: the quickstart's, else made")
    p.add_argument("--prepared", type=Path, help="output of scripts/prepare_ntu.py; made if not given")
    p.add_argument("--frames_cache", type=Path, help="output of scripts/cache_frames.py; synthetic: made if not given")
    p.add_argument("--out", type=Path, help="folder of all tables and their runs, default runs/tables/DATA")
    p.add_argument("--columns", nargs="+", choices=table.splits, help="with --data ntu: only these splits")
    p.add_argument("--rows", metavar="SUBSTRING", default="", help="run only rows whose name contains it")
    p.add_argument(
        "--seeds", type=positive, help="trainings of each row; default 1, or 3 for some on the synthetic set"
    )
    add_job_flags(p)
    p.add_argument("--backbone", help="of the students: a CLIP or SigLIP (hub id or folder), or efficientnet-lite0")
    p.add_argument("--dry_run", action="store_true", help="print the commands that are left to do, and stop")
    return p


def planned(args: argparse.Namespace) -> Plan:
    """Where data and results lie, with the steps that make what is missing.

    Raises:
        ValueError: NTU is asked for without saying where it is, or the synthetic set has no such columns.
    """
    toy = args.data == "synthetic"
    if not toy and not args.ntu:
        raise ValueError("found --data ntu without --ntu; expected the folder that holds rgb/ and skeletons/")
    if toy and args.columns:
        raise ValueError("--columns are splits of NTU; the synthetic set has one column: leave the flag out")
    scale = SYNTHETIC if toy else PAPER
    folder = args.data
    if args.backbone and args.backbone != scale.backbone:
        scale = with_backbone(scale, args.backbone)
        folder += "-" + args.backbone.strip("/").replace("/", "_")
    out = args.out or ROOT / "runs" / "tables" / folder
    return _with_data(args, scale=scale, out=out)


def _with_data(args: argparse.Namespace, *, scale: Scale, out: Path) -> Plan:
    steps: list[Step] = []

    def made(script: str, product: str, name: str, *flags: str | Path) -> Path:
        folder = out / name
        steps.append(Step((script, *flags, "--out", folder), product, out, folder, tuple(steps)))
        return folder

    ntu, prepared, frames = args.ntu, args.prepared, args.frames_cache
    dataset = "synthetic" if args.data == "synthetic" else "auto"  # a part of the synthetic set looks like NTU's
    if not ntu and all((QUICKSTART / "done" / name).exists() for name in ("synthesize", "prepare")):
        ntu, prepared = QUICKSTART / "ntu", prepared or QUICKSTART / "prepared"
    ntu = ntu or made("data_curation/synthesize.py", "skeletons", "ntu", "--clips", "960", "--seed", "0")
    prepared = prepared or made("scripts/prepare_ntu.py", "report.json", "prepared", "--ntu", ntu, "--dataset", dataset)
    if not frames and scale.frames:
        frames = made("scripts/cache_frames.py", "frames.json", "frames", "--ntu", ntu, *scale.frames.split())
    return Plan(ntu, prepared, frames, out, scale, tuple(steps))


class Made(NamedTuple):
    """A table, the steps that failed on the way, and the folder of its files."""

    results: Results
    failed: list[Step]
    out: Path


def make(table: Table, args: argparse.Namespace, *, runner: Runner = subprocess_runner) -> Made:
    """Run what is left of the asked rows, print and write the table with all rows that are there.

    Raises:
        ValueError: flags that do not fit each other, or a run's folder that holds the result of other settings.
    """
    plan = planned(args)
    columns = ("synthetic",) if args.data == "synthetic" else tuple(args.columns or table.splits)
    seeds = {row.name: args.seeds or (plan.scale.repeats if row.repeated else 1) for row in table.rows}
    steps = evaluations(_asked(table, args.rows), plan=plan, columns=columns, seeds=seeds)
    if args.dry_run:
        processes = places(jobs=args.jobs, gpus=args.gpus)[0].processes
        print("\n".join(step.shown(processes) for step in in_order(steps) if not step.is_finished()))
        return Made(Results(table, columns, {}, {}), [], plan.out)
    failed = run_steps(steps, jobs=args.jobs, gpus=args.gpus, runner=runner)
    results = collect(table, plan=plan, columns=columns, seeds=seeds)
    write(results, plan=plan, toy=args.data == "synthetic")
    return Made(results, failed, plan.out)


def _asked(table: Table, substring: str) -> list[Row]:
    asked = [row for row in table.rows if substring.lower() in row.name.lower()]
    if not asked:
        names = "; ".join(row.name for row in table.rows)
        raise ValueError(f"found --rows {substring!r}, which is in the name of no row; the rows are {names}")
    return asked


def evaluations(rows: Sequence[Row], *, plan: Plan, columns: Sequence[str], seeds: Mapping[str, int]) -> list[Step]:
    """The last step of each number of these rows."""
    steps = [
        plan.evaluation(row, replicate)
        for row in rows
        for column in columns
        for replicate in replicates(column, seeds[row.name])
    ]
    return [step for step in steps if isinstance(step, Step)]


def write(results: Results, *, plan: Plan, toy: bool) -> None:
    """Print the table, and keep it as Markdown and JSON."""
    text = markdown(results, toy=toy)
    target = plan.out / f"{results.table.name}.md"
    with atomic_path(target) as path:
        path.write_text(text, encoding="utf-8")
    write_json(target.with_suffix(".json"), {**as_json(results), "scale": asdict(plan.scale)})
    print(f"\n{text}\n{target} (and .json)")


def table_main(table: Table, description: str, flags: Sequence[str] | None = None) -> int:
    """Make a table; exit code 1 if a step of it failed."""
    return report(make(table, flags_of(table, description).parse_args(flags)))


def report(made: Made) -> int:
    """Name the steps that failed; the exit code."""
    for step in made.failed:
        print(f"✗ failed: {step.title}; the same command tries it again")
    return 1 if made.failed else 0
