"""The commands behind Table 3: skeleton encoders and features once, then training, captions and grades of each row."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from scripts.tables import runs as table_runs
from scripts.tables.jobs import Step
from ski_lvlm.recipe import SkiLvlmRecipe

Encoder = Literal["pretrained", "aligned"]
VISION_TOWER = "openai/clip-vit-large-patch14"


@dataclass(frozen=True)
class Published:
    """Video-ChatGPT's published projector: nothing is trained."""


@dataclass(frozen=True)
class Trained:
    """SKI-LVLM trained on video alone, or with a skeleton encoder's tokens in all samples but a share `dropout`."""

    skeletons: Encoder | None = None
    dropout: float = 0.0

    @property
    def name(self) -> str:
        """Of its folder."""
        dropout = f"-dropout_{self.dropout:g}" if self.dropout else ""
        return f"video-skeletons_{self.skeletons}{dropout}" if self.skeletons else "video"


@dataclass(frozen=True)
class Scale:
    """Flags beyond the commands' own defaults, which are the paper's."""

    skeletons: table_runs.Scale
    split: str  # the seen classes that the skeleton encoders learn
    dataset: str  # of scripts/prepare_ntu.py
    video_features: str = ""
    skeleton_features: str = ""
    train: str = ""
    describe: str = ""
    limit: int | None = None  # videos that are described; None: all
    seeds: int = 1


# Assumption: the paper does not say on which classes of NTU120 the skeleton encoders of its LVLM were trained.
# NTU lacks 535 skeletons: their clips are left out of training, and counted in its log.
PAPER = Scale(table_runs.PAPER, "ntu120/110-10", "auto", train="--bf16 True --skip_missing True")
# As in the quickstart, but that a killed training of two minutes starts anew and spares its checkpoints.
SYNTHETIC = Scale(
    table_runs.SYNTHETIC,
    "synthetic",
    "synthetic",
    video_features="--vision_tower efficientnet-lite0 --num_frames 16 --framing centre",
    skeleton_features="--skeleton_tokens 8",
    train="--base_llm smollm2 --standardise True --batch_size 4 --num_train_epochs 1.25 --learning_rate 3e-3 "
    "--save_strategy no",
    describe="--max_new_tokens 48",
    limit=60,
    seeds=3,
)


class Source(NamedTuple):
    """A file or folder, and the step that makes it if it was not given."""

    path: Path
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True)
class Plan:
    """What the rows share, how large the runs are, who grades, and where everything goes.

    `train` and `describe` are the scale's flags with those of the command; `judge` is who grades, at `base_url`.
    """

    out: Path
    scale: Scale
    instructions: Source
    questions: Source
    videos: Source
    video_features: Source
    prepared: Source
    encoders: dict[Encoder, Source]
    judge: str
    base_url: str | None = None
    baseline_weights: Path | None = None
    train: str = ""
    describe: str = ""

    def grades(self, made: Published | Trained, seed: int) -> Step | str:
        """The last step of one training of a row, which needs all others; or why there is none."""
        match made:
            case Published() if self.baseline_weights is None:
                return "not run: its weights were not given (--baseline_weights)"
            case Published():
                return self._score(self._describe("published", self._baseline(self.baseline_weights), ()))
            case Trained():
                trained = self._train(made, seed)
                name = f"{made.name}/seed_{seed}"
                return self._score(self._describe(name, ("--model", trained.folder), (trained,)))

    def _score(self, captions: Step) -> Step:
        words: list[str | Path] = ["--predictions", captions.folder / captions.product, "--judge", self.judge]
        words += ["--base_url", self.base_url] if self.base_url else []
        name = f"{captions.title}/graded_by_{self.judge.replace('/', '_').replace(':', '_')}"
        folder = self.out / name
        # in a folder below the step's, since both hold theirs for themselves while they work
        words += ["--videos", self.videos.path, "--out", folder / "scores"]
        return Step(("eval/score.py", *words), "scores/scores.json", self.out, folder, (captions,))

    def _describe(self, name: str, model: tuple[str | Path, ...], needs: tuple[Step, ...]) -> Step:
        folder = self.out / name / "captions"
        words: list[str | Path] = [*model, "--videos", self.videos.path, "--questions", self.questions.path]
        words += [*self.describe.split(), "--out", folder / "predictions.json"]
        needs += self.videos.steps + self.questions.steps
        return Step(("eval/describe.py", *words), "predictions.json", self.out, folder, needs)

    def _baseline(self, weights: Path | None) -> tuple[str | Path, ...]:
        start = ("--baseline", "video-chatgpt", "--projector_weights", weights or "")
        return *start, "--base_llm", SkiLvlmRecipe.base_llm, "--vision_tower", VISION_TOWER

    def _train(self, made: Trained, seed: int) -> Step:
        features = self._features(made.skeletons) if made.skeletons else self.video_features
        folder = self.out / made.name / f"seed_{seed}" / "model"
        words: list[str | Path] = ["--instructions", self.instructions.path, "--features", features.path]
        words += ["--modalities", "video,skeleton" if made.skeletons else "video"]
        words += ["--skeleton_dropout", f"{made.dropout:g}"] if made.dropout else []
        words += [*self.train.split(), "--seed", str(seed), "--output_dir", folder]
        needs = self.instructions.steps + features.steps
        return Step(("train_ski_lvlm.py", *words), "result.json", self.out, folder, needs)

    def _features(self, encoder: Encoder) -> Source:
        """Skeleton tokens of an encoder beside the video tokens that all rows share."""
        made_by = self.encoders[encoder]
        skeletons = self.out / f"skeleton_features_{encoder}"
        words: list[str | Path] = ["--modalities", "skeleton", "--prepared", self.prepared.path]
        words += ["--clips", self.instructions.path, "--skeleton_encoder", made_by.path]
        words += [*self.scale.skeleton_features.split(), "--out", skeletons]
        needs = self.prepared.steps + self.instructions.steps + made_by.steps
        extract = Step(("scripts/extract_features.py", *words), "features.json", self.out, skeletons, needs)
        both = self.out / f"features_{encoder}"
        joined = ("scripts/join_features.py", "--video", self.video_features.path, "--skeleton", skeletons)
        needs = (extract, *self.video_features.steps)
        return Source(both, (Step((*joined, "--out", both), "features.json", self.out, both, needs),))
