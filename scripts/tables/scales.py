"""Sizes of the runs behind the tables: the paper's, the miniature, and one for some hundred genuine clips."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from scripts.miniature import MINIATURE
from scripts.tables.methods import SkeletonEncoder

Word = TypeVar("Word", str, str | Path)


@dataclass(frozen=True)
class Scale:
    """Flags beyond the commands' own defaults, which are the paper's."""

    backbone: str = ""  # of the students; empty: the command's default
    text_encoder: str = ""  # of students and SkeletonCLIP
    student: str = ""
    skeletons: str = ""  # both skeleton stages
    skeleton_pretrain: str = ""
    shift_gcn: str = ""  # its pretraining, in place of Hyperformer's
    skeleton_align: str = ""
    skeleton_text: Mapping[str, str] = field(default_factory=dict)  # by method
    skeleton_text_of: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # by split and method, beside these
    skeleton_text_encoder: SkeletonEncoder = "shift_gcn"  # of rows that name none
    video_finetune: str = ""
    distill: str = ""
    evaluation: str = ""
    frames: str = ""  # of the cache; empty: videos are decoded
    repeats: int = 1  # of the rows that are trained more than once

    def skeleton_text_flags(self, method: str, split: str) -> str:
        """Return the flags of a skeleton-text method on a split."""
        return f"{self.skeleton_text.get(method, '')} {self.skeleton_text_of.get(split, {}).get(method, '')}".strip()


# Schedules that differ between splits (published), and the published text encoders. SMIE's code does not say which
# Sentence-BERT of 768 numbers it takes. Assumption: that one.
_SHORT_CYCLES = {"synse": "--round_length 1700", "msf": "--round_length 1700"}
_FEWER_EPOCHS = {"star": "--rounds 30"}
PAPER = Scale(
    skeleton_text={
        "synse": "--text_encoder sentence-transformers/stsb-bert-large",
        "msf": "--text_encoder openai/clip-vit-base-patch32",
        "smie": "--text_encoder sentence-transformers/stsb-bert-base",
        "star": "--text_encoder openai/clip-vit-large-patch14-336",
    },
    skeleton_text_of={
        "ntu60/55-5": _SHORT_CYCLES,
        "ntu120/110-10": _FEWER_EPOCHS,
        "ntu120/96-24": _FEWER_EPOCHS,
    },
)
# A run takes a minute or so: after a crash it starts anew, so checkpoints would cost time and disk for nothing.
_VIDEOS = f"{MINIATURE['videos']} --save_strategy no"
SYNTHETIC = Scale(
    backbone=MINIATURE["backbone"],
    text_encoder=MINIATURE["text_encoder"],
    student=MINIATURE["student"],
    skeletons=f"{MINIATURE['skeletons']} --save_strategy no",
    skeleton_pretrain=MINIATURE["skeleton_pretrain"],
    shift_gcn=MINIATURE["shift_gcn"],
    skeleton_align=MINIATURE["skeleton_align"],
    skeleton_text={method: MINIATURE[method] for method in ("synse", "msf", "smie", "star")},
    skeleton_text_encoder="hyperformer",
    video_finetune=f"--num_train_epochs 5 --warmup_steps 0.1 {_VIDEOS}",
    distill=f"--num_train_epochs 2 --untrained_rate 30 {_VIDEOS}",
    evaluation="--clips all",
    frames=f"{MINIATURE['frames']} --framing centre",
    repeats=3,
)
# A narrow encoder for a data set of some hundred clips, which is trained in minutes. Students are as in miniature.
SMALL = replace(
    SYNTHETIC,
    skeletons="--num_frames 48 --batch_size 16 --per_device_train_batch_size 16 --optim adamw_torch --save_strategy no "
    "--lr_scheduler_type cosine --dataloader_num_workers 0 --disable_tqdm True",
    skeleton_pretrain="--num_heads 3 --depth 6 --strided 2 4 --num_train_epochs 25 --learning_rate 2e-3 "
    "--warmup_steps 0.1",
    shift_gcn="--widths 24 24 24 48 48 48 --strided 2 4 --num_train_epochs 25 --learning_rate 2e-3 --warmup_steps 0.1",
    skeleton_align="--num_train_epochs 12 --learning_rate 1e-3",
    frames="",
)
SCALES = {"paper": PAPER, "miniature": SYNTHETIC, "small": SMALL}


def with_backbone(scale: Scale, backbone: str) -> Scale:
    """Return the scale with another backbone at its own resolution, whose text tower SkeletonCLIP takes too."""
    student = " ".join(without(scale.student.split(), "--side"))
    frames = " ".join(without(scale.frames.split(), "--side") + ["--side", "224"]) if scale.frames else ""
    return replace(scale, backbone=backbone, text_encoder=backbone, student=student, frames=frames)


def with_value(words: str, flag: str, value: int) -> str:
    """Return flags with another value of one of them.

    >>> with_value("--num_frames 32 --learning_rate 1e-3", "--num_frames", 24)
    '--num_frames 24 --learning_rate 1e-3'

    Raises:
        ValueError: the flag is not among them.
    """
    parts = words.split()
    if flag not in parts:
        raise ValueError(f"{words!r} has no {flag}, which was to become {value}")
    parts[parts.index(flag) + 1] = str(value)
    return " ".join(parts)


def without(words: Sequence[Word], flag: str) -> list[Word]:
    """Return a command without a flag and its value."""
    return [w for i, w in enumerate(words) if w != flag and (i == 0 or words[i - 1] != flag)]
