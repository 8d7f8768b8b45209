"""T_v and T_s: projectors of frozen video and skeleton tokens to embeddings of the language model."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Statistics(NamedTuple):
    """Mean and standard deviation of each channel of a modality's training tokens."""

    mean: Float[Tensor, " F"]
    std: Float[Tensor, " F"]


class Mlp(nn.Sequential):
    """LLaVA-1.5's projector: Linear, GELU, Linear."""

    def __init__(self, token_width: int, llm_width: int) -> None:
        super().__init__(nn.Linear(token_width, llm_width), nn.GELU(), nn.Linear(llm_width, llm_width))


# Kinds of projectors: modules made from the widths F of the tokens and K of the language model.
PROJECTORS: dict[str, Callable[[int, int], nn.Module]] = {"linear": nn.Linear, "mlp": Mlp}


class Projector(nn.Module):
    """A projector from tokens of width F to LLM embeddings of width K.

    Paper: Eq. (4), Sec. 3.3: Q = T(z). Assumption: one linear layer with bias, as in Video-ChatGPT, which the paper
    builds on.

    `standardised` shifts and scales the channels first, by statistics that are kept with the weights. A linear T stays
    linear, but learns faster from features whose channels differ in size.

    `delimited` keeps a start and an end token beside it, the rows of `delimiters` (2 K), which published models put
    around their tokens.
    """

    def __init__(
        self,
        token_width: int,
        llm_width: int,
        *,
        kind: str = "linear",
        standardised: bool = False,
        delimited: bool = False,
    ) -> None:
        super().__init__()
        if kind not in PROJECTORS:
            raise ValueError(f"projector {kind!r} is unknown; expected {' or '.join(PROJECTORS)}")
        self.layers = PROJECTORS[kind](token_width, llm_width)
        self.standardised = standardised
        if standardised:
            self.register_buffer("mean", torch.zeros(token_width))
            self.register_buffer("std", torch.ones(token_width))
        if delimited:
            self.register_buffer("delimiters", torch.zeros(2, llm_width))

    def forward(self, tokens: Float[Tensor, "N F"]) -> Float[Tensor, "N K"]:
        """Return embeddings for the LLM, in the precision of the weights."""
        if self.standardised:  # in fp32, whatever precision an engine gave the buffers: they may be large and similar
            tokens = (tokens.float() - self.get_buffer("mean").float()) / self.get_buffer("std").float()
        return self.layers(tokens.to(next(self.parameters()).dtype))

    def standardise(self, statistics: Statistics, *, embedding_size: float) -> None:
        """Set the statistics, and start with embeddings as large as the LLM's own (root mean square)."""
        self.get_buffer("mean").copy_(statistics.mean)
        self.get_buffer("std").copy_(statistics.std.clamp(min=1e-3))
        last = [module for module in self.modules() if isinstance(module, nn.Linear)][-1]
        with torch.no_grad():
            nn.init.normal_(last.weight, std=embedding_size / last.in_features**0.5)
            nn.init.zeros_(last.bias)
