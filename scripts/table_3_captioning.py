"""Table 3: dense captions of Charades by SKI-LVLM, graded by five metrics: does training with skeletons help?

    python scripts/table_3_captioning.py                    # in miniature, on the synthetic set, by sentence similarity
    python scripts/table_3_captioning.py --data ntu --ntu DIR --prepared DIR --instructions FILE \\
        --charades_videos DIR --questions FILE --judge llama3.1 --baseline_weights mm_projector.bin

VCGPT: Video-ChatGPT as published. NTU-VCGPT: trained on NTU's videos alone. SK-VCGPT: with skeleton tokens of the
pretrained Hyperformer. SKI-LVLM: of the one aligned with language. All describe videos without any skeleton. The row
with † is not the paper's: skeletons are left out of half of the training samples, as in the quickstart.

Each command goes on where it was killed. On the synthetic set the last quickstart's data, encoders and features are
used if they are there; there also stands how many captions name the right action.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.tables.captioning_markdown import write
from scripts.tables.captioning_results import Training, read_training
from scripts.tables.captioning_runs import PAPER, SYNTHETIC, Plan, Published, Trained
from scripts.tables.captioning_sources import plan_of
from scripts.tables.jobs import (
    ROOT,
    Runner,
    Step,
    add_job_flags,
    in_order,
    places,
    run_steps,
    subprocess_runner,
)
from ski_lvlm.cli import parser, positive, run


@dataclass(frozen=True)
class Row:
    """A model: its name as printed, what makes our numbers, and the models it is compared with."""

    name: str
    made: Published | Trained
    against: tuple[str, ...] = ()


DROPOUT = "SKI-LVLM, skeletons in half †"
ROWS = (
    Row("VCGPT", Published()),
    Row("NTU-VCGPT", Trained(), against=("VCGPT",)),
    Row("SK-VCGPT", Trained("pretrained"), against=("NTU-VCGPT",)),
    Row("SKI-LVLM", Trained("aligned"), against=("NTU-VCGPT", "SK-VCGPT")),
    Row(DROPOUT, Trained("aligned", dropout=0.5), against=("NTU-VCGPT", "SKI-LVLM")),
)


def parse(flags: Sequence[str] | None) -> argparse.Namespace:
    """The command's flags."""
    p = parser(__doc__ or "")
    p.add_argument("--data", choices=("synthetic", "ntu"), default="synthetic", help="ntu: at the paper's scale")
    p.add_argument("--ntu", type=Path, help="folder with rgb/ and skeletons/")
    p.add_argument("--prepared", type=Path, help="output of scripts/prepare_ntu.py; made if not given")
    p.add_argument("--instructions", type=Path, help="instruction pairs on NTU, by data_curation/build.py")
    p.add_argument("--charades_videos", type=Path, help="folder of the videos to describe")
    p.add_argument("--questions", type=Path, help="what is asked about them")
    p.add_argument("--baseline_weights", type=Path, help="mm_projector.bin of Video-ChatGPT, for the first row")
    p.add_argument("--judge", help="as in eval/score.py; default llama3.1, or similarity on the synthetic set")
    p.add_argument("--base_url", help="address of the judge's server")
    p.add_argument("--out", type=Path, help="folder of the runs and of table_3.md; default runs/table_3/DATA")
    p.add_argument("--rows", metavar="SUBSTRING", default="", help="run only rows whose name contains it")
    p.add_argument("--seeds", type=positive, help="trainings of each row; default 1, or 3 on the synthetic set")
    p.add_argument("--clips", type=positive, default=960, help="synthetic clips to make where there is no quickstart")
    p.add_argument("--max_steps", type=positive, help="end each training after this many steps, to try everything")
    p.add_argument("--limit", type=positive, help="describe this many videos; default all, or 60 on the synthetic set")
    add_job_flags(p)
    p.add_argument("--dry_run", action="store_true", help="print the commands that are left to do, and stop")
    args = p.parse_args(flags)
    args.judge = args.judge or ("similarity" if args.data == "synthetic" else "llama3.1")
    args.out = args.out or ROOT / "runs" / "table_3" / args.data
    return args


def asked(substring: str) -> list[Row]:
    """The rows whose name contains it.

    Raises:
        ValueError: none does.
    """
    found = [row for row in ROWS if substring.lower() in row.name.lower()]
    if not found:
        raise ValueError(
            f"found --rows {substring!r}, in the name of no row; they are {'; '.join(r.name for r in ROWS)}"
        )
    return found


def steps_of(row: Row, plan: Plan, seeds: int) -> dict[int, Step]:
    """The last step of each training of a row by seed; what is published is not trained and has one."""
    count = 1 if isinstance(row.made, Published) else seeds
    steps = {seed: plan.grades(row.made, seed) for seed in range(count)}
    return {seed: step for seed, step in steps.items() if isinstance(step, Step)}


def read(step: Step, *, actions: bool) -> Training:
    """What a finished last step measured."""
    (captions,) = step.needs
    scores = (step.folder / step.product).parent
    return read_training(scores, captions.folder / captions.product, actions=actions)


def make(args: argparse.Namespace, *, runner: Runner = subprocess_runner) -> list[Step]:
    """Run what is left of the asked rows, print and write the table of all that is there; the steps that failed.

    Raises:
        ValueError: flags that do not fit each other, or a folder that holds the result of other settings.
    """
    scale = SYNTHETIC if args.data == "synthetic" else PAPER
    plan, seeds = plan_of(args, scale, args.out), args.seeds or scale.seeds
    targets = [step for row in asked(args.rows) for step in steps_of(row, plan, seeds).values()]
    if args.dry_run:
        processes = places(jobs=args.jobs, gpus=args.gpus)[0].processes
        print("\n".join(step.shown(processes) for step in in_order(targets) if not step.is_finished()))
        return []
    failed = run_steps(targets, jobs=args.jobs, gpus=args.gpus, runner=runner)
    trainings = {
        row.name: {
            seed: read(step, actions=args.data == "synthetic")
            for seed, step in steps_of(row, plan, seeds).items()
            if step.is_finished()
        }
        for row in ROWS
    }
    pairs = [(row.name, other) for row in ROWS for other in row.against]
    reasons = {row.name: reason for row in ROWS if isinstance(reason := plan.grades(row.made, 0), str)}
    reasons = dict.fromkeys(trainings, "not run") | reasons
    write(args.out, trainings, pairs, reasons=reasons, judge=args.judge, toy=args.data == "synthetic")
    return failed


def main(flags: Sequence[str] | None = None) -> int:
    """Make the table; exit code 1 if a step of it failed."""
    failed = make(parse(flags))
    for step in failed:
        print(f"✗ failed: {step.title}; the same command tries it again")
    return 1 if failed else 0


if __name__ == "__main__":
    run(main)
