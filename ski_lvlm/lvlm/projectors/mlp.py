"""LLaVA-1.5's projector."""

from torch import nn


class Mlp(nn.Sequential):
    """LLaVA-1.5's projector: Linear, GELU, Linear."""

    def __init__(self, token_width: int, llm_width: int) -> None:
        super().__init__(nn.Linear(token_width, llm_width), nn.GELU(), nn.Linear(llm_width, llm_width))
