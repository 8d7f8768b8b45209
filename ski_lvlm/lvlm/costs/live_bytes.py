"""Count of the memory of all tensors that live at once, real or fake."""

import weakref
from typing import Any

from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter


class LiveBytes(TorchDispatchMode):
    """Count of the bytes of all living tensors that are made while it is entered, and its peak.

    Weights of `model` are there before and do not count. Memory that an operation needs within itself is not seen.

    >>> import torch
    >>> with LiveBytes(nn.Identity()) as live:
    ...     x = torch.ones(100) + 1  # the ones live until the sum is there
    >>> live.now, live.peak
    (400, 800)
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.now = 0
        self.peak = 0
        present = [*model.parameters(), *model.buffers(), *(p.grad for p in model.parameters() if p.grad is not None)]
        self._sizes = {tensor.untyped_storage()._cdata: 0 for tensor in present}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401
        result = func(*args, **(kwargs or {}))
        for tensor in tree_iter(result):
            if isinstance(tensor, Tensor):
                self._add(tensor)
        return result

    def _add(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage._cdata in self._sizes:
            return
        self._sizes[storage._cdata] = storage.nbytes()
        weakref.finalize(storage, self._remove, storage._cdata).atexit = False
        self.now += storage.nbytes()
        self.peak = max(self.peak, self.now)

    def _remove(self, identity: int) -> None:
        self.now -= self._sizes.pop(identity)
