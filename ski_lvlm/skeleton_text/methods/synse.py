"""SynSE (Gupta et al., ICIP 2021), and MSF: the same machinery on sentences (MSF-GZSSAR, 2023)."""

from typing import ClassVar

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor

from ski_lvlm.recipe import SKELETON_TEXT_DEVIATIONS
from ski_lvlm.skeleton_text.method import Scorer, Sizes, SkeletonTextMethod, Step
from ski_lvlm.skeleton_text.methods.autoencoders import Autoencoders
from ski_lvlm.skeleton_text.methods.synse_classifier import fit_classifier
from ski_lvlm.skeleton_text.methods.synse_loss import check_cycle, synse_terms, weights_at


class SynSE(SkeletonTextMethod):
    """Autoencoders of skeletons, nouns and verbs. A round of the training is a cycle of the loss."""

    title = "SynSE (Gupta et al., ICIP 2021)"
    text_kinds: ClassVar[tuple[str, ...]] = ("words",)
    deviations: ClassVar = SKELETON_TEXT_DEVIATIONS["synse"]
    scores_depend_on_classes = True
    num_parts: ClassVar[int] = 2  # of the skeleton's latent vector, one for each autoencoder of texts

    def __init__(self, sizes: Sizes, *, published: frozenset[str], seed: int) -> None:
        super().__init__(sizes, published=published, seed=seed)
        self.has_relu = "relu" in published
        self.networks = Autoencoders(
            sizes.skeleton_width,
            sizes.text_width * sizes.num_texts // self.num_parts,
            num_texts=self.num_parts,
            latent=sizes.latent,
            has_text_relu=self.has_relu,
        )

    @classmethod
    def usual_latent(cls, split: str, *, width: int) -> int:
        """Return SynSE's size of the skeleton's latent space: 200 for NTU120's splits, else 100.

        Assumption: 20 for features narrower than 100, as of the quickstart's encoder.

        >>> [SynSE.usual_latent(split, width=216) for split in ("ntu120/96-24", "ntu60/55-5")]
        [200, 100]
        """
        if width < 100:
            return 20
        return 200 if split.startswith("ntu120") else 100

    def check_rounds(self, length: int) -> None:
        """Refuse cycles that end before their cross-reconstruction begins."""
        check_cycle(length)

    def loss(
        self,
        features: Float[Tensor, "B F"],
        labels: Int[Tensor, " B"],
        texts: Float[Tensor, "C K D"],
        *,
        step: Step,
        random: np.random.Generator,
    ) -> Float[Tensor, ""]:
        """Return the weighted sum of the terms at a step of a cycle."""
        noise = random.standard_normal((1 + self.num_parts, len(labels)), dtype=np.float32)
        batch = self._parts(texts)[:, labels]
        terms = synse_terms(self.networks, features, batch, torch.from_numpy(noise).to(features.device))
        return terms.total(weights_at(step.number, cycle=step.round, length=step.round_length))

    def scorer(self, texts: Float[Tensor, "C K D"]) -> Scorer:
        """Train a classifier of skeletons on latent samples of the classes' texts."""
        classifier = fit_classifier(self.networks, self._parts(texts), has_relu=self.has_relu, seed=self.seed)
        return lambda features: classifier(self.networks.skeleton_encoder(features).mean)

    def _parts(self, texts: Float[Tensor, "C K D"]) -> Float[Tensor, "P C E"]:
        """Return what each autoencoder of texts takes: a noun and a verb, or all texts of a class joined."""
        return rearrange(texts, "c (p k) d -> p c (k d)", p=self.num_parts)


class MSF(SynSE):
    """SynSE's machinery with one autoencoder of texts, which takes all texts of a class joined."""

    title = "MSF (MSF-GZSSAR, 2023)"
    text_kinds = ("all", "name", "definition")
    num_parts = 1
