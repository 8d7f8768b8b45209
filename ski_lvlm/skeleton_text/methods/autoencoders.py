"""Networks of SynSE: autoencoders of skeleton features and of texts, with one latent space."""

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


class Autoencoders(nn.Module):
    """One autoencoder of skeletons and P of texts. The skeleton's latent vector is theirs side by side.

    Args:
        skeleton_width: of the encoder's pooled features, which are not normalised.
        text_width: of what one autoencoder of texts takes.
        num_texts: P, autoencoders of texts. SynSE has two, of nouns and of verbs.
        latent: Z, dimensions of the skeleton's latent space.
        has_text_relu: a ReLU ends the decoders of texts, as published. Half of their targets are negative.

    Raises:
        ValueError: the latent space has no P equal parts.
    """

    def __init__(
        self, skeleton_width: int, text_width: int, *, num_texts: int, latent: int, has_text_relu: bool
    ) -> None:
        super().__init__()
        if latent < num_texts or latent % num_texts:
            raise ValueError(f"--latent {latent}: found no {num_texts} equal parts, expected a multiple of {num_texts}")
        part, ends = latent // num_texts, [nn.ReLU()] if has_text_relu else []
        self.skeleton_encoder = GaussianEncoder(skeleton_width, latent)
        self.text_encoders = nn.ModuleList(GaussianEncoder(text_width, part) for _ in range(num_texts))
        # Pooled features of a ReLU are not negative, so this one fits its targets.
        self.skeleton_decoder = nn.Sequential(nn.Linear(latent, skeleton_width), nn.ReLU())
        self.text_decoders = nn.ModuleList(nn.Sequential(nn.Linear(part, text_width), *ends) for _ in range(num_texts))
        self.apply(start)

    def encode_texts(self, texts: Float[Tensor, "P B E"]) -> list[Gaussian]:
        """Return the latent distributions of each kind of text."""
        return [encoder(rows) for encoder, rows in zip(self.text_encoders, texts, strict=True)]

    def decode_texts(self, latent: Float[Tensor, "B Z"]) -> Float[Tensor, "P B E"]:
        """Return the texts that the parts of a skeleton's latent vector stand for."""
        parts = latent.chunk(len(self.text_decoders), dim=-1)
        return torch.stack([decoder(part) for decoder, part in zip(self.text_decoders, parts, strict=True)])


def start(module: nn.Module) -> None:
    """Give a linear layer the weights that the published training starts from."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight, gain=0.5)
        nn.init.zeros_(module.bias)
