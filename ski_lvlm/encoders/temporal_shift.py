"""Shift-GCN's shift in time: every channel looks a learned number of frames ahead or back, in parts of a frame."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

_STEP, _LEAST_STEP = 0.01, 0.0001  # of the published rule for the offsets' gradient


class _SignOfGradient(torch.autograd.Function):
    """The offsets as they are. Their gradient becomes its sign times a step."""

    @staticmethod
    def forward(context: torch.autograd.function.FunctionCtx, offset: Tensor, num_parts: int) -> Tensor:
        """Return the offsets."""
        context.num_parts = num_parts  # type: ignore[attr-defined]
        return offset.view_as(offset)

    @staticmethod
    def backward(context: torch.autograd.function.FunctionCtx, gradient: Tensor) -> tuple[Tensor, None]:
        """Return the sign times 0.01, and 0.0001 where there is none."""
        step = torch.where(gradient == 0, _LEAST_STEP, gradient.sign() * _STEP)
        return step / context.num_parts, None  # type: ignore[attr-defined]


class TemporalShift(nn.Module):
    """One real offset for each channel, in frames.

    output(t) = (1 - d) x(s t + floor(y)) + d x(s t + floor(y) + 1), with y the offset (for a stride s of 2 half a frame
    more), d what y has beyond its floor, and zeros outside the clip. It is computed as a gather and an interpolation.

    The gradient of y is replaced by its sign (see `_SignOfGradient`), the one rule here that is not plain autograd.

    Assumption: several processes and gradient accumulation average the signs of their parts of the batch. With several
    GPUs the published network adds them up. So such a run is not the same as that of a whole batch to rounding.
    Deviation: the published network has a second offset, between joints, that starts at 1e-8 and is never trained.
    """

    def __init__(self, num_channels: int, *, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.num_parts = 1  # that a batch's gradient is accumulated from
        self.offset = nn.Parameter(torch.empty(num_channels).uniform_(-1.0, 1.0))

    def forward(self, x: Float[Tensor, "J C T N"]) -> Float[Tensor, "J C U N"]:
        """Shift every channel. A stride of 2 halves the time steps, rounding down."""
        channels, frames = x.shape[1:3]
        stride, steps = self.stride, frames // self.stride
        offset = _SignOfGradient.apply(self.offset, self.num_parts)
        offset = offset.to(torch.promote_types(offset.dtype, torch.float32))
        if stride == 2:
            offset = offset + 0.5
        start = offset.detach().floor()
        run = torch.arange(stride * (steps - 1) + 2, device=x.device)  # frames from the first to the last needed one
        frame = start.long()[:, None] + run
        is_inside = (frame >= 0) & (frame < frames)
        row = frame.clamp(0, frames - 1) + torch.arange(channels, device=x.device)[:, None] * frames
        values = x.flatten(1, 2).index_select(1, row.flatten()).unflatten(1, row.shape)
        weight = (offset - start)[:, None]
        nearer = ((1 - weight) * is_inside[:, :-1:stride]).to(x.dtype)[..., None]
        further = (weight * is_inside[:, 1::stride]).to(x.dtype)[..., None]
        return torch.addcmul(values[:, :, :-1:stride] * nearer, values[:, :, 1::stride], further)
