"""Hyperformer beside a plain formulation of the same network: time of a forward pass and of a training step.

    python -m benchmarks.hyperformer --batch 16 --threads 2 --repeats 3

The plain one follows the publication line by line: NCHW tensors, one convolution for every branch and for q and k|v, a
score matrix per term, both persons always computed. Both have the same weights, and their logits are compared first.
The two take turns, with the allocator of scripts/environment.sh (this script starts itself again with it), so that
neither profits from the other's warm memory. User and system time of the process are reported beside wall time. With
`--compile` a third turn is ours through `torch.compile`.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from benchmarks.timing import Works, in_turns
from ski_lvlm.cli import parser, run
from ski_lvlm.encoders.hyper_attention import HyperAttention
from ski_lvlm.encoders.hyperformer import Block, Hyperformer, TimeConv
from ski_lvlm.encoders.skeleton_encoder import ActionClassifier
from ski_lvlm.skeletons.layouts import LAYOUTS

Call = Callable[[Tensor], Tensor]
ALLOCATOR = {
    "MALLOC_MMAP_THRESHOLD_": "17179869184",
    "MALLOC_TRIM_THRESHOLD_": "34359738368",
    "MALLOC_TOP_PAD_": "1073741824",
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}


def plain_attention(layer: HyperAttention, x: Tensor) -> Tensor:
    """Compute attention with every term of the score on its own, from (n, c, t, j) to the same."""
    heads, width = layer.num_heads, layer.output.conv.out_channels
    normed = rearrange(layer.norm(rearrange(x, "n c t j -> n t j c")), "n t j c -> n c t j").contiguous()
    weight = layer.qkv.conv.weight
    q = F.conv2d(normed, weight[:width])
    k, v = F.conv2d(normed, weight[width:]).chunk(2, dim=1)
    q, k, v = (rearrange(y, "n (h d) t j -> n t h j d", h=heads).contiguous() for y in (q, k, v))
    groups = torch.einsum("nctj,gj->nctg", x, layer.group_mean)
    e = F.conv2d(groups, layer.group_projection.conv.weight)[..., layer.membership.argmax(1)]
    e = rearrange(e, "n (h d) t j -> n t h j d", h=heads).contiguous()
    r = rearrange(layer.hop_embedding[layer.hops], "i j (h d) -> h i j d", h=heads)
    scores = q @ k.mT + torch.einsum("nthid,hijd->nthij", q, r) + q @ e.mT
    scores = scores + torch.einsum("hd,nthjd->nthj", layer.group_weight, e)[..., None, :]
    weights = layer.alpha * (scores * layer.scale).softmax(-1) + layer.joint_matrix
    mixed = rearrange(weights @ v, "n t h j d -> n (h d) t j").contiguous()
    skip = x if isinstance(layer.skip, nn.Identity) else layer.skip.conv(x)
    return skip + layer.output.conv(mixed)


def plain_norm(x: Tensor, norm: nn.BatchNorm2d, part: slice) -> Tensor:
    """Apply batch norm to a part of the channels."""
    mean, var = norm.running_mean[part], norm.running_var[part]  # type: ignore[index]
    return F.batch_norm(x, mean, var, norm.weight[part], norm.bias[part], norm.training, norm.momentum or 0.1)


def plain_time(layer: TimeConv, x: Tensor) -> Tensor:
    """Apply four branches, each with convolutions and batch norms of its own."""
    outs = []
    for branch in range(4):
        part = slice(branch * layer.quarter, (branch + 1) * layer.quarter)
        stride = layer.stride if branch == 3 else 1
        weight, bias = layer.entrance.weight[part], layer.entrance.bias[part]  # type: ignore[index]
        y = F.conv2d(x, weight, bias, stride=(stride, 1))
        if branch < 3:
            y = F.relu(plain_norm(y, layer.entrance_norm, part))
        if branch < 2:
            y = (layer.short, layer.long)[branch](y)
        if branch == 2:
            y = F.max_pool2d(y, (3, 1), stride=(layer.stride, 1), padding=(1, 0))
        outs.append(plain_norm(y, layer.exit_norm, part))
    return torch.cat(outs, dim=1)


def plain_block(block: nn.Module, x: Tensor) -> Tensor:
    """Apply one block."""
    assert isinstance(block, Block)
    return F.relu(
        plain_time(block.time, plain_attention(block.attention, x)) + block.residual(x[:, :, :: block.time.stride])
    )


def plain_feature(encoder: Hyperformer, skeleton: Tensor) -> Tensor:
    """Compute z_s the plain way, with an absent person as zeros everywhere but in the last mean."""
    present = ~skeleton.isnan().flatten(-2).all(-1).all(1)
    x = encoder.entrance_norm(rearrange(skeleton.nan_to_num(0.0), "b t m j c -> b (m j c) t"))
    x = rearrange(x, "b (m j c) t -> (b m) c t j", m=encoder.num_persons, c=encoder.in_channels).contiguous()
    for block in encoder.blocks:
        x = plain_block(block, x)
    persons = rearrange(x.mean((2, 3)), "(b m) c -> b m c", m=encoder.num_persons) * present[..., None]
    return persons.sum(1) / present.sum(1, keepdim=True)


def least_costs(works: Works, *, repeats: int) -> dict[str, tuple[float, float]]:
    """Return the least wall and CPU time of each work, in turns, after a turn that warms up."""
    turns = in_turns(works, rounds=repeats + 1)
    return {name: (min(c.wall for c in costs[1:]), min(c.cpu for c in costs[1:])) for name, costs in turns.items()}


def forward_and_step(call: Call, model: ActionClassifier, x: Tensor) -> tuple[Callable, Callable]:
    """Return the works: a forward pass for evaluation, and forward and backward for training."""

    def forward() -> None:
        model.eval()
        with torch.no_grad():
            call(x)

    def step() -> None:
        model.train().zero_grad()
        call(x).logsumexp(1).sum().backward()

    return forward, step


def compare(calls: dict[str, Call], model: ActionClassifier, *, clips: Tensor, repeats: int) -> None:
    """Print the cost of each call on these clips, and the distance of its logits from the plain ones."""
    model.eval()
    with torch.no_grad():
        expected = calls["plain"](clips)
        differences = [(call(clips) - expected).abs().max() / expected.abs().max() for call in calls.values()]
    print(f"largest difference of the logits, relative to the largest: {max(differences):.1e}")
    for title, index in (("forward", 0), ("training step", 1)):
        works = {name: forward_and_step(call, model, clips)[index] for name, call in calls.items()}
        best = least_costs(works, repeats=repeats)
        for name, (wall, cpu) in best.items():
            faster = best["plain"][1] / cpu
            print(f"{title:14} {name:8} {wall:7.2f} s wall {cpu:7.2f} s CPU  {faster:4.1f} x less CPU than plain")


def flags_of(description: str) -> argparse.ArgumentParser:
    """Return the flags of a comparison of encoders."""
    arguments = parser(description)
    arguments.add_argument("--batch", type=int, default=16, help="clips")
    arguments.add_argument("--frames", type=int, default=64, help="T_s")
    arguments.add_argument(
        "--alone", type=float, nargs="+", default=[0.0, 0.8], help="shares of clips with one person (NTU: 0.8)"
    )
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--repeats", type=int, default=3)
    return arguments


def settle(args: argparse.Namespace) -> None:
    """Start this command again with the allocator, unless it has it, and set threads and seed."""
    if any(os.environ.get(name) != value for name, value in ALLOCATOR.items()):
        threads = {"OMP_NUM_THREADS": str(args.threads)}
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **ALLOCATOR, **threads})
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)


def compare_shares(calls: dict[str, Call], model: ActionClassifier, args: argparse.Namespace) -> None:
    """Print one table for each share of clips with one person."""
    for share in args.alone:
        clips = torch.randn(args.batch, args.frames, 2, 25, 3)
        clips[: round(share * args.batch), :, 1] = torch.nan
        print(f"batch {args.batch}, T_s {args.frames}, {args.threads} threads, one person in {share:.0%} of the clips")
        compare(calls, model, clips=clips, repeats=args.repeats)


def main(flags: Sequence[str] | None) -> None:
    """Measure Hyperformer."""
    arguments = flags_of(__doc__ or "")
    arguments.add_argument("--compile", action="store_true", help="also measure ours through torch.compile")
    args = arguments.parse_args(flags)
    settle(args)
    encoder = Hyperformer(layout=LAYOUTS["ntu-25"])
    model = ActionClassifier(encoder, num_classes=60)
    for block in encoder.blocks:
        nn.init.ones_(block.attention.alpha)  # type: ignore[union-attr, arg-type]
    calls: dict[str, Call] = {"plain": lambda y: model.head(plain_feature(encoder, y)), "ours": model}
    if args.compile:
        calls["compiled"] = torch.compile(model)
    compare_shares(calls, model, args)


if __name__ == "__main__":
    run(main)
