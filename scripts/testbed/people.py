"""Series on real people: gestures across persons and across distances, with given or estimated skeletons.

The classes are those of training, and the persons or the distance are new. So a student either knows a gesture of
somebody new, or not.
"""

from dataclasses import replace
from pathlib import Path
from typing import Literal

from scripts.tables.jobs import Step
from scripts.tables.methods import SKI_VIFICLIP, FineTuned, Recogniser, SkeletonAligned
from scripts.tables.recognition_plan import RecognitionPlan, Replicate
from scripts.tables.rows import Row
from scripts.tables.scales import SMALL, with_value
from scripts.testbed.recognition import SKI, STUDENT, TEACHER, TWIN, Series
from scripts.testbed.sizes import Sizes

PROTOCOLS = ("people_1_2", "people_3_4", "people_5_6", "people_7_8", "people_9_10", "far")
ACROSS_PEOPLE, ACROSS_DISTANCE = PROTOCOLS[:-1], PROTOCOLS[-1:]
# Assumption: all clips of a protocol's training persons are seen, so there is no split.
# Twelve teachers have to fit the budget of docs/evidence.md, so they see fewer frames and epochs than those of SMALL.
# Students stay at the loss of guessing for seven epochs. Two epochs would be few steps for the SKI students.
SCALE = replace(
    SMALL,
    skeletons=with_value(SMALL.skeletons, "--num_frames", 32),
    skeleton_pretrain=with_value(SMALL.skeleton_pretrain, "--num_train_epochs", 12),
    skeleton_align=with_value(SMALL.skeleton_align, "--num_train_epochs", 6),
    video_finetune=with_value(SMALL.video_finetune, "--num_train_epochs", 15),
    distill=with_value(SMALL.distill, "--num_train_epochs", 3),
    frames="--num_frames 12 --side 96 --framing centre",
    evaluation="--closed_set",
)
GIVEN, ESTIMATED = "given", "estimated"


def people_series(data: Path, out: Path, sizes: Sizes) -> list[Series]:
    """Return student, twin, SKI student and teacher by protocol, with the skeletons of a data set's folder.

    SKI student and teacher come once more with skeletons that this repository estimates from the videos.
    """
    crops, frames = _frames_of_persons(data, out)
    estimates = out / "people" / "skeletons"
    words = ("scripts/estimate_skeletons.py", "--data", str(data), "--out", estimates)
    estimate = Step(words, "index.json", out, estimates)
    plan = RecognitionPlan(None, None, frames.folder, out / "people", SCALE, (crops, frames), data=str(data))
    estimated = replace(plan, prepared=estimates, variant=ESTIMATED, skeleton_steps=(estimate,))
    series = []
    for kind, protocols in (("persons", ACROSS_PEOPLE), ("distance", ACROSS_DISTANCE)):
        trainings = tuple(Replicate("", seed, protocol) for seed in range(sizes.curve_seeds) for protocol in protocols)
        student, twin = (f"{name}, new {kind}" for name in (STUDENT, TWIN))
        rows: list[tuple[Row[Recogniser], RecognitionPlan]] = [
            (_row(student, FineTuned("vificlip")), plan),
            (_row(twin, replace(SKI_VIFICLIP, alpha=0), student), plan),
        ]
        for origin, source in ((GIVEN, plan), (ESTIMATED, estimated)):
            end = f", {origin} skeletons, new {kind}"
            rows.append((_row(f"{SKI}{end}", SKI_VIFICLIP, twin, student), source))
            rows.append((_row(f"{TEACHER}{end}", SkeletonAligned(), student, modality="skeleton"), source))
        series += [Series(row, source, trainings) for row, source in rows]
    return series


def _frames_of_persons(data: Path, out: Path) -> tuple[Step, Step]:
    """Return the steps that crop the persons and cache frames of the crops: at six metres a hand is two pixels."""
    crops, frames = out / "people" / "crops", out / "people" / "frames"
    words: list[str | Path] = ["data_curation/build.py", "--data", str(data), "--prepared", str(data), "--part", "all"]
    words += ["--crop", "static", "--captioner", "kinematics", "--qa", "template", "--pairs_per_clip", "1"]
    crop = Step((*words, "--out", crops), "summary.json", out, crops)
    words = ["scripts/cache_frames.py", "--ntu", crops / "crops", *SCALE.frames.split()]
    return crop, Step((*words, "--out", frames), "frames.json", out, frames, (crop,))


def _row(
    name: str, method: Recogniser, *against: str, modality: Literal["video", "skeleton"] = "video"
) -> Row[Recogniser]:
    return Row((name,), (), method, modality=modality, against=against)
