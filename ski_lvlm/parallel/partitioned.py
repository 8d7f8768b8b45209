"""Access to whole weights and models where DeepSpeed's ZeRO-3 partitions them over processes."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


@contextmanager
def gathered(tensor: Tensor, *, is_written: bool = False) -> Iterator[Tensor]:
    """Yield a whole weight, of which all processes keep what the first writes if it `is_written`.

    If ZeRO-3 has partitioned it, every process must enter.
    """
    if hasattr(tensor, "ds_id"):
        import deepspeed

        with deepspeed.zero.GatheredParameters([tensor], modifier_rank=0 if is_written else None):
            yield tensor
    else:
        yield tensor


def assign(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Copy whole weights into the parameters and buffers of a model by their names. Every process must call it."""
    tensors = {**model.state_dict(), **dict(model.named_parameters(remove_duplicate=False))}
    for name, value in weights.items():
        with torch.no_grad(), gathered(tensors[name], is_written=True) as whole:
            whole.copy_(value)


@contextmanager
def whole_models() -> Iterator[None]:
    """Let this process load a whole model, although ZeRO-3 partitions models while they load."""
    from transformers.integrations import deepspeed as integration

    reference = integration._hf_deepspeed_config_weak_ref
    integration._hf_deepspeed_config_weak_ref = None
    try:
        yield
    finally:
        integration._hf_deepspeed_config_weak_ref = reference
