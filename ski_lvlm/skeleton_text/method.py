"""The contract of methods that match a frozen encoder's features with texts of classes."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ski_lvlm.encoders.skeleton_encoder import SkeletonEncoder
from ski_lvlm.skeleton_text.features import FeatureTable

Encoding = Callable[[SkeletonEncoder, Float[Tensor, "B T M J _"]], Float[Tensor, "B *F"]]
Scorer = Callable[[Float[Tensor, "B *F"]], Float[Tensor, "B C"]]


class Sizes(NamedTuple):
    """Sizes that a method's networks are built for. The card keeps them."""

    skeleton_width: int  # of the encoder's features
    text_width: int  # of one text's vector
    num_texts: int  # K, texts of a class
    num_classes: int  # seen ones
    latent: int = 0  # dimensions of a latent space, where there is one
    layout: str = ""  # of joints, for methods that look at body parts
    num_unseen: int = 0  # classes without clips whose texts the training reads too
    num_shortened: int = 0  # shortened versions of each training clip, whose features lie behind the whole one's


class Step(NamedTuple):
    """The place of a step in the training. Rounds and the steps of a round are counted from 0."""

    round: int
    number: int  # in the round
    round_length: int
    rounds: int


def pooled(encoder: SkeletonEncoder, skeleton: Float[Tensor, "B T M J _"]) -> Float[Tensor, "B F"]:
    """Return the mean of a clip's tokens."""
    return encoder(skeleton).feature


class SkeletonTextMethod(nn.Module, ABC):
    """Base of the methods. A class is known by K texts, whose vectors are `texts`.

    A subclass is built by `METHODS[name](sizes, published=names, seed=seed)`.

    Args:
        sizes: of features and texts.
        published: which of `deviations` are undone, so that the method is as in its authors' code.
        seed: of the random numbers that scoring needs.
    """

    title: ClassVar[str]  # with its source
    text_kinds: ClassVar[tuple[str, ...]]  # which texts a class may be known by. The first is the default
    deviations: ClassVar[Mapping[str, str]] = {}  # names for --published, and what the published code does
    has_unit_texts: ClassVar[bool] = True  # whether vectors of texts are divided by their length
    scores_depend_on_classes: ClassVar[bool] = False  # whether a class's score changes with the classes beside it
    has_maps: ClassVar[bool] = False  # whether its features are maps of joints and time steps
    has_own_track: ClassVar[bool] = False  # whether it can learn from shortened clips beside the whole ones
    is_heavy: ClassVar[bool] = False  # whether a GPU trains it faster than the CPU

    def __init__(self, sizes: Sizes, *, published: frozenset[str], seed: int) -> None:
        super().__init__()
        if unknown := sorted(published - set(self.deviations)):
            raise ValueError(
                f"--published {','.join(unknown)}: {self.title} has {', '.join(self.deviations) or 'none'} to choose"
            )
        self.sizes, self.published, self.seed = sizes, published, seed

    @classmethod
    def encoding(cls, published: frozenset[str]) -> Encoding:
        """Return the function that reads the method's features from an encoder."""
        return pooled

    @classmethod
    def usual_latent(cls, split: str, *, width: int) -> int:
        """Return the usual dimensions of the latent space for a split and the width of features."""
        return 0

    @property
    def temperature(self) -> Float[Tensor, ""]:
        """Return what scores are divided by to be logits."""
        return torch.ones(())

    def optimizer(self, rate: float) -> torch.optim.Optimizer:
        """Return the optimiser of the method's weights."""
        # Fused, since for small networks Adam's loop over arrays is a fifth of a step. It rounds otherwise.
        return torch.optim.Adam(self.parameters(), lr=rate, fused=True)

    def rate_multiplier(self, step: Step) -> float:
        """Return the multiplier of the learning rate at a step."""
        return 1.0

    def check_rounds(self, length: int) -> None:  # noqa: B027 -- most methods train in rounds of any length
        """Refuse a number of steps a round that the method cannot use.

        Raises:
            ValueError: the message names the flag.
        """

    def initialise(self, table: FeatureTable, texts: Float[Tensor, "C K D"]) -> None:  # noqa: B027 -- as above
        """Compute the weights that have a closed form, from all training clips."""

    @abstractmethod
    def loss(
        self,
        features: Float[Tensor, "B *F"],
        labels: Int[Tensor, " B"],
        texts: Float[Tensor, "C K D"],
        *,
        step: Step,
        random: np.random.Generator,
    ) -> Float[Tensor, ""]:
        """Return the loss of a batch, whose labels are rows of `texts`."""

    @abstractmethod
    def scorer(self, texts: Float[Tensor, "C K D"]) -> Scorer:
        """Return what gives features a score for each class. It may be trained first."""
