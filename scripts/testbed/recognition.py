"""Series of the testbed's recognition parts: SKI-VLM, its teachers, and curves over α, skeletons and difficulty."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from scripts.tables.jobs import Step
from scripts.tables.methods import (
    SKI_FROSTER,
    SKI_VIFICLIP,
    SKI_XCLIP,
    Distilled,
    FineTuned,
    LateFusion,
    Recogniser,
    SkeletonAligned,
    SkeletonText,
    Taught,
)
from scripts.tables.recognition_plan import RecognitionPlan, Replicate, TestClips
from scripts.tables.rows import Row
from scripts.testbed.sizes import Sizes
from scripts.testbed.world import World, as_test_clips, test_worlds, training_world

STUDENT, TWIN, SKI = "student", "twin: α = 0", "SKI student"
TEACHER, FUSION = "SkeletonCLIP", "student with SkeletonCLIP at test"
ALPHAS = (0.01, 0.1, 1.0, 100.0)  # besides the 10 of the main series
SHARES = (0.1, 0.3)  # besides 1
STUDENTS = {"FROSTER": SKI_FROSTER, "X-CLIP": SKI_XCLIP}  # besides ViFi-CLIP
TEACHERS: dict[str, SkeletonAligned | SkeletonText] = {
    "Shift-GCN-CLIP": SkeletonAligned("shift_gcn"),
    "SynSE": SkeletonText("synse", select="last"),
    "SMIE": SkeletonText("smie", select="last"),
    "STAR": SkeletonText("star", select="last"),
}
Modality = Literal["video", "skeleton", "both"]


@dataclass(frozen=True)
class Series:
    """The trainings of one row on all rotations, with the clips that they are tested on."""

    row: Row[Recogniser]
    plan: RecognitionPlan
    replicates: tuple[Replicate, ...]
    test: TestClips | None = None

    @property
    def name(self) -> str:
        """The name of the row."""
        return self.row.name

    def evaluations(self) -> dict[Replicate, Step]:
        """Return the last step of each training."""
        steps = {one: self.plan.evaluation(self.row, one, test=self.test) for one in self.replicates}
        return {one: step for one, step in steps.items() if isinstance(step, Step)}


def replicates(sizes: Sizes, seeds: int) -> tuple[Replicate, ...]:
    """Return the trainings of a row: each rotation with each seed."""
    return tuple(Replicate(split, seed) for seed in range(seeds) for split in sizes.splits)


def world_plan(world: World, sizes: Sizes) -> RecognitionPlan:
    """Return the plan of the models that are trained in a world."""
    frames, whole = world.frames(sizes.scale.frames), replace(world, share=1.0)
    return RecognitionPlan(
        ntu=world.ntu.folder,
        prepared=world.prepared.folder,
        frames=frames.folder,
        out=world.out,
        scale=sizes.scale,
        data_steps=(whole.prepared, frames),
        variant="" if world == whole else f"share_{world.share:g}",
        skeleton_steps=() if world == whole else (world.prepared,),
    )


def main_series(out: Path, sizes: Sizes) -> list[Series]:
    """Return student, twin and SKI student, the teacher, and both of them at test."""
    student = FineTuned("vificlip")
    rows = [
        _row(STUDENT, student),
        _row(TWIN, _with_alpha(0), STUDENT),
        _row(SKI, SKI_VIFICLIP, TWIN, STUDENT),
        _row(TEACHER, SkeletonAligned(), STUDENT, modality="skeleton"),
        _row(FUSION, LateFusion("vificlip", SkeletonAligned()), STUDENT, TEACHER, modality="both"),
    ]
    return _of_rows(rows, out, sizes, seeds=sizes.seeds)


def alpha_series(out: Path, sizes: Sizes) -> list[Series]:
    """Return SKI students over α."""
    rows = [_row(f"α = {alpha:g}", _with_alpha(alpha), TWIN) for alpha in ALPHAS]
    return _of_rows(rows, out, sizes, seeds=sizes.curve_seeds)


def share_series(out: Path, sizes: Sizes) -> list[Series]:
    """Return SKI students and teachers for which a share of the clips has skeletons. The test has all skeletons."""
    trainings, whole = replicates(sizes, sizes.curve_seeds), as_test_clips(training_world(out, sizes), sizes)
    series = []
    for share in SHARES:
        plan = world_plan(training_world(out, sizes, share=share), sizes)
        name = share_name(share)
        series.append(Series(_row(name, SKI_VIFICLIP, TWIN), plan, trainings))
        teacher = _row(f"{TEACHER}, {name}", SkeletonAligned(), modality="skeleton")
        series.append(Series(teacher, plan, trainings, whole))
    return series


def share_name(share: float) -> str:
    """Return the name of the row of SKI students for which a share of the clips has skeletons."""
    return f"skeletons for {share:.0%} of the clips"


def difficulty_series(out: Path, sizes: Sizes) -> list[Series]:
    """Return the main series as they do on clips of other difficulties."""
    plan = world_plan(training_world(out, sizes), sizes)
    trainings = replicates(sizes, sizes.curve_seeds)
    series = []
    for world in test_worlds(out, sizes):
        for name, method in ((TWIN, _with_alpha(0)), (SKI, SKI_VIFICLIP), (TEACHER, SkeletonAligned())):
            against = () if name == TEACHER else (f"{TWIN}, {world.name}",) if name == SKI else ()
            modality: Modality = "skeleton" if name == TEACHER else "video"
            row = _row(f"{name}, {world.name}", method, *against, modality=modality)
            series.append(Series(row, plan, trainings, as_test_clips(world, sizes)))
    return series


def teacher_series(out: Path, sizes: Sizes) -> list[Series]:
    """Return students of other teachers, and these teachers alone."""
    rows = [_row("by SkeletonCLIP, offline", replace(SKI_VIFICLIP, teacher="offline"), TWIN)]
    for name, teacher in TEACHERS.items():
        rows.append(_row(f"by {name}", Taught("vificlip", (teacher,)), TWIN))
        rows.append(_row(name, teacher, modality="skeleton"))
    return _of_rows(rows, out, sizes, seeds=sizes.curve_seeds)


def student_series(out: Path, sizes: Sizes) -> list[Series]:
    """Return the other students of the paper, each with its twin."""
    rows = []
    for name, ski in STUDENTS.items():
        twin = f"{name}, {TWIN}"
        rows.append(_row(name, FineTuned(ski.student)))
        rows.append(_row(twin, replace(ski, alpha=0), name))
        rows.append(_row(f"SKI-{name}", ski, twin, name))
    return _of_rows(rows, out, sizes, seeds=sizes.curve_seeds)


def _of_rows(rows: Sequence[Row[Recogniser]], out: Path, sizes: Sizes, *, seeds: int) -> list[Series]:
    plan = world_plan(training_world(out, sizes), sizes)
    return [Series(row, plan, replicates(sizes, seeds)) for row in rows]


def _with_alpha(alpha: float) -> Distilled:
    return replace(SKI_VIFICLIP, alpha=alpha)


def _row(name: str, method: Recogniser, *against: str, modality: Modality = "video") -> Row[Recogniser]:
    return Row((name,), (), method, modality=modality, against=against)
