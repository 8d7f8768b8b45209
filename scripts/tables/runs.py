"""The commands behind a row of a table: which stages are run, with which flags, in which folders."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TypeVar

from scripts.tables.jobs import Step
from scripts.tables.rows import Distilled, FineTuned, NotBuilt, Row, SkeletonAligned, ZeroTraining
from ski_lvlm.recipe import paper_alpha

Word = TypeVar("Word", str, str | Path)
ROTATIONS = ("synthetic", "synthetic/1", "synthetic/2")


@dataclass(frozen=True)
class Scale:
    """Flags beyond the commands' own defaults, which are the paper's."""

    backbone: str = ""  # of the students; empty: the command's default
    text_encoder: str = ""  # of students and SkeletonCLIP
    student: str = ""
    skeletons: str = ""  # both skeleton stages
    skeleton_pretrain: str = ""
    skeleton_align: str = ""
    video_finetune: str = ""
    distill: str = ""
    evaluation: str = ""
    frames: str = ""  # of the cache; empty: videos are decoded
    repeats: int = 1  # of the rows that are trained more than once


PAPER = Scale()
# Each run takes a minute or so: a killed one starts anew, and no time and disk go into checkpoints.
# Rates and epochs were chosen by the loss on the first split's seen classes.
_SKELETONS = "--batch_size 8 --per_device_train_batch_size 8 --save_strategy no"
_VIDEOS = "--learning_rate 1e-4 --augment False --batch_size 16 --per_device_train_batch_size 16 --save_strategy no"
SYNTHETIC = Scale(
    backbone="efficientnet-lite0",
    text_encoder="minilm",
    student="--num_frames 4 --side 96",
    skeletons=f"--num_frames 32 {_SKELETONS}",
    skeleton_pretrain="--num_heads 1 --head_dim 24 --depth 6 --strided 2 4 --num_train_epochs 6 --optim adamw_torch "
    "--learning_rate 3e-3 --lr_scheduler_type cosine --warmup_steps 0.15",
    skeleton_align="--num_train_epochs 4 --learning_rate 3e-3",
    video_finetune=f"--num_train_epochs 5 --warmup_steps 0.1 {_VIDEOS}",
    distill=f"--num_train_epochs 2 --untrained_rate 30 {_VIDEOS}",
    evaluation="--clips all",
    frames="--num_frames 12 --side 96 --framing centre",
    repeats=3,
)


def with_backbone(scale: Scale, backbone: str) -> Scale:
    """The scale with another backbone at its own resolution, whose text tower SkeletonCLIP takes too."""
    student = " ".join(_without(scale.student.split(), "--side"))
    frames = " ".join(_without(scale.frames.split(), "--side") + ["--side", "224"]) if scale.frames else ""
    return replace(scale, backbone=backbone, text_encoder=backbone, student=student, frames=frames)


def _without(words: Sequence[Word], flag: str) -> list[Word]:
    return [w for i, w in enumerate(words) if w != flag and (i == 0 or words[i - 1] != flag)]


@dataclass(frozen=True)
class Replicate:
    """One of several trainings of a row: on the synthetic set with other unseen classes, on NTU with another seed."""

    split: str
    seed: int

    @property
    def folder(self) -> str:
        """Where its runs lie, below the tables' folder."""
        return f"{self.split.replace('/', '_')}/seed_{self.seed}"


def replicates(column: str, count: int) -> list[Replicate]:
    """The `count` trainings behind one number of a column.

    >>> [r.split for r in replicates("synthetic", 4)]
    ['synthetic', 'synthetic/1', 'synthetic/2', 'synthetic']
    """
    splits = ROTATIONS if column == "synthetic" else (column,)
    return [Replicate(splits[seed % len(splits)], seed) for seed in range(count)]


