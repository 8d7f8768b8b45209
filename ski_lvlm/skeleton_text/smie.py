"""SMIE: mutual information of skeletons and texts (Zhou et al., ACM MM 2023)."""

from typing import ClassVar

import numpy as np
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from ski_lvlm.skeleton_text.method import Scorer, Sizes, SkeletonTextMethod, Step
from ski_lvlm.skeleton_text.pair_scorer import (
    PairScorer,
    information,
    next_ones,
    normalised,
    other_classes,
    rate_at,
)


class SMIE(SkeletonTextMethod):
    """A network that scores pairs of a skeleton and a text, trained to tell a clip's own class from others."""

    title = "SMIE (Zhou et al., ACM MM 2023)"
    text_kinds: ClassVar[tuple[str, ...]] = ("name", "definition", "all")
    deviations: ClassVar = {
        "rolled_negatives": "negatives are the next skeletons of a batch, also of the same class",
        "raw_test": "features are normalised in training alone",
    }
    is_heavy = True

    def __init__(self, sizes: Sizes, *, published: frozenset[str], seed: int) -> None:
        super().__init__(sizes, published=published, seed=seed)
        self.network = PairScorer(sizes.skeleton_width, sizes.num_texts * sizes.text_width)

    def rate_multiplier(self, step: Step) -> float:
        """Return the multiplier in an epoch: up from 0 in the first 15 %, then down in a cosine."""
        return rate_at(step.round, rate=1.0, epochs=step.rounds, warmup=0.15 * step.rounds)

    def loss(
        self,
        features: Float[Tensor, "B F"],
        labels: Int[Tensor, " B"],
        texts: Float[Tensor, "C K D"],
        *,
        step: Step,
        random: np.random.Generator,
    ) -> Float[Tensor, ""]:
        """Return the negative of the information's bound."""
        skeletons, text = normalised(features), texts.flatten(1)[labels]
        pairs = next_ones(labels) if "rolled_negatives" in self.published else other_classes(labels, random)
        negatives, negative_texts = (part.to(features.device) for part in pairs)
        return -information(self.network, skeletons, text, skeletons[negatives], text[negative_texts])

    def scorer(self, texts: Float[Tensor, "C K D"]) -> Scorer:
        """Return the logarithm of the probability that a skeleton and a class's texts belong together."""

        def scores(features: Float[Tensor, "B F"]) -> Float[Tensor, "B C"]:
            skeletons = features if "raw_test" in self.published else normalised(features)
            return F.logsigmoid(self.network.pairwise(skeletons, texts.flatten(1)))

        return scores
