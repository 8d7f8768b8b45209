"""SynSE: autoencoders of skeleton features, verbs and nouns with one latent space (Gupta et al., ICIP 2021)."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Gaussian(NamedTuple):
    """Latent distributions of a batch, with independent dimensions."""

    mean: Float[Tensor, "B Z"]
    log_variance: Float[Tensor, "B Z"]

    def sample(self, noise: Float[Tensor, " B"]) -> Float[Tensor, "B Z"]:
        """Return one vector of each. A row's noise is the same number for all of its dimensions, as published."""
        return self.mean + noise[:, None] * torch.exp(0.5 * self.log_variance)


class GaussianEncoder(nn.Module):
    """Two linear layers: mean and logarithm of the variance."""

    def __init__(self, width: int, latent: int) -> None:
        super().__init__()
        self.mean, self.log_variance = nn.Linear(width, latent), nn.Linear(width, latent)

    def forward(self, inputs: Float[Tensor, "B F"]) -> Gaussian:
        """Return the latent distribution of each row."""
        return Gaussian(self.mean(inputs), self.log_variance(inputs))


class SynSE(nn.Module):
    """Three autoencoders. The skeleton's latent vector is the noun's half followed by the verb's half.

    Args:
        skeleton_width: of the encoder's pooled features, which are not normalised.
        text_width: of the vectors of verbs and nouns, whose length is 1.
        latent: Z, dimensions of the skeleton's latent space.
        has_word_relu: a ReLU ends the decoders of words, as published. Half of their targets are negative.

    Raises:
        ValueError: the latent space has no two halves.
    """

    def __init__(self, skeleton_width: int, text_width: int, *, latent: int, has_word_relu: bool) -> None:
        super().__init__()
        if latent < 2 or latent % 2:
            raise ValueError(f"--latent {latent}: found no two equal halves, expected an even number of 2 or more")
        half = latent // 2
        self.word_latent = half
        self.skeleton_encoder = GaussianEncoder(skeleton_width, latent)
        self.noun_encoder, self.verb_encoder = GaussianEncoder(text_width, half), GaussianEncoder(text_width, half)
        # Pooled features of a ReLU are not negative, so this one fits its targets.
        self.skeleton_decoder = nn.Sequential(nn.Linear(latent, skeleton_width), nn.ReLU())
        self.noun_decoder = _word_decoder(half, text_width, has_relu=has_word_relu)
        self.verb_decoder = _word_decoder(half, text_width, has_relu=has_word_relu)
        self.apply(start)

    def decode_words(self, latent: Float[Tensor, "B Z"]) -> tuple[Float[Tensor, "B D"], Float[Tensor, "B D"]]:
        """Return the noun and the verb that the halves of a skeleton's latent vector stand for."""
        return self.noun_decoder(latent[:, : self.word_latent]), self.verb_decoder(latent[:, self.word_latent :])


def _word_decoder(half: int, width: int, *, has_relu: bool) -> nn.Sequential:
    return nn.Sequential(nn.Linear(half, width), *([nn.ReLU()] if has_relu else []))


def start(module: nn.Module) -> None:
    """Give a linear layer the weights that the published training starts from."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight, gain=0.5)
        nn.init.zeros_(module.bias)
