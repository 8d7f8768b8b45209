"""Access to whole weights and models where DeepSpeed's ZeRO-3 partitions them over processes."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor


@contextmanager
def gathered(tensor: Tensor) -> Iterator[Tensor]:
    """Yield a whole weight. If ZeRO-3 has partitioned it, every process must enter."""
    if hasattr(tensor, "ds_id"):
        import deepspeed

        with deepspeed.zero.GatheredParameters([tensor]):
            yield tensor
    else:
        yield tensor


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
