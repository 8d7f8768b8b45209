"""Minutes of skeleton-text methods at NTU's full sizes, on random features, extrapolated from a tenth of the schedule.

    python -m benchmarks.skeleton_text_speed --threads 2

The sizes are those of NTU60 55/5: the seen training clips, 256 numbers a clip as of Shift-GCN, and the published widths
of texts. The schedules are the published ones. The loop is that of the stage, with its checkpoints. By default the
stage trains twice, since a rehearsal chooses the number of rounds. The CPU's time counts on a machine that is shared.
"""

import argparse
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F

from benchmarks.timing import cost_of
from ski_lvlm.cli import parser, positive, run
from ski_lvlm.recipe import SKELETON_TEXT_SCHEDULES
from ski_lvlm.skeleton_text.features import FeatureTable
from ski_lvlm.skeleton_text.method import Sizes
from ski_lvlm.skeleton_text.methods import METHODS
from ski_lvlm.skeleton_text.training import Schedule, train

CLIPS, CLASSES, WIDTH, LATENT = 36_758, 55, 256, 100


class Texts(NamedTuple):
    """Texts of a class and the width of their vectors, as published."""

    number: int
    width: int


TEXTS = {"synse": Texts(2, 1024), "msf": Texts(3, 512), "smie": Texts(1, 768)}
ROUND_LENGTHS = {"synse": 1700, "msf": 1700}  # of this split


def schedule_of(method: str) -> Schedule:
    """Return the published schedule."""
    schedule = Schedule(**SKELETON_TEXT_SCHEDULES[method])
    return schedule._replace(round_length=ROUND_LENGTHS.get(method, schedule.round_length))


def measure(method: str, *, share: float) -> None:
    """Train a share of the rounds and print the cost of a step and of all rounds."""
    schedule, (number, width) = schedule_of(method), TEXTS[method]
    torch.manual_seed(0)
    table = FeatureTable.of(torch.rand(CLIPS, WIDTH), torch.randint(CLASSES, (CLIPS,)))
    texts = F.normalize(torch.randn(CLASSES, number, width), dim=-1)
    sizes = Sizes(
        skeleton_width=WIDTH, text_width=width, num_texts=number, num_classes=CLASSES, latent=LATENT, layout="ntu-25"
    )
    model = METHODS[method](sizes, published=frozenset(), seed=0)
    rounds = max(1, round(share * schedule.rounds))
    with tempfile.TemporaryDirectory() as folder:
        work = partial(train, model, table, texts, schedule, folder=Path(folder), last_round=rounds)
        cost = cost_of(work)
    steps, whole = rounds * schedule.steps_of_round(CLIPS), schedule.rounds / rounds
    for title, value, unit in (
        (f"a step of {steps}", 1e3 / steps, "ms"),
        (f"all {schedule.rounds} rounds", whole / 60, "min"),
    ):
        print(
            f"{method:6} {title:15} {value * cost.wall:6.1f} {unit} wall {value * cost.cpu:6.1f} {unit} CPU", flush=True
        )


def arguments(flags: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    p = parser(__doc__ or "")
    p.add_argument("--methods", nargs="+", choices=tuple(TEXTS), default=tuple(TEXTS), help="methods to measure")
    p.add_argument("--share", type=float, default=0.1, help="of the rounds that are trained")
    p.add_argument("--threads", type=positive, default=2, help="CPU threads")
    return p.parse_args(flags)


def main(flags: Sequence[str] | None = None) -> None:
    """Measure the methods, one after the other."""
    args = arguments(flags)
    torch.set_num_threads(args.threads)
    for method in args.methods:
        measure(method, share=args.share)


if __name__ == "__main__":
    run(main)
