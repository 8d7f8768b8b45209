"""Recognition of skeletons among class names by a trained method."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ski_lvlm.dual_encoders.language import InLanguage
from ski_lvlm.encoders.skeleton_encoder import SkeletonEncoder
from ski_lvlm.encoders.text_encoder import TextEncoder
from ski_lvlm.sharing.hub_model import HubModel
from ski_lvlm.skeleton_text.class_strings import ClassStrings
from ski_lvlm.skeleton_text.method import Scorer, SkeletonTextMethod

if TYPE_CHECKING:
    from ski_lvlm.dual_encoders.checkpoints import SkeletonEncoderCard
    from ski_lvlm.skeleton_text.folder import SkeletonTextCard


class ClassVectors(nn.Module):
    """Vectors of the texts by which a method knows classes.

    Deviation: SynSE's come from Sentence-BERT (stsb-bert-large), STAR's from CLIP. Here any text encoder gives them.
    """

    def __init__(self, text_encoder: TextEncoder, strings: ClassStrings, *, has_unit_length: bool) -> None:
        super().__init__()
        self.text_encoder, self.strings, self.has_unit_length = text_encoder, strings, has_unit_length

    @torch.no_grad()
    def forward(self, names: Sequence[str]) -> Float[Tensor, "C K D"]:
        """Return the vectors of classes. Each text is read alone."""
        rows = [self.strings.of(name) for name in names]
        vectors = self.text_encoder([text for row in rows for text in row]).float()
        vectors = F.normalize(vectors, dim=-1) if self.has_unit_length else vectors
        return vectors.view(len(rows), -1, vectors.shape[-1])


class SkeletonTextRecogniser(HubModel, nn.Module):
    """A trained method with its skeleton encoder. It takes class names where dual encoders take sentences."""

    cards: "tuple[SkeletonTextCard, SkeletonEncoderCard] | None" = None  # of a trained one, and of its encoder

    def __init__(self, encoder: SkeletonEncoder, method: SkeletonTextMethod, vectors: ClassVectors) -> None:
        super().__init__()
        self.encoder, self.method, self.vectors = encoder, method, vectors
        self._last: tuple[tuple[str, ...], Scorer] | None = None

    @classmethod
    def _open(cls, folder: Path, **settings: Any) -> "SkeletonTextRecogniser":  # noqa: ANN401
        from ski_lvlm.skeleton_text.folder import load_recogniser

        return load_recogniser(folder, **settings)

    def _save(self, folder: Path) -> None:
        from ski_lvlm.skeleton_text.folder import save_recogniser

        save_recogniser(folder, self)

    @property
    def temperature(self) -> Float[Tensor, ""]:
        """The temperature of its scores."""
        return self.method.temperature

    @property
    def scores_depend_on_classes(self) -> bool:
        """Return whether a class's score changes with the classes beside it."""
        return self.method.scores_depend_on_classes

    def forward(self, skeleton: Float[Tensor, "B T M J _"], names: Sequence[str]) -> InLanguage:
        """Compare clips with class names. The first call with other names may train a classifier of them."""
        features = self.method.encoding(self.method.published)(self.encoder, skeleton)
        with torch.autocast(features.device.type, enabled=False):
            features = features.float()
            z = features if features.ndim == 2 else features.nanmean((2, 3))
            return InLanguage(z, self._scorer(names)(features))

    def _scorer(self, names: Sequence[str]) -> Scorer:
        if self._last is None or self._last[0] != tuple(names):
            self._last = tuple(names), self.method.scorer(self.vectors(names))
        return self._last[1]
