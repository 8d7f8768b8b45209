"""The floor of every table: a ridge regression from class means of features to vectors of class texts."""

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from ski_lvlm.skeleton_text.features import FeatureTable
from ski_lvlm.skeleton_text.method import Scorer, Sizes, SkeletonTextMethod, Step

_PENALTY = 1.0
_TEMPERATURE = 0.1


class Ridge(SkeletonTextMethod):
    """A linear map in closed form. A class's score is the cosine of a mapped feature with the class's texts.

    Assumption: features are standardised over the training clips, the penalty is 1, and the intercept is not penalised.
    """

    title = "ridge"
    text_kinds = ("name", "definition", "all")
    mean: Float[Tensor, " F"]
    spread: Float[Tensor, " F"]
    weight: Float[Tensor, "F E"]
    intercept: Float[Tensor, " E"]

    def __init__(self, sizes: Sizes, *, published: frozenset[str], seed: int) -> None:
        super().__init__(sizes, published=published, seed=seed)
        width, joined = sizes.skeleton_width, sizes.num_texts * sizes.text_width
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("spread", torch.ones(width))
        self.register_buffer("weight", torch.zeros(width, joined))
        self.register_buffer("intercept", torch.zeros(joined))

    @property
    def temperature(self) -> Float[Tensor, ""]:
        """Return what cosines are divided by to be logits. Assumption: 0.1."""
        return torch.tensor(_TEMPERATURE)

    def initialise(self, table: FeatureTable, texts: Float[Tensor, "C K D"]) -> None:
        """Solve for the map in double precision. Every class weighs the same. Classes without clips weigh nothing."""
        features = torch.cat(list(table.batches())).double()
        mean, spread = features.mean(0), features.std(0, correction=0).clamp(min=1e-6)
        labels = table.labels.unique()
        standard = (features - mean) / spread
        means = torch.stack([standard[table.labels == label].mean(0) for label in labels])
        targets = texts.flatten(1).cpu().double()[labels]
        centre, target_centre = means.mean(0), targets.mean(0)
        x, y = means - centre, targets - target_centre
        weight = torch.linalg.solve(x.T @ x + _PENALTY * torch.eye(x.shape[1], dtype=x.dtype), x.T @ y)
        values = {"mean": mean, "spread": spread, "weight": weight, "intercept": target_centre - centre @ weight}
        for name, value in values.items():
            getattr(self, name).copy_(value)

    def loss(
        self,
        features: Float[Tensor, "B F"],
        labels: Int[Tensor, " B"],
        texts: Float[Tensor, "C K D"],
        *,
        step: Step,
        random: np.random.Generator,
    ) -> Float[Tensor, ""]:
        """Refuse steps, because the map has a closed form."""
        raise NotImplementedError

    def scorer(self, texts: Float[Tensor, "C K D"]) -> Scorer:
        """Return the cosines with the joined texts of each class."""
        targets = F.normalize(texts.flatten(1), dim=-1)

        def scores(features: Float[Tensor, "B F"]) -> Float[Tensor, "B C"]:
            mapped = (features - self.mean) / self.spread @ self.weight + self.intercept
            return F.normalize(mapped, dim=-1) @ targets.T

        return scores
