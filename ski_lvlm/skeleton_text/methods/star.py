"""STAR: body parts matched with sentences about them (Chen et al., ACM MM 2024)."""

from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ski_lvlm.dual_encoders.language import cosine_similarity
from ski_lvlm.encoders.clip_maps import mean_map, scrambled_map
from ski_lvlm.recipe import SKELETON_TEXT_DEVIATIONS
from ski_lvlm.skeleton_text.method import Encoding, Scorer, Sizes, SkeletonTextMethod, Step
from ski_lvlm.skeleton_text.methods.part_loss import part_terms
from ski_lvlm.skeleton_text.methods.part_reader import PartNetwork
from ski_lvlm.skeletons.layouts import layout_named
from ski_lvlm.skeletons.parts import PARTS, body_parts

_TEMPERATURE = 0.1
_PUBLISHED_ROUNDS = (30, 40)  # NTU120 and NTU60


class STAR(SkeletonTextMethod):
    """Learned queries read the body parts of clips. Parts are matched with part sentences, clips with names.

    At test clips are compared with names alone, as published, so that classes without part sentences can be tested.

    Deviation: the published code renews the batch norms' statistics of its frozen encoder, and crops and turns clips at
    random, also in tests. Here maps are computed once, in evaluation mode and without augmentation.
    Assumption: cosines are divided by a temperature of 0.1. Without one, the right of 55 classes cannot be given more
    than 5 % of the probability, and the loss hardly falls.
    Assumption: the map of texts has a hidden width of 256 for 100 queries and more (published), else twice the queries.
    """

    title = "STAR (Chen et al., ACM MM 2024)"
    text_kinds: ClassVar[tuple[str, ...]] = ("parts",)
    deviations: ClassVar = SKELETON_TEXT_DEVIATIONS["star"]
    has_unit_texts = False
    has_maps = True
    is_heavy = True

    def __init__(self, sizes: Sizes, *, published: frozenset[str], seed: int) -> None:
        super().__init__(sizes, published=published, seed=seed)
        parts = body_parts(layout_named(sizes.layout))
        self.rows = [0, *(1 + PARTS.index(part) for part in parts)]  # of the texts: the name, and the layout's parts
        self.network = PartNetwork(
            sizes.skeleton_width,
            sizes.text_width,
            parts=parts,
            classes=sizes.num_classes + sizes.num_unseen,
            queries=sizes.latent,
            width=sizes.text_width,
            hidden=256 if sizes.latent >= 100 else 2 * sizes.latent,
        )

    @classmethod
    def encoding(cls, published: frozenset[str]) -> Encoding:
        """Return the function that reads maps of clips from an encoder."""
        return scrambled_map if "scrambled_map" in published else mean_map

    @classmethod
    def usual_latent(cls, split: str, *, width: int) -> int:
        """Return the published number of queries, 100. Assumption: 32 for features narrower than 100."""
        return 100 if width >= 100 else 32

    @property
    def temperature(self) -> Float[Tensor, ""]:
        """Return what cosines are divided by to be logits."""
        return torch.tensor(1.0 if "no_temperature" in self.published else _TEMPERATURE)

    def optimizer(self, rate: float) -> torch.optim.Optimizer:
        """Return the published optimiser."""
        return torch.optim.SGD(self.parameters(), lr=rate, momentum=0.9, nesterov=True, weight_decay=5e-4)

    def rate_multiplier(self, step: Step) -> float:
        """Return a tenth of the multiplier before, from epochs 10 and 20 on (published, for 30 or 40 epochs).

        Assumption: for other numbers, after a quarter and after half of them.
        """
        is_published = step.rounds in _PUBLISHED_ROUNDS
        decays = (10, 20) if is_published else (step.rounds / 4, step.rounds / 2)
        return 0.1 ** sum(step.round >= decay for decay in decays)

    def loss(
        self,
        features: Float[Tensor, "B F U J"],
        labels: Int[Tensor, " B"],
        texts: Float[Tensor, "C K D"],
        *,
        step: Step,
        random: np.random.Generator,
    ) -> Float[Tensor, ""]:
        """Return the weighted sum of the terms, on a GPU with products in bf16.

        The texts of unseen classes come last, if the training reads them.
        """
        with torch.autocast(features.device.type, torch.bfloat16, enabled=features.is_cuda):
            terms = part_terms(
                self.network,
                features,
                labels,
                texts[:, self.rows],
                temperature=self.temperature.item(),
                num_seen=self.sizes.num_classes,
            )
        return terms.total()

    def scorer(self, texts: Float[Tensor, "C K D"]) -> Scorer:
        """Return the cosines of clips with names."""
        names = self.network.map_names(texts)

        def scores(features: Float[Tensor, "B F U J"]) -> Float[Tensor, "B C"]:
            return cosine_similarity(self.network.read(features).whole, names)

        return scores
