"""Recognition of skeletons among class names by SynSE."""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ski_lvlm.dual_encoders.language import InLanguage
from ski_lvlm.encoders.skeleton_encoder import SkeletonEncoder
from ski_lvlm.encoders.text_encoder import TextEncoder
from ski_lvlm.skeleton_text.synse import SynSE
from ski_lvlm.skeleton_text.synse_classifier import fit_scorer
from ski_lvlm.skeleton_text.words import NO_NOUN, Words, look_up


class WordVectors(nn.Module):
    """Vectors of verbs and nouns, of length 1.

    Deviation: the published vectors come from Sentence-BERT (stsb-bert-large). Here any text encoder gives them.
    """

    def __init__(self, text_encoder: TextEncoder) -> None:
        super().__init__()
        self.text_encoder = text_encoder

    @torch.no_grad()
    def forward(self, words: Sequence[Words]) -> tuple[Float[Tensor, "C D"], Float[Tensor, "C D"]]:
        """Return the vectors of nouns and of verbs, each word read alone."""
        texts = [*(entry.noun or NO_NOUN for entry in words), *(entry.verb for entry in words)]
        vectors = F.normalize(self.text_encoder(texts).float(), dim=-1)
        return vectors[: len(words)], vectors[len(words) :]


class SynSERecogniser(nn.Module):
    """A trained SynSE with its skeleton encoder. A class's score depends on the classes beside it."""

    def __init__(
        self,
        encoder: SkeletonEncoder,
        synse: SynSE,
        text_encoder: TextEncoder,
        *,
        words: Mapping[str, Words],
        has_relu: bool,
        seed: int,
    ) -> None:
        super().__init__()
        self.encoder, self.synse, self.vectors = encoder, synse, WordVectors(text_encoder)
        self.words, self.has_relu, self.seed = words, has_relu, seed
        self._last: tuple[tuple[str, ...], nn.Sequential] | None = None

    @property
    def temperature(self) -> Float[Tensor, ""]:
        """The temperature of its scores, which are logits already."""
        return torch.ones(())

    def forward(self, skeleton: Float[Tensor, "B T M J _"], names: Sequence[str]) -> InLanguage:
        """Compare clips with class names. The first call with other names trains their classifier."""
        feature = self.encoder(skeleton).feature
        with torch.autocast(feature.device.type, enabled=False):
            mean = self.synse.skeleton_encoder(feature.float()).mean
            return InLanguage(mean, self._scorer(names)(mean))

    def _scorer(self, names: Sequence[str]) -> nn.Sequential:
        if self._last is None or self._last[0] != tuple(names):
            nouns, verbs = self.vectors([look_up(name, self.words) for name in names])
            scorer = fit_scorer(self.synse, nouns, verbs, has_relu=self.has_relu, seed=self.seed)
            self._last = tuple(names), scorer
        return self._last[1]
