"""T_v and T_s: what turns frozen video and skeleton tokens into embeddings of the language model."""

import json
from pathlib import Path
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

    Raises:
        ValueError: `kind` is neither "linear" nor "mlp".
    """

    def __init__(self, token_width: int, llm_width: int, *, kind: str = "linear", standardised: bool = False) -> None:
        super().__init__()
        if kind not in ("linear", "mlp"):
            raise ValueError(f"projector {kind!r} is unknown; expected linear or mlp")
        first = nn.Linear(token_width, llm_width)
        self.layers = first if kind == "linear" else nn.Sequential(first, nn.GELU(), nn.Linear(llm_width, llm_width))
        self.standardised = standardised
        if standardised:
            self.register_buffer("mean", torch.zeros(token_width))
            self.register_buffer("std", torch.ones(token_width))

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


def load_video_projector(source: str, projector: Projector) -> None:
    """Copy a published video projector into T_v, strictly.

    `source` is a file (`mm_projector.bin`, `.safetensors`) or the hub id or folder of a LLaVA-style checkpoint that
    holds `model.mm_projector.*` among its weights, such as mmaaz60/LLaVA-7B-Lightening-v1-1, from which the authors
    start.

    Raises:
        ValueError: no projector in `source`, or one of another shape.
    """
    found = _projector_tensors(_weights_file(source))
    expected = projector.layers.state_dict()
    shapes = {name: tuple(tensor.shape) for name, tensor in found.items()}
    if shapes != {name: tuple(tensor.shape) for name, tensor in expected.items()}:
        raise ValueError(
            f"{source}: found projector weights {shapes or 'none'}, expected "
            f"{ {name: tuple(tensor.shape) for name, tensor in expected.items()} }; "
            "choose the LLM and vision tower that projector was trained for, or leave --video_projector out"
        )
    projector.layers.load_state_dict(found)


def _weights_file(source: str) -> Path:
    if Path(source).is_file():
        return Path(source)
    from transformers.utils import cached_file

    for index in ("model.safetensors.index.json", "pytorch_model.bin.index.json"):
        found = cached_file(source, index, _raise_exceptions_for_missing_entries=False)
        if found:
            weight_map = json.loads(Path(found).read_text())["weight_map"]
            shard = next((file for name, file in weight_map.items() if "mm_projector" in name), None)
            return Path(str(cached_file(source, shard))) if shard else Path(found)
    for whole in ("mm_projector.bin", "model.safetensors", "pytorch_model.bin"):
        found = cached_file(source, whole, _raise_exceptions_for_missing_entries=False)
        if found:
            return Path(found)
    raise ValueError(f"{source}: no weights; expected mm_projector.bin, a .safetensors file or a LLaVA checkpoint")


def _projector_tensors(file: Path) -> dict[str, Tensor]:
    if file.suffix == ".safetensors":
        from safetensors.torch import load_file

        tensors = load_file(file)
    elif file.suffix == ".json":
        return {}
    else:
        tensors = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    marker = "mm_projector."
    return {name.split(marker)[1]: tensor.float() for name, tensor in tensors.items() if marker in name}
