"""Does it help? The testbed of docs/evidence.md: hypotheses of the paper, tested in miniature and on real people.

    python scripts/evidence.py --parts power                # how small a gain can be told from nothing
    python scripts/evidence.py --jobs 2                     # main and captions
    python scripts/evidence.py --quick                      # the small version of these, one seed
    python scripts/evidence.py --parts alpha share          # curves
    python scripts/evidence.py --parts people --people DIR  # DIR: output of prepare.py --kind body-gestures

Every run is a command of this repository with a folder of its own, and the same command resumes. Parts share runs.
`main` trains student, twin and SKI student. `alpha`, `share` and `difficulty` are curves, `teachers` and `students` are
the other models. OUT/evidence.md and .json hold all of these that have been run, and the hours that each part took.
gains.png, curves.png and classes.png show them. `captions` trains SKI-LVLMs in ten ways and writes OUT/captions.md,
.json and .png, or captions-NAME with another --base_llm.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from scripts.tables.command import exit_code, run_or_print, save
from scripts.tables.jobs import ROOT, Runner, add_job_flags, subprocess_runner
from scripts.testbed import captions_part, recognition
from scripts.testbed.cost import cost_table, hours_of_parts
from scripts.testbed.effects import collect
from scripts.testbed.hypotheses import outcomes
from scripts.testbed.page import as_json, markdown
from scripts.testbed.people import people_series
from scripts.testbed.pictures import draw_classes, draw_curves, draw_gains
from scripts.testbed.power_part import power_json, power_series, power_text
from scripts.testbed.recognition import Series
from scripts.testbed.sizes import FULL, QUICK, ROTATIONS, Sizes
from ski_lvlm.cli import parser, positive, run

POWER, PEOPLE, CAPTIONS = "power", "people", "captions"
DEFAULT_PARTS = ("main", CAPTIONS)
SERIES: dict[str, Callable[[Path, Sizes], list[Series]]] = {
    "main": recognition.main_series,
    "alpha": recognition.alpha_series,
    "share": recognition.share_series,
    "difficulty": recognition.difficulty_series,
    "teachers": recognition.teacher_series,
    "students": recognition.student_series,
}


def arguments(flags: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command's flags."""
    p = parser(__doc__ or "")
    add = p.add_argument
    add(
        "--parts",
        nargs="+",
        choices=(POWER, *SERIES, PEOPLE, CAPTIONS),
        help=f"parts to run (default: {' and '.join(DEFAULT_PARTS)}, and people with --people)",
    )
    add("--out", type=Path, default=ROOT / "runs" / "evidence", help="folder of all runs and results")
    add("--quick", action="store_true", help="the small version: smaller worlds, two rotations, one seed, few ways")
    add("--rotations", type=int, choices=range(1, len(ROTATIONS) + 1), help="splits of 36 seen and 12 unseen classes")
    add("--seeds", type=positive, help="trainings of each rotation in the main series and on real people")
    add("--curve_seeds", type=positive, help="trainings of each rotation in the curves and of other models")
    add("--people", type=Path, help="data set folder of real people: output of prepare.py --kind body-gestures")
    captions_part.add_flags(p)
    add_job_flags(p)
    add("--dry_run", action="store_true", help="print the commands that are left to run, and stop")
    args = p.parse_args(flags)
    if args.parts and PEOPLE in args.parts and not args.people:
        raise ValueError(
            "--parts people without --people; expected the output of scripts/prepare.py --kind body-gestures"
        )
    return args


def sizes_of(args: argparse.Namespace) -> Sizes:
    """Return the sizes of the runs with the flags' changes."""
    names = ("rotations", "seeds", "curve_seeds")
    changes = {name: getattr(args, name) for name in names if getattr(args, name)}
    return replace(QUICK if args.quick else FULL, **changes)


def main(flags: Sequence[str] | None = None, *, runner: Runner = subprocess_runner) -> int:
    """Run what is missing of the parts, and write the results of all."""
    args = arguments(flags)
    sizes, out = sizes_of(args), args.out / ("quick" if args.quick else "full")
    parts = args.parts or [*DEFAULT_PARTS, *([PEOPLE] if args.people else [])]
    captions = captions_part.plan_of(args, out)
    series_of = {name: make(out, sizes) for name, make in SERIES.items()}
    if args.people:
        series_of[PEOPLE] = people_series(args.people, out, sizes)
    power = power_series(out, sizes)
    series_of_part = {**series_of, POWER: power}
    targets = {
        name: [step for one in series for step in one.evaluations().values()] for name, series in series_of_part.items()
    } | {CAPTIONS: captions.targets()}
    failed = run_or_print([step for part in parts for step in targets[part]], args, runner=runner)
    if failed is None:
        return 0
    if CAPTIONS in parts:
        captions_part.write(captions)
    if POWER in parts:
        calculated = power_json(collect(power), sizes)
        save(out, POWER, text=power_text(calculated), data=calculated | {"sizes": asdict(sizes)})
    if not set(parts) & set(series_of):
        return exit_code(failed)
    results = collect([one for series in series_of.values() for one in series])
    judged = outcomes(results)
    for name, draw in (("gains", draw_gains), ("curves", draw_curves), ("classes", draw_classes)):
        draw(results, path=out / f"{name}.png")
    hours = hours_of_parts(targets)
    data = as_json(results, judged) | {"sizes": asdict(sizes), "hours": hours}
    save(out, "evidence", text=f"{markdown(results, judged)}\n{cost_table(hours)}", data=data)
    return exit_code(failed)


if __name__ == "__main__":
    run(main)
