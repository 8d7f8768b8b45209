"""Another processor's rounding: with OTHER_ROUNDING=SEED, results in single precision are off in their last digits.

The same call gives the same result. The same numbers in another batch do not, as on a processor that splits them
otherwise. No test may tell the difference.
"""

from functools import lru_cache
from zlib import crc32

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

SIZE = 3e-7  # of the largest deviation, relative: five units in the last place
PRODUCTS = {"mm", "addmm", "bmm", "baddbmm", "convolution", "convolution_backward"}
SUMS = {"mean", "sum", "_softmax", "_softmax_backward_data", "_log_softmax"}
NORMS = {"native_layer_norm", "native_layer_norm_backward", "native_batch_norm", "native_batch_norm_backward"}
ATTENTION = {f"_scaled_dot_product_flash_attention_for_cpu{way}" for way in ("", "_backward")}
ROUNDED = PRODUCTS | SUMS | NORMS | ATTENTION | {"exp", "gelu", "gelu_backward"}


class OtherRounding(TorchDispatchMode):
    """Multiplies the results of some operations by factors that their name and shape decide."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed = seed

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        name = func._schema.name.removeprefix("aten::")
        is_exact = name in ("mean", "sum") and args[0].numel() <= 8  # few are added in one order everywhere
        if name not in ROUNDED or func._schema.is_mutable or is_exact:
            return result
        return tree_map(lambda value: self._rounded(value, name), result)

    def _rounded(self, value, name):
        if isinstance(value, torch.Tensor) and value.dtype == torch.float32 and value.device.type == "cpu":
            value.detach().mul_(factors(name, tuple(value.shape), self.seed))
        return value


@lru_cache(maxsize=2000)
def factors(name, shape, seed):
    draw = torch.Generator().manual_seed(crc32(repr((name, shape, seed)).encode()))
    return 1 + SIZE * (2 * torch.rand(shape, generator=draw) - 1)
