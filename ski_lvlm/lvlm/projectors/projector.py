"""T_v and T_s: projectors of frozen video and skeleton tokens to embeddings of the language model."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ski_lvlm.lvlm.projectors.clip_projector import ClipProjector
from ski_lvlm.lvlm.projectors.mlp import Mlp
from ski_lvlm.lvlm.projectors.resampler import Resampler
from ski_lvlm.lvlm.projectors.settings import ProjectorSettings
from ski_lvlm.lvlm.projectors.temporal import TemporalConvolution


class Statistics(NamedTuple):
    """Mean and standard deviation of each channel of a modality's training tokens."""

    mean: Float[Tensor, " F"]
    std: Float[Tensor, " F"]


# Kinds of projectors. They are made from the widths F of the tokens and K of the language model. A `ClipProjector` also
# takes the settings, and sees whole clips. All others turn token by token into embeddings.
PROJECTORS: dict[str, type[nn.Module]] = {
    "linear": nn.Linear,
    "mlp": Mlp,
    "resampler": Resampler,
    "temporal": TemporalConvolution,
}


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
        settings: ProjectorSettings = ProjectorSettings(),  # noqa: B008 (frozen)
        standardised: bool = False,
        delimited: bool = False,
    ) -> None:
        super().__init__()
        if settings.kind not in PROJECTORS:
            raise ValueError(f"projector {settings.kind!r} is unknown; expected {' or '.join(PROJECTORS)}")
        network = PROJECTORS[settings.kind]
        sizes = (settings,) if issubclass(network, ClipProjector) else ()
        self.layers = network(token_width, llm_width, *sizes)
        self.standardised = standardised
        if standardised:
            self.register_buffer("mean", torch.zeros(token_width))
            self.register_buffer("std", torch.ones(token_width))
        if delimited:
            self.register_buffer("delimiters", torch.zeros(2, llm_width))

    def forward(self, tokens: Float[Tensor, "N F"], counts: Int[Tensor, " S"] | None = None) -> Float[Tensor, "_ K"]:
        """Return embeddings for the LLM, in the precision of the weights.

        `counts` are the tokens of each of the S clips in `tokens`, by default of one clip.
        """
        if self.standardised:  # in fp32, whatever precision an engine gave the buffers: they may be large and similar
            tokens = (tokens.float() - self.get_buffer("mean").float()) / self.get_buffer("std").float()
        tokens = tokens.to(next(self.parameters()).dtype)
        if not isinstance(self.layers, ClipProjector):
            return self.layers(tokens)
        if counts is None:
            counts = torch.tensor([len(tokens)] if len(tokens) else [], dtype=torch.long, device=tokens.device)
        return self.layers(tokens, counts)

    def standardise(self, statistics: Statistics, *, embedding_size: float) -> None:
        """Set the statistics, and start with embeddings as large as the LLM's own (root mean square)."""
        self.get_buffer("mean").copy_(statistics.mean)
        self.get_buffer("std").copy_(statistics.std.clamp(min=1e-3))
        last = [module for module in self.modules() if isinstance(module, nn.Linear)][-1]
        with torch.no_grad():
            nn.init.normal_(last.weight, std=embedding_size / last.in_features**0.5)
            nn.init.zeros_(last.bias)
