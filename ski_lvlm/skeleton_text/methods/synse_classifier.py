"""SynSE's classifier of unseen classes, trained on samples of their texts alone."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ski_lvlm.skeleton_text.methods.autoencoders import Autoencoders, start

SAMPLES = 500  # of each class
STEPS = 300
RATE = 1e-3


def class_scorer(*, latent: int, classes: int, has_relu: bool) -> nn.Sequential:
    """Return an untrained linear layer from the latent space to classes, with a ReLU as published."""
    return nn.Sequential(nn.Linear(latent, classes), *([nn.ReLU()] if has_relu else []))


@torch.enable_grad()
def fit_classifier(
    networks: Autoencoders, texts: Float[Tensor, "P C E"], *, has_relu: bool, seed: int
) -> nn.Sequential:
    """Train a classifier of classes by their texts, in full batches, on the CPU's random numbers.

    Assumption: it starts like the autoencoders.

    Raises:
        ValueError: there are fewer than two classes.
    """
    _, classes, _ = texts.shape
    if classes < 2:
        raise ValueError(f"found {classes} class to recognise, expected two or more")
    device = texts.device
    random = torch.Generator().manual_seed(seed)
    noise = torch.randn(len(texts), classes * SAMPLES, generator=random).to(device)
    with torch.no_grad():
        gaussians = networks.encode_texts(texts.repeat_interleave(SAMPLES, 1))
        latent = torch.cat([gaussian.sample(row) for gaussian, row in zip(gaussians, noise, strict=True)], -1)
    labels = torch.arange(classes, device=device).repeat_interleave(SAMPLES)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        scorer = class_scorer(latent=latent.shape[1], classes=classes, has_relu=has_relu).apply(start).to(device)
    optimizer = torch.optim.Adam(scorer.parameters(), lr=RATE)
    for _ in range(STEPS):
        optimizer.zero_grad()
        F.cross_entropy(scorer(latent), labels).backward()
        optimizer.step()
    return scorer.requires_grad_(False)
