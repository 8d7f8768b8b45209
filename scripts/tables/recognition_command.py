"""The command behind a recognition table: make the data if needed, run the rows, print and write the table."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

from scripts.tables import data
from scripts.tables.command import exit_code, run_or_print, save, table_flags
from scripts.tables.jobs import ROOT, Runner, Step, subprocess_runner
from scripts.tables.methods import Recogniser
from scripts.tables.recognition_plan import RecognitionPlan, replicates
from scripts.tables.recognition_table import as_json, collect, encoder_notes, markdown
from scripts.tables.results import Results
from scripts.tables.rows import Row, Table
from scripts.tables.scales import PAPER, SCALES, SYNTHETIC, Scale, with_backbone
from ski_lvlm.cli import positive
from ski_lvlm.datasets.catalogue import open_data_set


def flags_of(table: Table[Recogniser], description: str) -> argparse.ArgumentParser:
    """Return the flags of a table."""
    p = table_flags(description)
    p.add_argument("--ntu", type=Path, help="folder with rgb/ and skeletons/ (synthetic: the quickstart's, else made)")
    p.add_argument("--frames_cache", type=Path, help="output of scripts/cache_frames.py (synthetic: made)")
    p.add_argument("--out", type=Path, help="folder of all tables and their runs, default runs/tables/DATA")
    p.add_argument(
        "--columns", nargs="+", help=f"only these splits: some of {', '.join(table.columns)}, or the folder's"
    )
    p.add_argument(
        "--scale",
        choices=tuple(SCALES),
        default="paper",
        help="of the runs on a folder's data set. small: a narrow encoder for some hundred clips",
    )
    p.add_argument("--seeds", type=positive, help="trainings of each row (default: 1, or 3 for some synthetic rows)")
    p.add_argument("--backbone", help="of the students: a CLIP or SigLIP (hub id or folder), or efficientnet-lite0")
    return p


def plan_of(args: argparse.Namespace) -> RecognitionPlan:
    """Return the places of data and results, with the steps that make what is missing.

    Raises:
        ValueError: --data ntu without --ntu, or columns of NTU for the synthetic set.
    """
    synthetic = args.data == "synthetic"
    if not synthetic and args.data != "ntu":
        return _own_plan(args)
    if not synthetic and not args.ntu:
        raise ValueError("found --data ntu without --ntu; expected the folder that holds rgb/ and skeletons/")
    if synthetic and args.columns:
        raise ValueError("--columns are splits of NTU; the synthetic set has one column: leave the flag out")
    scale = SYNTHETIC if synthetic else PAPER
    folder = args.data
    if args.backbone and args.backbone != scale.backbone:
        scale = with_backbone(scale, args.backbone)
        folder += "-" + args.backbone.strip("/").replace("/", "_")
    return _with_data(args, scale=scale, out=args.out or ROOT / "runs" / "tables" / folder)


def _own_plan(args: argparse.Namespace) -> RecognitionPlan:
    """Return the plan for a data set's folder, which holds its videos and skeletons itself."""
    data_set = open_data_set(args.data)
    if foreign := [f"--{name}" for name in ("ntu", "prepared") if getattr(args, name)]:
        raise ValueError(f"{', '.join(foreign)} cannot be used with --data {args.data}, which has its own files")
    scale = SCALES[args.scale]
    scale = with_backbone(scale, args.backbone) if args.backbone and args.backbone != scale.backbone else scale
    steps: tuple[Step, ...] = ()
    out, frames = args.out or ROOT / "runs" / "tables" / data_set.name, args.frames_cache
    if not frames and scale.frames:
        frames = out / "frames"
        command = ("scripts/cache_frames.py", "--data", args.data, *scale.frames.split(), "--out", frames)
        steps = (Step(command, "frames.json", out, frames),)
    return RecognitionPlan(None, None, frames, out, scale, steps, data=args.data)


def columns_of(table: Table[Recogniser], args: argparse.Namespace) -> tuple[str, ...]:
    """Return the splits whose numbers are made.

    Raises:
        ValueError: `--columns` names others than there are.
    """
    if args.data == "synthetic":
        return ("synthetic",)
    columns = table.columns
    if args.data != "ntu":
        data_set = open_data_set(args.data)
        columns = tuple(data_set.split(key).name for key in data_set.description.splits)
    if unknown := sorted(set(args.columns or ()) - set(columns)):
        raise ValueError(f"--columns {unknown[0]} is no column; expected some of {', '.join(columns) or 'none'}")
    if not columns:
        raise ValueError(f"{args.data} has no zero-shot splits; write some into its dataset.json")
    return tuple(args.columns or columns)


def _with_data(args: argparse.Namespace, *, scale: Scale, out: Path) -> RecognitionPlan:
    steps: tuple[Step, ...] = ()
    ntu, prepared, frames = args.ntu, args.prepared, args.frames_cache
    if not ntu and data.has_quickstart("synthesize", "prepare"):
        ntu, prepared = data.QUICKSTART / "ntu", prepared or data.QUICKSTART / "prepared"
    if not ntu:
        steps += (data.synthesize(out),)
        ntu = steps[-1].folder
    if not prepared:
        dataset = "synthetic" if args.data == "synthetic" else "auto"  # a part of the synthetic set looks like NTU's
        steps += (data.prepare(out, ntu, dataset=dataset, needs=steps),)
        prepared = steps[-1].folder
    if not frames and scale.frames:
        frames = out / "frames"
        command = ("scripts/cache_frames.py", "--ntu", ntu, *scale.frames.split(), "--out", frames)
        steps += (Step(command, "frames.json", out, frames, steps),)
    return RecognitionPlan(ntu, prepared, frames, out, scale, steps)


class TableRun(NamedTuple):
    """A table, the steps that failed on the way, and the folder of its files."""

    results: Results | None
    failed: list[Step]
    out: Path


def make(table: Table[Recogniser], args: argparse.Namespace, *, runner: Runner = subprocess_runner) -> TableRun:
    """Run what is missing of the chosen rows, and print and write the whole table.

    There are no results after a dry run.

    Raises:
        ValueError: flags that do not fit each other, or a run's folder that holds the result of other settings.
    """
    plan = plan_of(args)
    columns = columns_of(table, args)
    seeds = {row.name: args.seeds or (plan.scale.repeats if row.repeated else 1) for row in table.rows}
    targets = evaluations(table.matching(args.rows), plan=plan, columns=columns, seeds=seeds)
    failed = run_or_print(targets, args, runner=runner)
    if failed is None:
        return TableRun(None, [], plan.out)
    results = collect(table, plan=plan, columns=columns, seeds=seeds)
    text = markdown(results, toy=args.data == "synthetic", notes=encoder_notes(table, plan.scale))
    save(plan.out, table.name, text=text, data={**as_json(results), "scale": asdict(plan.scale)})
    return TableRun(results, failed, plan.out)


def evaluations(
    rows: Sequence[Row[Recogniser]], *, plan: RecognitionPlan, columns: Sequence[str], seeds: Mapping[str, int]
) -> list[Step]:
    """Return the last step of each number of these rows."""
    steps = [
        plan.evaluation(row, replicate)
        for row in rows
        for column in columns
        for replicate in replicates(column, seeds[row.name])
    ]
    return [step for step in steps if isinstance(step, Step)]


def table_main(table: Table[Recogniser], description: str, flags: Sequence[str] | None = None) -> int:
    """Make a table. The exit code is 1 if a step of it failed."""
    return exit_code(make(table, flags_of(table, description).parse_args(flags)).failed)
