"""Table 3: dense captions of Charades by SKI-LVLM, graded by five metrics: does training with skeletons help?

    python scripts/table_3_captioning.py                    # in miniature, on the synthetic set, by sentence similarity
    python scripts/table_3_captioning.py --data ntu --ntu DIR --prepared DIR --instructions FILE \\
        --charades_videos DIR --questions FILE --judge llama3.1 --baseline_weights mm_projector.bin

VCGPT: Video-ChatGPT as published. NTU-VCGPT: trained on NTU's videos alone. SK-VCGPT: with skeleton tokens of the
pretrained Hyperformer. SKI-LVLM: of the one aligned with language. All describe videos without any skeleton. The rows
with † are not the paper's. In one, half of the training samples go without skeletons, as in the quickstart. Models of
--add, such as hf:Qwen/Qwen2.5-VL-7B-Instruct, answer the same questions without training.

The same command resumes after a crash. On the synthetic set, the last quickstart's data, encoders and features are
used if there are any. Its table also has the share of captions that name the right action.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from scripts.miniature import CLIPS
from scripts.tables.captioning_plan import PAPER, SYNTHETIC
from scripts.tables.captioning_sources import plan_of
from scripts.tables.captioning_table import TABLE, as_json, collect, markdown, with_models
from scripts.tables.command import exit_code, run_or_print, save, table_flags
from scripts.tables.jobs import ROOT, Runner, Step, subprocess_runner
from ski_lvlm.cli import positive, run


def parse(flags: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command's flags."""
    p = table_flags(__doc__ or "")
    p.add_argument("--ntu", type=Path, help="folder with rgb/ and skeletons/")
    p.add_argument("--instructions", type=Path, help="instruction pairs on NTU, by data_curation/build.py")
    p.add_argument("--charades_videos", type=Path, help="folder of the videos to describe")
    p.add_argument("--questions", type=Path, help="questions about them")
    p.add_argument("--baseline_weights", type=Path, help="mm_projector.bin of Video-ChatGPT, for the first row")
    p.add_argument("--add", nargs="+", default=[], metavar="MODEL", help="rows for other models: hf:ID, openai:MODEL")
    p.add_argument("--add_url", help="address of the server of the openai: models of --add")
    p.add_argument("--judge", help="as in eval/score.py (default: llama3.1, or similarity on the synthetic set)")
    p.add_argument("--base_url", help="address of the judge's server")
    p.add_argument("--out", type=Path, help="folder of the runs and of table_3.md (default: runs/table_3/DATA)")
    p.add_argument("--seeds", type=positive, help="trainings of each row (default: 1, or 3 on the synthetic set)")
    p.add_argument("--clips", type=positive, default=CLIPS, help="synthetic clips to make where there is no quickstart")
    p.add_argument("--max_steps", type=positive, help="end each training after this many steps, to try everything")
    p.add_argument("--limit", type=positive, help="videos to describe (default: all, or 60 on the synthetic set)")
    args = p.parse_args(flags)
    args.judge = args.judge or ("similarity" if args.data == "synthetic" else "llama3.1")
    args.out = args.out or ROOT / "runs" / "table_3" / args.data
    return args


def make(args: argparse.Namespace, *, runner: Runner = subprocess_runner) -> list[Step]:
    """Run what is missing of the chosen rows, print and write the table, and return the steps that failed.

    Raises:
        ValueError: flags that do not fit each other, or a folder that holds the result of other settings.
    """
    synthetic = args.data == "synthetic"
    scale = SYNTHETIC if synthetic else PAPER
    plan, seeds, table = plan_of(args, scale, args.out), args.seeds or scale.seeds, with_models(args.add)
    steps = [step for row in table.matching(args.rows) for step in plan.trainings(row.method, seeds).values()]
    failed = run_or_print([step for step in steps if isinstance(step, Step)], args, runner=runner)
    if failed is None:
        return []
    results = collect(plan, seeds, actions=synthetic, table=table)
    text = markdown(results, judge=args.judge, toy=synthetic)
    save(args.out, TABLE.name, text=text, data=as_json(results, judge=args.judge))
    return failed


def main(flags: Sequence[str] | None = None) -> int:
    """Make the table. The exit code is 1 if a step of it failed."""
    return exit_code(make(parse(flags)))


if __name__ == "__main__":
    run(main)
