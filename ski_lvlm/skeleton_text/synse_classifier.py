"""SynSE's classifier of unseen classes, trained on samples of their words alone."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ski_lvlm.skeleton_text.synse import SynSE, start

SAMPLES = 500  # of each class
STEPS = 300
RATE = 1e-3


def class_scorer(*, latent: int, classes: int, has_relu: bool) -> nn.Sequential:
    """Return an untrained linear layer from the latent space to classes, with a ReLU as published."""
    return nn.Sequential(nn.Linear(latent, classes), *([nn.ReLU()] if has_relu else []))


@torch.enable_grad()
def fit_scorer(
    model: SynSE, noun: Float[Tensor, "C D"], verb: Float[Tensor, "C D"], *, has_relu: bool, seed: int
) -> nn.Sequential:
    """Train a scorer of classes by their nouns and verbs, in full batches, on the CPU's random numbers.

    Assumption: it starts like the autoencoders.

    Raises:
        ValueError: there are fewer than two classes.
    """
    if len(noun) < 2:
        raise ValueError(f"found {len(noun)} class to recognise, expected two or more")
    device = noun.device
    random = torch.Generator().manual_seed(seed)
    noise = torch.randn(2, len(noun) * SAMPLES, generator=random).to(device)
    with torch.no_grad():
        nouns = model.noun_encoder(noun.repeat_interleave(SAMPLES, 0)).sample(noise[0])
        verbs = model.verb_encoder(verb.repeat_interleave(SAMPLES, 0)).sample(noise[1])
    latent = torch.cat([nouns, verbs], -1)
    labels = torch.arange(len(noun), device=device).repeat_interleave(SAMPLES)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        scorer = class_scorer(latent=latent.shape[1], classes=len(noun), has_relu=has_relu).apply(start).to(device)
    optimizer = torch.optim.Adam(scorer.parameters(), lr=RATE)
    for _ in range(STEPS):
        optimizer.zero_grad()
        F.cross_entropy(scorer(latent), labels).backward()
        optimizer.step()
    return scorer.requires_grad_(False)
