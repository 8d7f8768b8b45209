"""Commands behind a row of a recognition table: the stages, with their flags and folders."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path

from scripts.tables.jobs import Step
from scripts.tables.methods import (
    Distilled,
    FineTuned,
    LateFusion,
    Recogniser,
    SkeletonAligned,
    SkeletonEncoder,
    SkeletonText,
    Taught,
    ZeroTraining,
)
from scripts.tables.rows import Row
from scripts.tables.scales import Scale, without
from ski_lvlm.recipe import paper_alpha

ROTATIONS = ("synthetic", "synthetic/1", "synthetic/2")


@dataclass(frozen=True)
class Replicate:
    """One of several trainings of a row: on the synthetic set with other unseen classes, on NTU with another seed.

    Without a split all classes are seen. Without a protocol it is the data set's first.
    """

    split: str
    seed: int
    protocol: str = ""

    @property
    def folder(self) -> str:
        """The folder of its runs, below that of the tables."""
        parts = [part.replace("/", "_") for part in (self.split, self.protocol) if part]
        return f"{'-'.join(parts)}/seed_{self.seed}"

    @property
    def flags(self) -> tuple[str, ...]:
        """The flags that choose its classes and clips."""
        split = ("--split", self.split) if self.split else ()
        return (*split, "--protocol", self.protocol) if self.protocol else split


@dataclass(frozen=True)
class TestClips:
    """Clips of a folder of their own that a trained model is tested on, and the steps that make them."""

    name: str
    ntu: Path
    prepared: Path
    frames: Path
    steps: tuple[Step, ...] = ()


def replicates(column: str, count: int) -> list[Replicate]:
    """Return the `count` trainings behind one number of a column.

    >>> [r.split for r in replicates("synthetic", 4)]
    ['synthetic', 'synthetic/1', 'synthetic/2', 'synthetic']
    """
    splits = ROTATIONS if column == "synthetic" else (column,)
    return [Replicate(splits[seed % len(splits)], seed) for seed in range(count)]


@dataclass(frozen=True)
class RecognitionPlan:
    """Data and results of recognition tables, the steps that make missing data, and the size of the runs.

    `variant` tells runs apart that look at other skeletons of the same clips, which `skeleton_steps` make.
    """

    ntu: Path | None
    prepared: Path | None
    frames: Path | None
    out: Path
    scale: Scale
    data_steps: tuple[Step, ...] = ()
    data: str = ""  # folder of a data set that has videos and skeletons itself
    variant: str = ""
    skeleton_steps: tuple[Step, ...] = ()

    def evaluation(self, row: Row[Recogniser], replicate: Replicate, *, test: TestClips | None = None) -> Step | str:
        """Return the last step of one number, which needs all others, or the reason why there is none.

        `test` names other clips than those of the training's data set.
        """
        model = self.model(row.method, replicate)
        if isinstance(model, str):
            return model
        name = f"zero_shot_{row.modality}"
        plan = self
        if test:
            name += f"-{test.name}"
            plan = replace(self, ntu=test.ntu, prepared=test.prepared, frames=test.frames, data_steps=test.steps)
        folder = model.folder / name
        command: list[str | Path] = ["eval/zero_shot.py", "--model", model.folder, *replicate.flags]
        command += ["--modality", row.modality, "--out", folder, *plan._videos(), *self.scale.evaluation.split()]
        if row.modality != "video":
            command += plan._skeletons()
        needs: tuple[Step, ...] = (model, *(test.steps if test else ()))
        if isinstance(row.method, LateFusion):
            teacher = self._skeleton_model(row.method.teacher, replicate)
            command += ["--skeleton_model", teacher.folder]
            needs += (teacher,)
        return Step(tuple(command), "zero_shot.json", self.out, folder, needs)

    def model(self, method: Recogniser, replicate: Replicate) -> Step | str:
        """Return the step that trains a model, or the reason why there is none."""
        match method:
            case ZeroTraining() if self.scale.text_encoder and self.scale.text_encoder != self.scale.backbone:
                return f"{self.scale.backbone} was not pretrained together with a text tower"
            case ZeroTraining():
                return self._video_finetune("vificlip", replicate, untrained=True)
            case SkeletonAligned() | SkeletonText():
                return self._skeleton_model(method, replicate)
            case Taught():
                return self._taught(method, replicate)
            case FineTuned(student) | LateFusion(student):
                return self._video_finetune(student, replicate)
            case Distilled():
                return self._distill(method, replicate)

    def _videos(self) -> list[str | Path]:
        cache: list[str | Path] = ["--frames_cache", self.frames] if self.frames else []
        return ["--ntu", self.ntu, *cache] if self.ntu else ["--data", self.data, *cache]

    def _skeletons(self) -> list[str | Path]:
        return ["--prepared", self.prepared] if self.prepared else []

    def _train(
        self,
        stage: str,
        name: str,
        replicate: Replicate,
        *flags: str | Path,
        needs: tuple[Step, ...] = (),
        untrained: bool = False,
    ) -> Step:
        if stage != "video_finetune":
            name += f"-{self.variant}" if self.variant else ""
            needs = self.skeleton_steps + needs
        folder = self.out / replicate.folder / (f"{name}-untrained" if untrained else name)
        command: list[str | Path] = ["train_ski_vlm.py", "--stage", stage, *replicate.flags]
        command += [*without(flags, "--num_train_epochs"), "--num_train_epochs", "0"] if untrained else flags
        command += ["--output_dir", folder]
        command += ["--seed", str(replicate.seed)] if replicate.seed else []
        return Step(tuple(command), "result.json", self.out, folder, self.data_steps + needs)

    def _skeleton_pretrain(
        self, replicate: Replicate, *, encoder: SkeletonEncoder = "hyperformer", untrained: bool = False
    ) -> Step:
        stage, changes = "skeleton_pretrain", _encoder_change(encoder)
        size = self.scale.skeleton_pretrain if encoder == "hyperformer" else self.scale.shift_gcn
        flags = [*f"{self.scale.skeletons} {size}".split(), *_as_flags(changes)]
        name = _as_name(stage, changes)
        return self._train(stage, name, replicate, *self._skeleton_data(), *flags, untrained=untrained)

    def _skeleton_model(self, method: SkeletonAligned | SkeletonText, replicate: Replicate) -> Step:
        if isinstance(method, SkeletonText):
            return self._skeleton_text(method, replicate)
        return self._skeleton_align(replicate, encoder=method.encoder)

    def _skeleton_text(self, method: SkeletonText, replicate: Replicate) -> Step:
        network = method.encoder or self.scale.skeleton_text_encoder
        encoder = self._skeleton_pretrain(replicate, encoder=network)
        changes = {"published": method.published} if method.published else {}
        changes |= {"select": method.select} if method.select != "held_out" else {}
        flags = [
            *_as_flags({"method": method.method} | changes),
            *self.scale.skeleton_text_flags(method.method, replicate.split).split(),
        ]
        name = _as_name(method.method, changes | _encoder_change(network))
        folders = (*self._skeleton_data(), "--skeleton_encoder", encoder.folder)
        return self._train("skeleton_text", name, replicate, *folders, *flags, needs=(encoder,))

    def _skeleton_align(
        self,
        replicate: Replicate,
        *,
        text: str = "frozen",
        scale: str = "published",
        encoder: SkeletonEncoder = "hyperformer",
    ) -> Step:
        pretrained = self._skeleton_pretrain(replicate, encoder=encoder)
        changes = {"text": text} if text != "frozen" else {}
        changes |= {"scale": scale} if scale != "published" else {}
        flags = f"{self.scale.skeletons} {self.scale.skeleton_align} {self._text('--text_encoder')}".split()
        flags += _as_flags(changes)
        folders = (*self._skeleton_data(), "--skeleton_encoder", pretrained.folder)
        name = _as_name("skeleton_align", changes | _encoder_change(encoder))
        return self._train("skeleton_align", name, replicate, *folders, *flags, needs=(pretrained,))

    def _skeleton_data(self) -> list[str | Path]:
        return [*(["--data", self.data] if self.data else []), *self._skeletons()]

    def _text(self, flag: str) -> str:
        return f"{flag} {self.scale.text_encoder}" if self.scale.text_encoder else ""

    def _video_finetune(self, student: str, replicate: Replicate, *, untrained: bool = False) -> Step:
        backbone = f"--backbone {self.scale.backbone}" if self.scale.backbone else ""
        text = "" if self.scale.text_encoder == self.scale.backbone else self._text("--text_encoder")
        flags = f"--student {student} {backbone} {text} {self.scale.student} {self.scale.video_finetune}".split()
        return self._train("video_finetune", student, replicate, *self._videos(), *flags, untrained=untrained)

    def _distill(self, method: Distilled, replicate: Replicate) -> Step:
        if method.alpha == paper_alpha(replicate.split):
            method = replace(method, alpha=None)  # the same run as one without --alpha
        student = self._video_finetune(method.student, replicate, untrained=not method.video_finetuned)
        if method.skeletons == "aligned":
            teacher = self._skeleton_align(replicate, text=method.teacher_text, scale=method.scale)
        else:
            teacher = self._skeleton_pretrain(replicate, untrained=method.skeletons == "untrained")
        flags: list[str | Path] = ["--video_student", student.folder, "--skeleton_clip", teacher.folder]
        flags += [*self._videos(), *self._skeletons()]
        flags += ["--batch_norm", "trained"] if method.skeletons == "untrained" else []
        changes = _changes(method)
        starts = ("video_finetuned", "skeletons")  # settled by --video_student and --skeleton_clip
        flags += _as_flags({name: value for name, value in changes.items() if name not in starts})
        name = _as_name(f"ski_{method.student}", changes)
        return self._train("distill", name, replicate, *flags, *self.scale.distill.split(), needs=(student, teacher))

    def _taught(self, method: Taught, replicate: Replicate) -> Step:
        student = self._video_finetune(method.student, replicate)
        teachers = tuple(self._skeleton_model(teacher, replicate) for teacher in method.teachers)
        flags: list[str | Path] = ["--video_student", student.folder, "--teacher", "offline"]
        flags += ["--skeleton_clip", *(teacher.folder for teacher in teachers), *self._videos(), *self._skeletons()]
        name = f"ski_{method.student}-by_{'+'.join(teacher.folder.name for teacher in teachers)}"
        return self._train("distill", name, replicate, *flags, *self.scale.distill.split(), needs=(student, *teachers))


def _changes(method: Distilled) -> dict[str, str]:
    """Return what differs from SKI-VLM with this student, as words for flags and folders."""
    usual = asdict(Distilled(student=method.student))
    changes = {name: value for name, value in asdict(method).items() if value != usual[name]}
    return {name: f"{value:g}" if name == "alpha" else str(value) for name, value in changes.items()}


def _encoder_change(encoder: SkeletonEncoder) -> dict[str, str]:
    return {} if encoder == "hyperformer" else {"encoder": encoder}


def _as_flags(changes: dict[str, str]) -> list[str]:
    return [word for name, value in changes.items() for word in (f"--{name}", value)]


def _as_name(start: str, changes: dict[str, str]) -> str:
    return "-".join([start, *(f"{name}_{value}" for name, value in changes.items())])
