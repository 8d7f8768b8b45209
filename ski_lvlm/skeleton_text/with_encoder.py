"""A method that is trained together with its skeleton encoder."""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.data import DataLoader

from ski_lvlm.datasets.skeleton_clips import SkeletonClips, collate
from ski_lvlm.encoders.skeleton_encoder import SkeletonEncoder
from ski_lvlm.skeleton_text.features import FeatureTable
from ski_lvlm.skeleton_text.method import Scorer, SkeletonTextMethod, Step


class WithEncoder(SkeletonTextMethod):
    """A method and its encoder, both trained by the method's loss. Its features are the skeletons themselves.

    Deviation: none of the published methods trains its encoder. Its batch norms keep the statistics of pretraining.

    Args:
        method: whose weights and schedule these are.
        encoder: pretrained, without gradient checks of its own.
        multiplier: of the method's learning rate, for the encoder's weights.

    Raises:
        ValueError: the method has a closed form, which no gradient reaches.
    """

    def __init__(self, method: SkeletonTextMethod, encoder: SkeletonEncoder, *, multiplier: float) -> None:
        super().__init__(method.sizes, published=frozenset(), seed=method.seed)
        if not list(method.parameters()):
            raise ValueError(f"--encoder_rate {multiplier}: {method.title} has a closed form; leave it 0")
        self.method, self.encoder, self.multiplier = method, encoder, multiplier
        encoder.keep_statistics = True

    @property
    def temperature(self) -> Float[Tensor, ""]:
        """Return what scores are divided by to be logits."""
        return self.method.temperature

    def optimizer(self, rate: float) -> torch.optim.Optimizer:
        """Return the method's optimiser, for the encoder too."""
        optimizer = self.method.optimizer(rate)
        optimizer.add_param_group({"params": list(self.encoder.parameters()), "multiplier": self.multiplier})
        return optimizer

    def rate_multiplier(self, step: Step) -> float:
        """Return the method's own multiplier."""
        return self.method.rate_multiplier(step)

    def check_rounds(self, length: int) -> None:
        """Refuse what the method refuses."""
        self.method.check_rounds(length)

    def loss(
        self,
        features: Float[Tensor, "B T M J _"],
        labels: Int[Tensor, " B"],
        texts: Float[Tensor, "C K D"],
        *,
        step: Step,
        random: np.random.Generator,
    ) -> Float[Tensor, ""]:
        """Return the method's loss of encoded skeletons."""
        return self.method.loss(self._encoded(features), labels, texts, step=step, random=random)

    def scorer(self, texts: Float[Tensor, "C K D"]) -> Scorer:
        """Return what encodes skeletons and scores them."""
        scores = self.method.scorer(texts)
        return lambda skeletons: scores(self._encoded(skeletons))

    def _encoded(self, skeletons: Float[Tensor, "B T M J _"]) -> Float[Tensor, "B *F"]:
        return self.method.encoding(self.method.published)(self.encoder, skeletons).float()


def skeleton_table(clips: SkeletonClips) -> FeatureTable:
    """Return the skeletons of clips in place of features, in memory: 38 KB for a clip of 64 frames and two persons."""
    batches = DataLoader(clips, batch_size=64, collate_fn=collate)
    skeletons = torch.cat([batch["skeleton"] for batch in batches])
    return FeatureTable.of(skeletons, torch.tensor(clips.labels, dtype=torch.int64))
