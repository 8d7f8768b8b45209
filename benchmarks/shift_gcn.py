"""Shift-GCN beside a plain formulation of the same network: time of a forward pass and of a training step.

    python -m benchmarks.shift_gcn --batch 16 --threads 2 --repeats 3

The plain one follows the publication line by line: NCHW tensors, the joints' shifts as a selection of single numbers,
and the shift in time as a loop over the channels, in place of the published CUDA kernel. Both persons are always
computed. Both have the same weights, with offsets of up to four frames as in trained networks, and their logits are
compared first. One shift in time is measured alone too. The two take turns, as in benchmarks/hyperformer.py, whose
allocator is used too.
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from benchmarks.hyperformer import Call, compare_shares, flags_of, least_costs, settle
from ski_lvlm.cli import run
from ski_lvlm.encoders.shift_gcn import Block, JointShift, Projection, ShiftGCN
from ski_lvlm.encoders.skeleton_encoder import ActionClassifier
from ski_lvlm.encoders.temporal_shift import TemporalShift
from ski_lvlm.skeletons.layouts import LAYOUTS


def plain_norm(norm: nn.BatchNorm1d, x: Tensor) -> Tensor:
    """Apply batch norm over the channels, the second axis."""
    return F.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias, norm.training)


def plain_projection(projection: nn.Module, x: Tensor, *, stride: int = 1) -> Tensor:
    """Apply a 1x1 convolution and a batch norm, or nothing."""
    if not isinstance(projection, Projection):
        return x
    linear = projection.linear
    x = F.conv2d(x, linear.weight[..., None, None], linear.bias, stride=(stride, 1))
    return plain_norm(projection.norm, x)


def plain_joints(layer: JointShift, x: Tensor) -> Tensor:
    """Apply the spatial part, from (n, c, t, v) to (n, d, t, v)."""
    clips, _, frames, joints = x.shape
    lines = rearrange(x, "n c t v -> (n t) (v c)").index_select(1, layer.shift_in)
    lines = rearrange(lines, "n (v c) -> n v c", v=joints) * (layer.mask.tanh() + 1)
    mixed = torch.einsum("nvc,cd->nvd", lines, layer.weight) + layer.bias
    mixed = plain_norm(layer.norm, mixed.flatten(1).index_select(1, layer.shift_out))
    mixed = rearrange(mixed, "(n t) (v d) -> n d t v", n=clips, t=frames, v=joints)
    return F.relu(mixed + plain_projection(layer.skip, x))


def plain_shift(shift: TemporalShift, x: Tensor) -> Tensor:
    """Shift in time, one channel after the other."""
    offset = shift.offset + (0.5 if shift.stride == 2 else 0.0)
    channels = []
    for channel, start in enumerate(offset.floor().long().tolist()):
        part = offset[channel] - start
        nearer, further = (_moved(x[:, channel], by, shift.stride) for by in (start, start + 1))
        channels.append((1 - part) * nearer + part * further)
    return torch.stack(channels, dim=1)


def _moved(x: Tensor, by: int, stride: int) -> Tensor:
    """Return (n, t, v) frames `by` later, with zeros beyond the ends."""
    frames = x.shape[1]
    by = max(-frames, min(frames, by))
    padded = F.pad(x, (0, 0, max(-by, 0), max(by, 0)))
    start = max(by, 0)
    return padded[:, start : start + frames : stride]


def plain_block(block: nn.Module, x: Tensor) -> Tensor:
    """Apply one block."""
    assert isinstance(block, Block)
    time = block.time
    y = plain_shift(time.shift_in, plain_norm(time.entrance_norm, plain_joints(block.joints, x)))
    y = F.relu(F.conv2d(y, time.linear.weight[..., None, None], time.linear.bias))
    y = plain_norm(time.exit_norm, plain_shift(time.shift_out, y))
    return F.relu(y + plain_projection(block.residual, x, stride=block.stride) if block.has_residual else y)


def plain_feature(encoder: ShiftGCN, skeleton: Tensor) -> Tensor:
    """Compute z_s the plain way, with an absent person as zeros everywhere but in the last mean."""
    present = ~skeleton.isnan().flatten(-2).all(-1).all(1)
    x = encoder.entrance_norm(rearrange(skeleton.nan_to_num(0.0), "b t m j c -> b (m j c) t"))
    x = rearrange(x, "b (m j c) t -> (b m) c t j", m=encoder.num_persons, c=encoder.in_channels).contiguous()
    for block in encoder.blocks:
        x = plain_block(block, x)
    persons = rearrange(x.mean((2, 3)), "(b m) c -> b m c", m=encoder.num_persons) * present[..., None]
    return persons.sum(1) / present.sum(1, keepdim=True)


def compare_shifts(clips: int, frames: int, *, repeats: int) -> None:
    """Print the cost of one shift in time of 64 channels, alone."""
    shift = TemporalShift(64)
    nn.init.uniform_(shift.offset, -4.0, 4.0)
    x = torch.randn(25, 64, frames, 2 * clips, requires_grad=True)
    plain_x = rearrange(x.detach(), "v c t n -> n c t v").contiguous().requires_grad_()
    calls: dict[str, Callable[[], Tensor]] = {"plain": lambda: plain_shift(shift, plain_x), "ours": lambda: shift(x)}

    def forward(call: Callable[[], Tensor]) -> None:
        with torch.no_grad():
            call()

    def step(call: Callable[[], Tensor]) -> None:
        call().sum().backward()

    for title, work in (("shift forward", forward), ("shift step", step)):
        best = least_costs({name: partial(work, call) for name, call in calls.items()}, repeats=repeats)
        for name, (wall, cpu) in best.items():
            faster = best["plain"][1] / cpu
            print(f"{title:14} {name:8} {1e3 * wall:6.1f} ms wall {1e3 * cpu:6.1f} ms CPU {faster:4.1f} x less CPU")


def main(flags: Sequence[str] | None) -> None:
    """Measure Shift-GCN."""
    args = flags_of(__doc__ or "").parse_args(flags)
    settle(args)
    encoder = ShiftGCN(layout=LAYOUTS["ntu-25"])
    model = ActionClassifier(encoder, num_classes=60)
    for shift in (module for module in encoder.modules() if isinstance(module, TemporalShift)):
        nn.init.uniform_(shift.offset, -4.0, 4.0)
    calls: dict[str, Call] = {"plain": lambda y: model.head(plain_feature(encoder, y)), "ours": model}
    compare_shifts(args.batch, args.frames, repeats=3 * args.repeats)
    compare_shares(calls, model, args)


if __name__ == "__main__":
    run(main)
