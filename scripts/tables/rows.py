"""What a table of the paper is made of: rows as printed, and what makes our number for each of them."""

from dataclasses import dataclass
from typing import Literal

YES, NO, TRAINING_ONLY = "✓", "✗", "○"
V_T, T_S, V_T_S = (YES, YES, NO), (NO, YES, YES), (YES, YES, YES)
SKI = (YES, YES, TRAINING_ONLY)  # "skeleton features were used only during training"


@dataclass(frozen=True)
class FineTuned:
    """A student alone, fine-tuned on the videos of the seen classes."""

    student: str


@dataclass(frozen=True)
class SkeletonAligned:
    """SkeletonCLIP alone: skeleton encoder pretrained, then aligned with language (Sec. 3.1)."""


@dataclass(frozen=True)
class ZeroTraining:
    """A jointly pretrained image and text backbone as it comes."""


@dataclass(frozen=True)
class NotBuilt:
    """A row with the published number alone."""

    reason: str


@dataclass(frozen=True)
class Distilled:
    """One run of `--stage distill`; the defaults are the paper's SKI-ViFiCLIP (Sec. 3.2, Sec. 4).

    `alpha` None is the split's own: 0.01 on NTU60, 10 on NTU120. `skeletons` says where SkeletonCLIP starts from:
    aligned with language, its encoder pretrained only, or untrained.
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


SKI_VIFICLIP = Distilled()
SKI_XCLIP = Distilled(student="xclip")
SKI_FROSTER = Distilled(student="froster")


@dataclass(frozen=True)
class Row:
    """One line of a table.

    `cells` and `published` are printed as in the paper, one published number for each split of the table; `mean` is
    the printed harmonic mean. `against` names the rows that this one is compared with. A `repeated` row is trained
    more than once by default on the synthetic set.
    """

    cells: tuple[str, ...]
    published: tuple[float | None, ...]
    made: FineTuned | SkeletonAligned | ZeroTraining | NotBuilt | Distilled
    modality: Literal["video", "skeleton", "both"] = "video"
    mean: float | None = None
    against: tuple[str, ...] = ()
    repeated: bool = False

    @property
    def name(self) -> str:
        """What tells the row from the others: its words without the marks."""
        return " ".join(cell for cell in self.cells if cell not in ("", YES, NO, TRAINING_ONLY))


@dataclass(frozen=True)
class Table:
    """A table of the paper: its caption, headings, one column of numbers for each split, and rows.

    Every other row is compared with the row called `reference`, if there is one.
    """

    name: str
    caption: str
    labels: tuple[str, ...]
    splits: tuple[str, ...]
    rows: tuple[Row, ...]
    reference: str | None = None

    @property
    def has_mean(self) -> bool:
        """Whether the paper prints a harmonic mean."""
        return any(row.mean is not None for row in self.rows)

    def row(self, name: str) -> Row:
        """The row called `name`."""
        return next(row for row in self.rows if row.name == name)

    def comparisons(self) -> list[tuple[Row, Row]]:
        """Pairs of a row and its baseline."""
        pairs = [(row, self.row(other)) for row in self.rows for other in row.against]
        if self.reference:
            pairs += [(row, self.row(self.reference)) for row in self.rows if row.name != self.reference]
        return pairs


def heading(split: str) -> str:
    """A split as the paper's tables head its column.

    >>> heading("ntu60/48-12"), heading("synthetic")
    ('NTU60 48/12', 'synthetic')
    """
    dataset, _, classes = split.partition("/")
    return f"{dataset.upper()} {classes.replace('-', '/')}" if classes else dataset
