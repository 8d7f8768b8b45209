"""The base of projectors that see all tokens of a clip, and the clips of a batch side by side."""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from ski_lvlm.lvlm.projectors.settings import ProjectorSettings


class ClipProjector(nn.Module, ABC):
    """Base of projectors whose embeddings depend on several tokens of a clip.

    A subclass is made from the widths F of the tokens and K of the language model, and `settings`.
    `ProjectorSettings.count` must know how many embeddings it makes.
    """

    @abstractmethod
    def __init__(self, token_width: int, llm_width: int, settings: ProjectorSettings) -> None:
        super().__init__()

    @abstractmethod
    def forward(self, tokens: Float[Tensor, "N F"], counts: Int[Tensor, " S"]) -> Float[Tensor, "_ K"]:
        """Return the embeddings of S clips behind each other. `counts` are the tokens of each clip.

        A batch without clips, S = 0, must keep all weights in the graph, because other processes wait for them.
        """


def places(counts: Int[Tensor, " S"]) -> Bool[Tensor, "S M"]:
    """Return which of M places each clip fills, M being the longest clip's number of tokens."""
    longest = int(counts.max()) if len(counts) else 0
    return torch.arange(longest, device=counts.device) < counts.unsqueeze(1)


def side_by_side(tokens: Float[Tensor, "N F"], filled: Bool[Tensor, "S M"]) -> Float[Tensor, "S M F"]:
    """Lay the clips' tokens side by side, with zeros behind the shorter ones."""
    padded = tokens.new_zeros(*filled.shape, tokens.shape[1])
    return padded.masked_scatter(filled.unsqueeze(-1), tokens)
