"""A fingerprint of a model's weights that costs milliseconds even for 7 B parameters."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

_SAMPLES = 1024  # values looked at in each tensor


def weights_digest(module: nn.Module) -> str:
    """Hash names, shapes and an evenly spaced sample of the values of every parameter and buffer.

    Values are rounded to bfloat16 first, so that a model has one digest whether it is held in fp32 or bf16.

    >>> a, b = nn.Linear(4, 2), nn.Linear(4, 2)
    >>> weights_digest(a) == weights_digest(a), weights_digest(a) == weights_digest(b)
    (True, False)
    """
    digest = hashlib.sha256()
    parameters = dict(module.named_parameters(remove_duplicate=False))
    for name, value in sorted(module.state_dict().items()):
        with _gathered(parameters.get(name, value)) as tensor:
            digest.update(f"{name}{tuple(tensor.shape)}".encode())
            digest.update(_sample(tensor).cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


@contextmanager
def _gathered(tensor: Tensor) -> Iterator[Tensor]:
    """ZeRO-3 leaves each process a part of a parameter; bring it together for as long as it is looked at."""
    if hasattr(tensor, "ds_id"):
        import deepspeed

        with deepspeed.zero.GatheredParameters([tensor]):
            yield tensor
    else:
        yield tensor


def _sample(tensor: Tensor) -> Tensor:
    flat = tensor.detach().flatten()
    flat = flat[:: max(1, flat.numel() // _SAMPLES)][:_SAMPLES]
    return flat.to(torch.bfloat16).view(torch.int16)
