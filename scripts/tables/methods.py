"""Methods behind our numbers in the tables. The two plans turn them into commands."""

from dataclasses import dataclass
from typing import Literal

Encoder = Literal["pretrained", "aligned"]
SkeletonEncoder = Literal["hyperformer", "shift_gcn"]


@dataclass(frozen=True)
class FineTuned:
    """A student alone, fine-tuned on the videos of the seen classes."""

    student: str


@dataclass(frozen=True)
class SkeletonAligned:
    """SkeletonCLIP alone: skeleton encoder pretrained, then aligned with language (Sec. 3.1)."""

    encoder: SkeletonEncoder = "hyperformer"


@dataclass(frozen=True)
class SkeletonText:
    """A skeleton-text system on a frozen skeleton encoder, by the name of its method (Table 2)."""

    method: str
    encoder: SkeletonEncoder | None = "hyperformer"  # None: the scale's
    published: str = ""  # names for --published
    select: Literal["held_out", "last"] = "held_out"


@dataclass(frozen=True)
class ZeroTraining:
    """A jointly pretrained image and text backbone without further training."""


@dataclass(frozen=True)
class Distilled:
    """One run of `--stage distill`. The defaults are the paper's SKI-ViFiCLIP (Sec. 3.2, Sec. 4).

    `alpha` None is the split's own: 0.01 on NTU60, 10 on NTU120. `skeletons` is the state of the SkeletonCLIP that the
    run starts from: aligned with language, its encoder pretrained only, or untrained.
    """

    student: str = "vificlip"
    alignment: Literal["scd", "tri_modal", "cross_projection", "fusion"] = "scd"
    level: Literal["logit", "feature", "feature_projected"] = "logit"
    distance: Literal["mse", "kl", "contrastive"] = "mse"
    teacher: Literal["online", "offline"] = "online"
    teacher_text: Literal["frozen", "trainable"] = "frozen"
    alpha: float | None = None
    scale: Literal["published", "cosine"] = "published"
    video_finetuned: bool = True
    skeletons: Literal["aligned", "pretrained", "untrained"] = "aligned"


@dataclass(frozen=True)
class Taught:
    """One run of `--stage distill --teacher offline` with any skeleton-text models as teachers, alone or together."""

    student: str
    teachers: tuple[SkeletonAligned | SkeletonText, ...]


@dataclass(frozen=True)
class LateFusion:
    """A fine-tuned student and a skeleton-text model, whose scores are averaged at test."""

    student: str
    teacher: SkeletonAligned | SkeletonText


SKI_VIFICLIP = Distilled()
SKI_XCLIP = Distilled(student="xclip")
SKI_FROSTER = Distilled(student="froster")


@dataclass(frozen=True)
class PublishedProjector:
    """Video-ChatGPT with its published projector, without training."""


@dataclass(frozen=True)
class TrainedLvlm:
    """SKI-LVLM trained on video alone, or with a skeleton encoder's tokens.

    A share `dropout` of the training samples goes without skeletons.
    """

    skeletons: Encoder | None = None
    dropout: float = 0.0

    @property
    def name(self) -> str:
        """The name of its folder."""
        dropout = f"-dropout_{self.dropout:g}" if self.dropout else ""
        return f"video-skeletons_{self.skeletons}{dropout}" if self.skeletons else "video"


@dataclass(frozen=True)
class OtherModel:
    """A model that is not of this repository, by its name for eval/describe.py: `hf:ID` or `openai:MODEL`."""

    model: str


Recogniser = FineTuned | SkeletonAligned | SkeletonText | ZeroTraining | Distilled | Taught | LateFusion
Captioner = PublishedProjector | TrainedLvlm | OtherModel
