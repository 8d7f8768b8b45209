"""Commands behind Table 3: skeleton encoders and features once, then training, captions and grades of each row."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from scripts.miniature import MINIATURE
from scripts.tables import scales
from scripts.tables.jobs import Step
from scripts.tables.methods import Captioner, Encoder, OtherModel, PublishedProjector, TrainedLvlm
from ski_lvlm.recipe import SkiLvlmRecipe

VISION_TOWER = "openai/clip-vit-large-patch14"


@dataclass(frozen=True)
class CaptioningScale:
    """Flags beyond the commands' own defaults, which are the paper's."""

    skeletons: scales.Scale
    split: str  # the seen classes that the skeleton encoders learn
    dataset: str  # of scripts/prepare_ntu.py
    video_features: str = ""
    skeleton_features: str = ""
    train: str = ""
    describe: str = ""
    limit: int | None = None  # videos that are described; None: all
    seeds: int = 1


# Assumption: the paper does not say on which classes of NTU120 the skeleton encoders of its LVLM were trained.
# NTU lacks 535 skeletons: training skips these clips and logs their number.
PAPER = CaptioningScale(scales.PAPER, "ntu120/110-10", "auto", train="--bf16 True --skip_missing True")
SYNTHETIC = CaptioningScale(
    scales.SYNTHETIC,
    "synthetic",
    "synthetic",
    video_features=MINIATURE["video_tokens"],
    skeleton_features=MINIATURE["skeleton_tokens"],
    # after a crash, two minutes of training start anew: checkpoints would cost time and disk for nothing
    train=f"--base_llm {MINIATURE['base_llm']} --standardise True {MINIATURE['lvlm']} --save_strategy no",
    describe=MINIATURE["captions"],
    limit=60,
    seeds=3,
)


class Source(NamedTuple):
    """A file or folder, and the steps that make it if it was not given."""

    path: Path
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True)
class CaptioningPlan:
    """Data that the rows share, the size of the runs, the judge, and the folder of the results.

    `train` and `describe` are the scale's flags with those of the command. `judge` grades at `base_url`. Models of
    `openai:` answer at `add_url`.
    """

    out: Path
    scale: CaptioningScale
    instructions: Source
    questions: Source
    videos: Source
    video_features: Source
    prepared: Source
    encoders: dict[Encoder, Source]
    judge: str
    base_url: str | None = None
    add_url: str | None = None
    baseline_weights: Path | None = None
    train: str = ""
    describe: str = ""

    def trainings(self, method: Captioner, seeds: int) -> dict[int, Step | str]:
        """Return the last step of each training by seed, or the reason why there is none."""
        count = seeds if isinstance(method, TrainedLvlm) else 1
        return {seed: self.grades(method, seed) for seed in range(count)}

    def grades(self, method: Captioner, seed: int) -> Step | str:
        """Return the last step of one training, which needs all others, or the reason why there is none."""
        match method:
            case PublishedProjector() if self.baseline_weights is None:
                return "not run: its weights were not given (--baseline_weights)"
            case PublishedProjector():
                baseline = ("--baseline", "video-chatgpt", "--projector_weights", self.baseline_weights or "")
                towers = ("--base_llm", SkiLvlmRecipe.base_llm, "--vision_tower", VISION_TOWER)
                return self._score(self._describe("published", (*baseline, *towers, *self._kept_tokens), ()))
            case OtherModel(model):
                words: tuple[str | Path, ...] = ("--model", model)
                words += ("--base_url", self.add_url) if self.add_url and model.startswith("openai:") else ()
                return self._score(self._describe(f"other/{_folder_name(model)}", words, ()))
            case TrainedLvlm():
                training = self._train(method, seed)
                name = f"{method.name}/seed_{seed}"
                words = ("--model", training.folder, *self._kept_tokens)
                return self._score(self._describe(name, words, (training,)))

    @property
    def _kept_tokens(self) -> tuple[str | Path, ...]:
        # all rows of the paper have one tower: the first that describes a video keeps its tokens for the others
        return "--features", self.out / "described_features"

    def _score(self, captions: Step) -> Step:
        words: list[str | Path] = ["--predictions", captions.folder / captions.product, "--judge", self.judge]
        words += ["--base_url", self.base_url] if self.base_url else []
        name = f"{captions.title}/graded_by_{_folder_name(self.judge)}"
        folder = self.out / name
        # in a folder below the step's, since the step and the command each lock their folder
        words += ["--videos", self.videos.path, "--out", folder / "scores"]
        return Step(("eval/score.py", *words), "scores/scores.json", self.out, folder, (captions,))

    def _describe(self, name: str, model: tuple[str | Path, ...], needs: tuple[Step, ...]) -> Step:
        folder = self.out / name / "captions"
        words: list[str | Path] = [*model, "--videos", self.videos.path, "--questions", self.questions.path]
        words += [*self.describe.split(), "--out", folder / "predictions.json"]
        needs += self.videos.steps + self.questions.steps
        return Step(("eval/describe.py", *words), "predictions.json", self.out, folder, needs)

    def _train(self, method: TrainedLvlm, seed: int) -> Step:
        features = self._features(method.skeletons) if method.skeletons else self.video_features
        folder = self.out / method.name / f"seed_{seed}" / "model"
        words: list[str | Path] = ["--instructions", self.instructions.path, "--features", features.path]
        words += ["--modalities", "video,skeleton" if method.skeletons else "video"]
        words += ["--skeleton_dropout", f"{method.dropout:g}"] if method.dropout else []
        words += [*self.train.split(), "--seed", str(seed), "--output_dir", folder]
        needs = self.instructions.steps + features.steps
        return Step(("train_ski_lvlm.py", *words), "result.json", self.out, folder, needs)

    def _features(self, encoder: Encoder) -> Source:
        """Return the skeleton tokens of an encoder beside the video tokens that all rows share."""
        trained_encoder = self.encoders[encoder]
        skeletons = self.out / f"skeleton_features_{encoder}"
        words: list[str | Path] = ["--modalities", "skeleton", "--prepared", self.prepared.path]
        words += ["--clips", self.instructions.path, "--skeleton_encoder", trained_encoder.path]
        words += [*self.scale.skeleton_features.split(), "--out", skeletons]
        needs = self.prepared.steps + self.instructions.steps + trained_encoder.steps
        extract = Step(("scripts/extract_features.py", *words), "features.json", self.out, skeletons, needs)
        both = self.out / f"features_{encoder}"
        joined = ("scripts/join_features.py", "--video", self.video_features.path, "--skeleton", skeletons)
        needs = (extract, *self.video_features.steps)
        return Source(both, (Step((*joined, "--out", both), "features.json", self.out, both, needs),))


def _folder_name(model: str) -> str:
    return model.replace("/", "_").replace(":", "_")
