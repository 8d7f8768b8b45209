"""Temporal convolution: neighbouring skeleton tokens, in the order of time, become one embedding."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from ski_lvlm.lvlm.projectors.clip_projector import ClipProjector, places, side_by_side
from ski_lvlm.lvlm.projectors.settings import ProjectorSettings


class TemporalConvolution(ClipProjector):
    """A convolution over time, a GELU and a linear layer. N tokens become N / stride embeddings, rounded up.

    Assumption: the tokens of a clip lie in the order of time. Those of scripts/extract_features.py do: the tokens of
    interleaved views are laid out in the order of their frames (`ski_lvlm.encoders.skeleton_views.tokens_of_views`).
    Beyond the ends of a clip are zeros.
    """

    def __init__(self, token_width: int, llm_width: int, settings: ProjectorSettings) -> None:
        super().__init__(token_width, llm_width, settings)
        self.settings = settings
        self.convolution = nn.Conv1d(
            token_width, token_width, settings.kernel, stride=settings.stride, padding=settings.kernel // 2
        )
        self.output = nn.Linear(token_width, llm_width)

    def forward(self, tokens: Float[Tensor, "N F"], counts: Int[Tensor, " S"]) -> Float[Tensor, "_ K"]:
        """Return the embeddings of the clips behind each other."""
        filled = places(counts)
        if not filled.numel():  # a convolution refuses clips of length 0, but its weights must stay in the graph
            filled = filled.new_zeros(0, 1)
        steps = self.convolution(side_by_side(tokens, filled).transpose(1, 2)).transpose(1, 2)
        remaining = places(torch.div(counts + self.settings.stride - 1, self.settings.stride, rounding_mode="floor"))
        return self.output(functional.gelu(steps[:, : remaining.shape[1]][remaining]))
