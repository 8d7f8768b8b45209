"""Count of what a forward pass keeps for the backward pass, with or without real memory."""

from typing import Any

from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks


class KeptBytes:
    """Count of the bytes that autograd keeps while this context is open.

    What is counted:

    - every storage that an operation saves for its backward pass, whole and once, however many views of it are saved
    - the inputs that gradient checkpointing keeps, and not what it computes again
    - no parameters and buffers of `model`, which are there anyway

    What is not counted: weights, gradients, optimiser states, and memory in use for a moment, such as a layer that
    checkpointing computes again. Under `torch._subclasses.fake_tensor.FakeTensorMode` a model of any size is counted
    without its memory. Saved storages live at least until the context is closed, so use one for each forward pass.

    >>> import torch
    >>> linear, x = nn.Linear(4, 4), torch.ones(2, 4, requires_grad=True)
    >>> with KeptBytes(linear) as counter:
    ...     y = linear(x).relu()
    >>> counter.bytes  # x and the outcome of the ReLU, each of 2 x 4 numbers
    64
    """

    def __init__(self, model: nn.Module) -> None:
        self._hooks = saved_tensors_hooks(self._note, lambda tensor: tensor)
        present = [*model.parameters(), *model.buffers()]
        self._present = {_identity(tensor) for tensor in present}
        self._kept: dict[int, Any] = {}
        self._total = 0  # once the context is closed

    def __enter__(self) -> "KeptBytes":
        """Begin to count."""
        self._hooks.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:  # noqa: ANN401
        """End the count, and let go of what it has counted."""
        self._hooks.__exit__(*error)
        self._total = self.bytes
        self._kept.clear()

    @property
    def bytes(self) -> int:
        """Return the bytes that are kept so far."""
        return self._total + sum(storage.nbytes() for storage in self._kept.values())

    def _note(self, tensor: Tensor) -> Tensor:
        if (identity := _identity(tensor)) not in self._present:
            self._kept[identity] = tensor.untyped_storage()
        return tensor


def _identity(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)
