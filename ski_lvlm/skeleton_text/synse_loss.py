"""SynSE's loss: reconstruction, Kullback-Leibler divergences that grow in cycles, and cross-reconstruction."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ski_lvlm.skeleton_text.synse import Gaussian, SynSE

SHORT_CYCLE = 1700  # iterations, whose cross-reconstruction begins earlier
CROSS_FROM = {True: 1400, False: 1500}  # by whether the cycle is the short one


class TermWeights(NamedTuple):
    """Weights of the terms besides reconstruction, in one iteration."""

    skeleton_kl: float
    word_kl: float
    cross: float


class SynSETerms(NamedTuple):
    """Terms of the loss: means over elements, and divergences summed over dimensions with a mean over samples."""

    reconstruction: Float[Tensor, ""]
    skeleton_kl: Float[Tensor, ""]
    word_kl: Float[Tensor, ""]
    cross: Float[Tensor, ""]

    def total(self, weights: TermWeights) -> Float[Tensor, ""]:
        """Return the weighted sum."""
        kl = weights.skeleton_kl * self.skeleton_kl + weights.word_kl * self.word_kl
        return self.reconstruction + kl + weights.cross * self.cross


def cross_start(length: int) -> int:
    """Return the iteration after which a cycle of this length has cross-reconstruction.

    >>> cross_start(1700), cross_start(1900)
    (1400, 1500)
    """
    return CROSS_FROM[length == SHORT_CYCLE]


def weights_at(iteration: int, *, cycle: int, length: int) -> TermWeights:
    """Return the weights in an iteration of a cycle, both counted from 0. Each cycle begins again at zero.

    >>> weights_at(1600, cycle=2, length=1700)
    TermWeights(skeleton_kl=0.02, word_kl=0.006666666666666667, cross=1.0)
    """
    first = cross_start(length)
    word_kl = _ramp(iteration - first) if cycle > 1 else 0.0
    return TermWeights(_ramp(iteration - 1000), word_kl, float(iteration > first))


def _ramp(iterations: int) -> float:
    return max(0.0, 0.1 * iterations / 3000)


def kl_divergence(latent: Gaussian) -> Float[Tensor, ""]:
    """Return the divergence from the standard normal: a sum over dimensions, and a mean over samples."""
    terms = 1 + latent.log_variance - latent.mean.square() - latent.log_variance.exp()
    return -0.5 * terms.sum(-1).mean()


def synse_terms(
    model: SynSE,
    skeleton: Float[Tensor, "B F"],
    noun: Float[Tensor, "B D"],
    verb: Float[Tensor, "B D"],
    noise: Float[Tensor, "3 B"],
) -> SynSETerms:
    """Return the terms of a batch. The rows of `noise` are of skeletons, nouns and verbs."""
    gaussians = model.skeleton_encoder(skeleton), model.noun_encoder(noun), model.verb_encoder(verb)
    z_s, z_n, z_v = (gaussian.sample(row) for gaussian, row in zip(gaussians, noise, strict=True))
    noun_of_skeleton, verb_of_skeleton = model.decode_words(z_s)
    reconstruction = F.mse_loss(model.skeleton_decoder(z_s), skeleton)
    reconstruction = reconstruction + F.mse_loss(model.noun_decoder(z_n), noun)
    reconstruction = reconstruction + F.mse_loss(model.verb_decoder(z_v), verb)
    cross = F.mse_loss(noun_of_skeleton, noun) + F.mse_loss(verb_of_skeleton, verb)
    cross = cross + F.mse_loss(model.skeleton_decoder(torch.cat([z_n, z_v], -1)), skeleton)
    skeleton_kl, noun_kl, verb_kl = map(kl_divergence, gaussians)
    return SynSETerms(reconstruction, skeleton_kl, noun_kl + verb_kl, cross)
