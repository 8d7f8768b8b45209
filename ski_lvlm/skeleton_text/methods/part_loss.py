"""STAR's loss: clips are matched with names, their parts with part texts, and part texts with names."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from jaxtyping import Float, Int
from torch import Tensor

from ski_lvlm.dual_encoders.language import cosine_similarity
from ski_lvlm.skeleton_text.methods.part_reader import PartNetwork, PartScores


class PartTerms(NamedTuple):
    """Terms of the loss, which are cross-entropies."""

    names: Float[Tensor, ""]  # of whole clips among the names
    parts: Float[Tensor, ""]  # of parts among the part texts
    texts: Float[Tensor, ""]  # of part texts among the names

    def total(self) -> Float[Tensor, ""]:
        """Return the sum with the published weights."""
        return 0.1 * self.names + self.parts + 0.1 * self.texts


def part_terms(
    network: PartNetwork,
    features: Float[Tensor, "B F U J"],
    labels: Int[Tensor, " B"],
    texts: Float[Tensor, "C K D"],
    *,
    temperature: float,
    num_seen: int,
) -> PartTerms:
    """Return the terms of a batch.

    Args:
        network: with one row of class offsets for each row of `texts`.
        features: maps of clips.
        labels: rows of `texts`.
        texts: of the training classes. Unseen ones may follow, for the third term alone.
        temperature: of the cosines of clips and of parts. The published code has none, which is 1.
        num_seen: number of training classes.
    """
    read, names, parts = network.read(features), network.map_names(texts), network.map_parts(texts)
    whole = cosine_similarity(read.whole, names[:num_seen]) / temperature
    return PartTerms(
        F.cross_entropy(whole, labels),
        _part_term(read, parts[:num_seen], labels, temperature),
        _text_term(parts, names),
    )


def _part_term(
    read: PartScores, parts: Float[Tensor, "C P I"], labels: Int[Tensor, " B"], temperature: float
) -> Float[Tensor, ""]:
    """Return the mean over the parts that are there."""
    pairs = zip(read.scores.unbind(1), parts.unbind(1), strict=True)
    cosines = torch.stack([cosine_similarity(scores, text) for scores, text in pairs], -1)
    losses = F.cross_entropy(cosines / temperature, repeat(labels, "b -> b p", p=parts.shape[1]), reduction="none")
    return (losses * read.has_part).sum() / read.has_part.sum().clamp(min=1)


def _text_term(parts: Float[Tensor, "C P I"], names: Float[Tensor, "C I"]) -> Float[Tensor, ""]:
    products = torch.einsum("cpi,ki->pck", parts, names)
    classes = torch.arange(len(names), device=names.device)
    return F.cross_entropy(rearrange(products, "p c k -> (p c) k"), repeat(classes, "c -> (p c)", p=parts.shape[1]))
