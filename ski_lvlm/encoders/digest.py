"""Fingerprints of weights, over every value."""

import hashlib
from collections.abc import Mapping
from functools import cache

import torch
from jaxtyping import Int
from torch import Tensor, nn

from ski_lvlm.parallel.partitioned import gathered

_WORDS = 1 << 20  # 64-bit words that are summed at a time: 8 MiB


def weights_digest(module: nn.Module, *settings: object, rounded: bool = True) -> str:
    """Return a hash of the names, shapes and all values of the parameters and buffers, and of `settings`.

    Values are rounded to bfloat16 first, so that a model has one digest whether it is held in fp32 or bf16. Trained
    weights, which are always held in fp32, are distinguished to the last bit without `rounded`.

    The values are summed in blocks, each 64-bit word times an odd number of its place, modulo 2^64. This is exact in
    any order, so that every device gives the same sum. On a CPU it costs one core 0.2 s for 134 M parameters.

    >>> a, b = nn.Linear(4, 2), nn.Linear(4, 2)
    >>> weights_digest(a) == weights_digest(a), weights_digest(a) == weights_digest(b)
    (True, False)
    """
    parameters = dict(module.named_parameters(remove_duplicate=False))
    tensors = {name: parameters.get(name, value) for name, value in module.state_dict().items()}
    return tensors_digest(tensors, *settings, rounded=rounded)


def tensors_digest(tensors: Mapping[str, Tensor], *settings: object, rounded: bool = True) -> str:
    """Return a hash of the names, shapes and all values of tensors, and of `settings`, as `weights_digest`."""
    digest = hashlib.sha256("".join(f"{setting!r};" for setting in settings).encode())
    for name, value in sorted(tensors.items(), key=lambda item: item[0]):
        with gathered(value) as tensor:
            digest.update(f"{name}{tuple(tensor.shape)}".encode())
            for block_sum in _block_sums(tensor, torch.bfloat16 if rounded else torch.float32):
                digest.update(block_sum.to_bytes(8, "little", signed=True))
    return digest.hexdigest()[:16]


def _block_sums(tensor: Tensor, precision: torch.dtype) -> list[int]:
    """Sum each block of a tensor's words, on the tensor's device."""
    flat = tensor.detach().reshape(-1)
    dtype = precision if flat.is_floating_point() else torch.int64
    values = _WORDS * 8 // dtype.itemsize  # of a block
    sums = [_block_sum(flat[start : start + values].to(dtype)) for start in range(0, flat.numel(), values)]
    return torch.stack(sums).tolist() if sums else []


def _block_sum(block: Tensor) -> Int[Tensor, ""]:
    data = block.contiguous().view(torch.uint8)
    words = torch.nn.functional.pad(data, (0, -len(data) % 8)).view(torch.int64)
    words = words ^ ((words >> 32) & 0xFFFFFFFF)  # else a change in a word's top bits moves the sum's top bits alone
    return (words * _places(str(block.device))[: len(words)]).sum()


@cache
def _places(device: str) -> Int[Tensor, " _"]:
    """Return an odd 64-bit number for each place of a block, the same on every machine."""
    bits = torch.frombuffer(bytearray(hashlib.shake_256(b"places").digest(8 * _WORDS)), dtype=torch.int64)
    return (bits | 1).to(device)
