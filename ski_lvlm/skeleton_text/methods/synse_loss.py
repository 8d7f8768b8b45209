"""SynSE's loss: reconstruction, Kullback-Leibler divergences that grow in cycles, and cross-reconstruction."""

from collections.abc import Iterable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ski_lvlm.skeleton_text.methods.autoencoders import Autoencoders, Gaussian

SHORT_CYCLE = 1700  # iterations, whose cross-reconstruction begins earlier
CROSS_FROM = {True: 1400, False: 1500}  # by whether the cycle is the short one


class TermWeights(NamedTuple):
    """Weights of the terms besides reconstruction, in one iteration."""

    skeleton_kl: float
    text_kl: float
    cross: float


class SynSETerms(NamedTuple):
    """Terms of the loss: means over elements, and divergences summed over dimensions with a mean over samples."""

    reconstruction: Float[Tensor, ""]
    skeleton_kl: Float[Tensor, ""]
    text_kl: Float[Tensor, ""]
    cross: Float[Tensor, ""]

    def total(self, weights: TermWeights) -> Float[Tensor, ""]:
        """Return the weighted sum."""
        kl = weights.skeleton_kl * self.skeleton_kl + weights.text_kl * self.text_kl
        return self.reconstruction + kl + weights.cross * self.cross


def cross_start(length: int) -> int:
    """Return the iteration after which a cycle of this length has cross-reconstruction.

    >>> cross_start(1700), cross_start(1900)
    (1400, 1500)
    """
    return CROSS_FROM[length == SHORT_CYCLE]


def check_cycle(length: int) -> None:
    """Refuse cycles that end before their cross-reconstruction begins.

    Raises:
        ValueError: it would never begin.
    """
    first = cross_start(length)
    if length <= first + 1:
        raise ValueError(
            f"--round_length {length}: cross-reconstruction begins after step {first} of a cycle, so a cycle would "
            "never have it; give 1700, or more than 1501"
        )


def weights_at(iteration: int, *, cycle: int, length: int) -> TermWeights:
    """Return the weights in an iteration of a cycle, both counted from 0. Each cycle begins again at zero.

    >>> weights_at(1600, cycle=2, length=1700)
    TermWeights(skeleton_kl=0.02, text_kl=0.006666666666666667, cross=1.0)
    """
    first = cross_start(length)
    text_kl = _ramp(iteration - first) if cycle > 1 else 0.0
    return TermWeights(_ramp(iteration - 1000), text_kl, float(iteration > first))


def _ramp(iterations: int) -> float:
    return max(0.0, 0.1 * iterations / 3000)


def kl_divergence(latent: Gaussian) -> Float[Tensor, ""]:
    """Return the divergence from the standard normal: a sum over dimensions, and a mean over samples."""
    terms = 1 + latent.log_variance - latent.mean.square() - latent.log_variance.exp()
    return -0.5 * terms.sum(-1).mean()


def synse_terms(
    networks: Autoencoders,
    skeleton: Float[Tensor, "B F"],
    texts: Float[Tensor, "P B E"],
    noise: Float[Tensor, "Q B"],
) -> SynSETerms:
    """Return the terms of a batch. The first row of `noise` is of skeletons, the others of each kind of text."""
    gaussians = networks.skeleton_encoder(skeleton), *networks.encode_texts(texts)
    z_s, *z_t = (gaussian.sample(row) for gaussian, row in zip(gaussians, noise, strict=True))
    reconstructed = [decoder(z) for decoder, z in zip(networks.text_decoders, z_t, strict=True)]
    skeletons_of = networks.skeleton_decoder
    reconstruction = F.mse_loss(skeletons_of(z_s), skeleton) + _distances(reconstructed, texts)
    cross = _distances(networks.decode_texts(z_s), texts) + F.mse_loss(skeletons_of(torch.cat(z_t, -1)), skeleton)
    skeleton_kl, *text_kls = map(kl_divergence, gaussians)
    return SynSETerms(reconstruction, skeleton_kl, torch.stack(text_kls).sum(), cross)


def _distances(decoded: Iterable[Tensor], texts: Float[Tensor, "P B E"]) -> Float[Tensor, ""]:
    return torch.stack([F.mse_loss(rows, target) for rows, target in zip(decoded, texts, strict=True)]).sum()
