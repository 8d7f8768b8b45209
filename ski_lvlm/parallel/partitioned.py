"""Weights that DeepSpeed's ZeRO-3 leaves each process a part of, looked at as wholes."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor


@contextmanager
def gathered(tensor: Tensor) -> Iterator[Tensor]:
    """Bring a weight together for as long as it is looked at; every process must do so. Others stay as they are."""
    if hasattr(tensor, "ds_id"):
        import deepspeed

        with deepspeed.zero.GatheredParameters([tensor]):
            yield tensor
    else:
        yield tensor


@contextmanager
def whole_models() -> Iterator[None]:
    """Let this process alone load a model as a whole, though ZeRO-3 is on and shares models out while they load."""
    from transformers.integrations import deepspeed as integration

    reference = integration._hf_deepspeed_config_weak_ref
    integration._hf_deepspeed_config_weak_ref = None
    try:
        yield
    finally:
        integration._hf_deepspeed_config_weak_ref = reference
