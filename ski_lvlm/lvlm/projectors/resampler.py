"""Resampler: as many embeddings of every clip as there are learned queries."""

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from ski_lvlm.lvlm.projectors.clip_projector import ClipProjector, places, side_by_side
from ski_lvlm.lvlm.projectors.settings import ProjectorSettings


class Resampler(ClipProjector):
    """Q learned queries that attend to a clip's tokens, a feed-forward network, and a linear layer.

    The language model reads Q embeddings of each clip, however many tokens it has. Attention alone would not see the
    order of the tokens, so each key has the sinusoids of its place in the clip.

    Source: the Perceiver resampler of Flamingo (Alayrac et al., NeurIPS 2022), with one layer as in Qwen-VL.
    Assumption: it works in the width of the tokens, which needs a hundredth of the weights of one in the language
    model's width.

    Raises:
        ValueError: the width of the tokens is no multiple of the number of heads.
    """

    def __init__(self, token_width: int, llm_width: int, settings: ProjectorSettings) -> None:
        super().__init__(token_width, llm_width, settings)
        if token_width % settings.heads:
            fitting = [heads for heads in range(1, 17) if token_width % heads == 0]
            raise ValueError(
                f"the resampler's {settings.heads} heads do not divide tokens of width {token_width}; expected "
                f"--projector_heads {' or '.join(map(str, fitting))}"
            )
        self.heads = settings.heads
        self.queries = nn.Parameter(torch.randn(settings.queries, token_width) * 0.02)
        self.query_norm, self.token_norm = nn.LayerNorm(token_width), nn.LayerNorm(token_width)
        self.query = nn.Linear(token_width, token_width)
        self.key = nn.Linear(token_width, token_width, bias=False)  # a bias adds the same to all of a query's scores
        self.value, self.mixture = nn.Linear(token_width, token_width), nn.Linear(token_width, token_width)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(token_width),
            nn.Linear(token_width, 4 * token_width),
            nn.GELU(),
            nn.Linear(4 * token_width, token_width),
        )
        self.norm, self.output = nn.LayerNorm(token_width), nn.Linear(token_width, llm_width)

    def forward(self, tokens: Float[Tensor, "N F"], counts: Int[Tensor, " S"]) -> Float[Tensor, "_ K"]:
        """Return the Q embeddings of each clip, (S Q) x K."""
        filled = places(counts)
        place = filled.nonzero()[:, 1]
        tokens = self.token_norm(tokens)
        keys = side_by_side(self.key(tokens + sinusoids(place, tokens.shape[1]).to(tokens.dtype)), filled)
        values = side_by_side(self.value(tokens), filled)
        queries = self.query(self.query_norm(self.queries)).expand(len(counts), -1, -1)
        heads = [rearrange(part, "s n (h d) -> s h n d", h=self.heads) for part in (queries, keys, values)]
        attended = functional.scaled_dot_product_attention(heads[0], heads[1], heads[2], filled[:, None, None])
        latents = self.queries + self.mixture(rearrange(attended, "s h q d -> s q (h d)"))
        latents = latents + self.feed_forward(latents)
        return self.output(self.norm(latents)).flatten(0, 1)


def sinusoids(place: Int[Tensor, " N"], width: int) -> Float[Tensor, "N {width}"]:
    """Return sines and cosines of each place, of wavelengths from 2 pi to 20,000 pi."""
    rates = 1e4 ** (-torch.arange(0, width, 2, device=place.device) / width)
    angles = place.unsqueeze(1) * rates
    return torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)[:, :width]
