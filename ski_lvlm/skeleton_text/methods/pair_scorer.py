"""SMIE's network and loss: a Jensen-Shannon bound on the mutual information of skeletons and texts."""

import math
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

_MARGIN, _MARGIN_WEIGHT = 0.1, 0.5


class PairScorer(nn.Module):
    """Estimator of mutual information: two hidden layers on a skeleton's vector beside a text's.

    The first layer is linear in both, so it is a sum of two halves. Each is computed once for a skeleton and once for a
    text, however many pairs they are in.
    """

    def __init__(self, skeleton_width: int, text_width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(skeleton_width + text_width, 1024), nn.ReLU(), nn.Linear(1024, 512), nn.ReLU(), nn.Linear(512, 1)
        )

    def forward(self, skeleton: Float[Tensor, "B F"], text: Float[Tensor, "B D"]) -> Float[Tensor, " B"]:
        """Return one score for each pair."""
        return self.of_halves(self.skeleton_half(skeleton), self.text_half(text))

    def skeleton_half(self, skeleton: Float[Tensor, "B F"]) -> Float[Tensor, "B H"]:
        """Return what skeletons add to the first layer."""
        return F.linear(skeleton, self._first.weight[:, : skeleton.shape[-1]])

    def text_half(self, text: Float[Tensor, "B D"]) -> Float[Tensor, "B H"]:
        """Return what texts add to the first layer, with its bias."""
        return F.linear(text, self._first.weight[:, -text.shape[-1] :], self._first.bias)

    @property
    def _first(self) -> nn.Linear:
        first = self.layers[0]
        assert isinstance(first, nn.Linear)
        return first

    def of_halves(self, skeleton: Float[Tensor, "*#P H"], text: Float[Tensor, "*#P H"]) -> Float[Tensor, "..."]:
        """Return the scores of pairs by their halves."""
        return self.layers[1:](skeleton + text)[..., 0]

    def pairwise(self, skeleton: Float[Tensor, "B F"], texts: Float[Tensor, "C D"]) -> Float[Tensor, "B C"]:
        """Return the score of every skeleton with every text."""
        return self.of_halves(self.skeleton_half(skeleton)[:, None], self.text_half(texts)[None])


def normalised(skeleton: Float[Tensor, "B F"]) -> Float[Tensor, "B F"]:
    """Shift and scale each vector to mean 0 and variance 1, as in training. The published test leaves it out."""
    return F.layer_norm(skeleton, skeleton.shape[-1:])


def information(
    scorer: Callable[[Float[Tensor, "B F"], Float[Tensor, "B D"]], Float[Tensor, " B"]],
    positive: Float[Tensor, "B F"],
    text: Float[Tensor, "B D"],
    negative: Float[Tensor, "N F"],
    negative_text: Float[Tensor, "N D"],
) -> Float[Tensor, ""]:
    """Return the bound for skeletons with their own texts and with others'. Without negatives it is the first term."""
    bound = F.logsigmoid(scorer(positive, text)).mean()
    return bound - F.softplus(scorer(negative, negative_text)).mean() if len(negative) else bound


def next_ones(labels: Int[Tensor, " B"]) -> tuple[Int[Tensor, " B"], Int[Tensor, " B"]]:
    """Return the published negatives: each text with the next skeleton of the batch, which may be of its class."""
    places = torch.arange(len(labels))
    return places.roll(-1), places


def other_classes(
    labels: Int[Tensor, " B"], random: np.random.Generator
) -> tuple[Int[Tensor, " N"], Int[Tensor, " N"]]:
    """Return for each text a random skeleton of another class in the batch. Texts for which there is none are left out.

    Deviation: the published negatives are `next_ones`.
    """
    differs = (labels[:, None] != labels[None]).cpu().numpy()
    texts = np.flatnonzero(differs.any(1))
    skeletons = (random.random(differs.shape) * differs)[texts].argmax(1)
    return torch.from_numpy(skeletons), torch.from_numpy(texts)


def margin_loss(whole: Float[Tensor, ""], part: Float[Tensor, ""]) -> Float[Tensor, ""]:
    """Return the loss of the track with its own encoder: information must grow with the frames by a margin."""
    return -whole + _MARGIN_WEIGHT * F.relu(_MARGIN - (whole - part))


def rate_at(epoch: int, *, rate: float, epochs: int = 100, warmup: float = 15) -> float:
    """Return the rate in an epoch: linear from 0, then a cosine to 0.

    >>> rate_at(0, rate=1.0), rate_at(15, rate=1.0), rate_at(100, rate=1.0)
    (0.0, 1.0, 0.0)
    """
    if epoch < warmup:
        return rate * epoch / warmup
    return 0.5 * rate * (1 + math.cos(math.pi * (epoch - warmup) / (epochs - warmup)))
