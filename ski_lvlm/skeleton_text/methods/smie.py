"""SMIE: mutual information of skeletons and texts (Zhou et al., ACM MM 2023)."""

from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from ski_lvlm.recipe import SKELETON_TEXT_DEVIATIONS
from ski_lvlm.skeleton_text.method import Scorer, Sizes, SkeletonTextMethod, Step
from ski_lvlm.skeleton_text.methods.pair_scorer import (
    PairScorer,
    information,
    margin_loss,
    next_ones,
    normalised,
    other_classes,
    rate_at,
)


class SMIE(SkeletonTextMethod):
    """A network that scores pairs of a skeleton and a text, trained to tell a clip's own class from others.

    On its own track, with `sizes.num_shortened`, training clips have features of shortened versions behind those of the
    whole clip. Information must then grow with the frames, by a margin.

    Deviation: the published code shortens each clip anew in every step. Here a few versions are encoded once, and each
    step draws one of them. The encoder is frozen, so this differs in the number of versions alone.
    """

    title = "SMIE (Zhou et al., ACM MM 2023)"
    text_kinds: ClassVar[tuple[str, ...]] = ("name", "definition", "all")
    deviations: ClassVar = SKELETON_TEXT_DEVIATIONS["smie"]
    has_own_track = True
    is_heavy = True

    def __init__(self, sizes: Sizes, *, published: frozenset[str], seed: int) -> None:
        super().__init__(sizes, published=published, seed=seed)
        self.network = PairScorer(sizes.skeleton_width, sizes.num_texts * sizes.text_width)

    def rate_multiplier(self, step: Step) -> float:
        """Return the multiplier in an epoch: up from 0 in the first 15 %, then down in a cosine."""
        return rate_at(step.round, rate=1.0, epochs=step.rounds, warmup=0.15 * step.rounds)

    def loss(
        self,
        features: Float[Tensor, "B F *V"],
        labels: Int[Tensor, " B"],
        texts: Float[Tensor, "C K D"],
        *,
        step: Step,
        random: np.random.Generator,
    ) -> Float[Tensor, ""]:
        """Return the negative of the information's bound, on the own track with the margin's term."""
        network = self.network
        skeletons = network.skeleton_half(normalised(_whole(features)))
        text = network.text_half(texts.flatten(1))[labels]
        pairs = next_ones(labels) if "rolled_negatives" in self.published else other_classes(labels, random)
        places, text_places = (part.to(features.device) for part in pairs)
        negatives = skeletons[places], text[text_places]
        bound = information(network.of_halves, skeletons, text, *negatives)
        if not self.sizes.num_shortened:
            return -bound
        shortened = network.skeleton_half(normalised(_shortened(features, random)))
        return margin_loss(bound, information(network.of_halves, shortened, text, *negatives))

    def scorer(self, texts: Float[Tensor, "C K D"]) -> Scorer:
        """Return the logarithm of the probability that a skeleton and a class's texts belong together."""

        def scores(features: Float[Tensor, "B F *V"]) -> Float[Tensor, "B C"]:
            skeletons = _whole(features) if "raw_test" in self.published else normalised(_whole(features))
            return F.logsigmoid(self.network.pairwise(skeletons, texts.flatten(1)))

        return scores


def _whole(features: Float[Tensor, "B F *V"]) -> Float[Tensor, "B F"]:
    return features if features.ndim == 2 else features[..., 0]


def _shortened(features: Float[Tensor, "B F V"], random: np.random.Generator) -> Float[Tensor, "B F"]:
    """Return the features of a random shortened version of each clip."""
    clips, _, versions = features.shape
    places = torch.from_numpy(random.integers(1, versions, clips)).to(features.device)
    return features[torch.arange(clips, device=features.device), :, places]