@dataclass(frozen=True)
class Plan:
    """Where the data lies, what makes it if it is not there, how large the runs are, and where they go."""

    ntu: Path
    prepared: Path
    frames: Path | None
    out: Path
    scale: Scale
    data_steps: tuple[Step, ...] = ()

    def evaluation(self, row: Row, replicate: Replicate) -> Step | str:
        """The last step of one number, which needs all others; or why there is none."""
        match row.made:
            case NotBuilt(reason):
                return reason
            case ZeroTraining() if self.scale.text_encoder and self.scale.text_encoder != self.scale.backbone:
                return f"{self.scale.backbone} was not pretrained together with a text tower"
            case ZeroTraining():
                trained = self._video_finetune("vificlip", replicate, untrained=True)
            case SkeletonAligned():
                trained = self._skeleton_align(replicate)
            case FineTuned(student):
                trained = self._video_finetune(student, replicate)
            case Distilled():
                trained = self._distill(row.made, replicate)
        folder = trained.folder / f"zero_shot_{row.modality}"
        command: list[str | Path] = ["eval/zero_shot.py", "--model", trained.folder, "--split", replicate.split]
        command += ["--modality", row.modality, "--out", folder, *self._videos(), *self.scale.evaluation.split()]
        if row.modality != "video":
            command += ["--prepared", self.prepared]
        return Step(tuple(command), "zero_shot.json", self.out, folder, (trained,))

    def _videos(self) -> list[str | Path]:
        cached: list[str | Path] = ["--frames_cache", self.frames] if self.frames else []
        return ["--ntu", self.ntu, *cached]

    def _train(
        self,
        stage: str,
        name: str,
        replicate: Replicate,
        *flags: str | Path,
        needs: tuple[Step, ...] = (),
        untrained: bool = False,
    ) -> Step:
        folder = self.out / replicate.folder / (f"{name}-untrained" if untrained else name)
        command: list[str | Path] = ["train_ski_vlm.py", "--stage", stage, "--split", replicate.split]
        command += [*_without(flags, "--num_train_epochs"), "--num_train_epochs", "0"] if untrained else flags
        command += ["--output_dir", folder]
        command += ["--seed", str(replicate.seed)] if replicate.seed else []
        return Step(tuple(command), "result.json", self.out, folder, self.data_steps + needs)

    def _skeleton_pretrain(self, replicate: Replicate, *, untrained: bool = False) -> Step:
        flags = f"{self.scale.skeletons} {self.scale.skeleton_pretrain}".split()
        name = "skeleton_pretrain"
        return self._train(name, name, replicate, "--prepared", self.prepared, *flags, untrained=untrained)

    def _skeleton_align(self, replicate: Replicate, *, text: str = "frozen", scale: str = "published") -> Step:
        encoder = self._skeleton_pretrain(replicate)
        flags = f"{self.scale.skeletons} {self.scale.skeleton_align} {self._text('--text_encoder')}".split()
        changed = {"text": text} if text != "frozen" else {}
        changed |= {"scale": scale} if scale != "published" else {}
        flags += [word for key, value in changed.items() for word in (f"--{key}", value)]
        name = "-".join(["skeleton_align", *(f"{key}_{value}" for key, value in changed.items())])
        folders = ("--prepared", self.prepared, "--skeleton_encoder", encoder.folder)
        return self._train("skeleton_align", name, replicate, *folders, *flags, needs=(encoder,))

    def _text(self, flag: str) -> str:
        return f"{flag} {self.scale.text_encoder}" if self.scale.text_encoder else ""

    def _video_finetune(self, student: str, replicate: Replicate, *, untrained: bool = False) -> Step:
        own_text = self.scale.text_encoder == self.scale.backbone
        backbone = f"--backbone {self.scale.backbone}" if self.scale.backbone else ""
        text = "" if own_text else self._text("--text_encoder")
        flags = f"--student {student} {backbone} {text} {self.scale.student} {self.scale.video_finetune}".split()
        return self._train("video_finetune", student, replicate, *self._videos(), *flags, untrained=untrained)

    def _distill(self, made: Distilled, replicate: Replicate) -> Step:
        if made.alpha == paper_alpha(replicate.split):
            made = replace(made, alpha=None)  # the same run as one that says nothing of alpha
        student = self._video_finetune(made.student, replicate, untrained=not made.video_finetuned)
        if made.skeletons == "aligned":
            teacher = self._skeleton_align(replicate, text=made.teacher_text, scale=made.scale)
        else:
            teacher = self._skeleton_pretrain(replicate, untrained=made.skeletons == "untrained")
        flags: list[str | Path] = ["--video_student", student.folder, "--skeleton_clip", teacher.folder]
        flags += [*self._videos(), "--prepared", self.prepared]
        flags += ["--batch_norm", "trained"] if made.skeletons == "untrained" else []
        changed = _changes(made)
        starts = ("video_finetuned", "skeletons")  # said by --video_student and --skeleton_clip
        flags += [word for key, value in changed.items() if key not in starts for word in (f"--{key}", value)]
        name = "-".join([f"ski_{made.student}", *(f"{key}_{value}" for key, value in changed.items())])
        return self._train("distill", name, replicate, *flags, *self.scale.distill.split(), needs=(student, teacher))


def _changes(made: Distilled) -> dict[str, str]:
    """What differs from SKI-VLM with this student, as words for flags and folders."""
    usual = asdict(Distilled(student=made.student))
    changed = {name: value for name, value in asdict(made).items() if value != usual[name]}
    return {name: f"{value:g}" if name == "alpha" else str(value) for name, value in changed.items()}
