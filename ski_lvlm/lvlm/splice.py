"""Projected tokens in the place of placeholders, and the trained positions of a batch."""

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ski_lvlm.llm.conversation import DELIMITER_IDS, IGNORED, PLACEHOLDER_IDS


def splice(
    embeddings: Float[Tensor, "B L K"], ids: Int[Tensor, "B L"], projected: Mapping[str, Float[Tensor, "N K"]]
) -> Float[Tensor, "B L K"]:
    """Replace each modality's placeholders by its projected tokens, in order.

    Raises:
        ValueError: a modality has more or fewer tokens than placeholders.
    """
    for modality, placeholder in PLACEHOLDER_IDS.items():
        slots = ids == placeholder
        tokens = projected.get(modality)
        count, expected = 0 if tokens is None else len(tokens), int(slots.sum())
        if count != expected:
            raise ValueError(
                f"found {count} {modality} tokens, expected {expected} (one for each placeholder in the batch); "
                "build ids and features of a sample together, as InstructDataset does"
            )
        if tokens is None:
            continue
        if expected == 0:  # keeps the projector in every rank's graph: ZeRO-3 and DDP wait for all parameters
            embeddings = embeddings + 0.0 * tokens.sum()
        embeddings = embeddings.masked_scatter(slots.unsqueeze(-1), tokens.to(embeddings.dtype))
    return embeddings


def delimit(
    embeddings: Float[Tensor, "B L K"], ids: Int[Tensor, "B L"], delimiters: Mapping[str, Float[Tensor, "2 K"]]
) -> Float[Tensor, "B L K"]:
    """Put each modality's start and end token, the rows of `delimiters`, at their positions."""
    for modality, rows in delimiters.items():
        for placeholder, row in zip(DELIMITER_IDS[modality], rows, strict=True):
            embeddings = torch.where((ids == placeholder).unsqueeze(-1), row.to(embeddings.dtype), embeddings)
    return embeddings


def trained_positions(labels: Int[Tensor, "B L"]) -> Int[Tensor, " P"]:
    """Return the positions whose next token is trained in any sample of the batch: only these need logits."""
    return (labels[:, 1:] != IGNORED).any(dim=0).nonzero().squeeze(-1)
