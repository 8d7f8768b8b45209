"""T_v and T_s: what turns frozen video and skeleton tokens into embeddings of the language model."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Statistics(NamedTuple):
    """Mean and standard deviation of each channel of a modality's training tokens."""

    mean: Float[Tensor, " F"]
    std: Float[Tensor, " F"]


class Projector(nn.Module):
    """A projector from tokens of width F to LLM embeddings of width K.

    Paper: Eq. (4), Sec. 3.3: Q = T(z). Assumption: one linear layer with bias, as in Video-ChatGPT, which the paper
    builds on; "mlp" is LLaVA-1.5's Linear-GELU-Linear.

    `standardised` shifts and scales the channels first, by statistics that are kept with the weights. With a linear
    layer T stays linear; what changes is how fast it learns from features whose channels differ in size.

    `delimited` keeps a start and an end token beside it, the rows of `delimiters` (2 K), which published models put
    around their tokens.

    Raises:
        ValueError: `kind` is neither "linear" nor "mlp".
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
        if kind not in ("linear", "mlp"):
            raise ValueError(f"projector {kind!r} is unknown; expected linear or mlp")
        first = nn.Linear(token_width, llm_width)
        self.layers = first if kind == "linear" else nn.Sequential(first, nn.GELU(), nn.Linear(llm_width, llm_width))
        self.standardised = standardised
        if standardised:
            self.register_buffer("mean", torch.zeros(token_width))
            self.register_buffer("std", torch.ones(token_width))
        if delimited:
            self.register_buffer("delimiters", torch.zeros(2, llm_width))

    def forward(self, tokens: Float[Tensor, "N F"]) -> Float[Tensor, "N K"]:
        """Embeddings for the LLM, in the precision of the weights."""
        if self.standardised:  # in fp32, whatever precision an engine gave the buffers: they may be large and alike
            tokens = (tokens.float() - self.get_buffer("mean").float()) / self.get_buffer("std").float()
        return self.layers(tokens.to(next(self.parameters()).dtype))

    def standardise(self, statistics: Statistics, *, embedding_size: float) -> None:
        """Take the statistics over, and start with embeddings as large as the LLM's own (root mean square)."""
        self.get_buffer("mean").copy_(statistics.mean)
        self.get_buffer("std").copy_(statistics.std.clamp(min=1e-3))
        last = [module for module in self.modules() if isinstance(module, nn.Linear)][-1]
        with torch.no_grad():
            nn.init.normal_(last.weight, std=embedding_size / last.in_features**0.5)
            nn.init.zeros_(last.bias)
