"""Padding of token sequences on the left, in training and inference alike."""

from collections.abc import Sequence

from jaxtyping import Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence


def left_padded(sequences: Sequence[Int[Tensor, " _"]], value: int) -> Int[Tensor, "B L"]:
    """Stack sequences of unequal length, padded on the left so that answers end together, which saves logits."""
    return pad_sequence(list(sequences), batch_first=True, padding_value=value, padding_side="left")


def unpadded_positions(attention_mask: Int[Tensor, "B L"]) -> Int[Tensor, "B L"]:
    """Return the position of each token counted from its sample's first, so that padding shifts nothing."""
    return (attention_mask.cumsum(dim=1) - 1).clamp(min=0)
