"""STAR's floating-point operations: one training step, as published and with linear layers multiplied once a batch.

    python -m benchmarks.star_flops --batch 64 --seconds

The plain formulation follows the publication: the queries of every clip are projected, keys and values have the full
width, and three linear layers follow the attention one by one. Both formulations have the same weights, and their
results are compared on two clips. The operations are counted without computing them, a product and a sum as two. They
are those of the readers, since a text's map costs the same in both. --seconds measures the time of a step too.
"""

import argparse
import copy
from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.timing import in_turns
from ski_lvlm.cli import run
from ski_lvlm.skeleton_text.methods.part_reader import PartNetwork, PartReader
from ski_lvlm.skeletons.layouts import LAYOUTS
from ski_lvlm.skeletons.parts import body_parts

Read = Callable[[PartReader, Tensor], Tensor]


def plain_read(reader: PartReader, joints: Tensor) -> Tensor:
    """Return the numbers of all queries, (b, i), from the joints of one part, (b, s, f)."""
    queries = repeat(reader.queries, "i w -> b i w", b=len(joints))
    query, key, value = (
        rearrange(x, "b n (h d) -> b h n d", h=reader.heads)
        for x in (reader.query(queries), reader.key(joints), reader.value(joints))
    )
    shares = (query @ key.mT / query.shape[-1] ** 0.5).softmax(-1)
    attended = reader.exit(rearrange(shares @ value, "b h i d -> b i (h d)"))
    texts = reader.output(F.relu(reader.hidden(attended)))
    return (queries * F.linear(texts, reader.match)).sum(-1)


def folded_read(reader: PartReader, joints: Tensor) -> Tensor:
    """Return the same by our formulation."""
    return reader(joints)


def step(read: Read, network: PartNetwork, features: Tensor) -> Tensor:
    """Read all parts forward and backward, and return the mean square of the numbers."""
    network.zero_grad()
    parts = [rearrange(features[..., joints], "b f u j -> b (u j) f") for joints in network.parts.values()]
    readers = [network.readers[part] for part in network.parts]
    scores = [read(reader, part) for reader, part in zip(readers, parts, strict=True) if isinstance(reader, PartReader)]
    loss = torch.stack(scores).square().mean()
    loss.backward()
    return loss.detach()


def operations(read: Read, network: PartNetwork, features: Tensor) -> int:
    """Count the operations of a step, of which none is done."""
    shapes = copy.deepcopy(network).to("meta")
    with FlopCounterMode(display=False) as counter:
        step(read, shapes, features.to("meta"))
    return counter.get_total_flops()


def main(flags: Sequence[str] | None) -> None:
    """Count, and measure if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=64, help="clips of a step (published: 64)")
    parser.add_argument("--feature_width", type=int, default=256, help="of the encoder: 256 Shift-GCN, 216 Hyperformer")
    parser.add_argument("--width", type=int, default=768, help="of a query (published: 768)")
    parser.add_argument("--queries", type=int, default=100, help="of each part (published: 100)")
    parser.add_argument("--seconds", action="store_true", help="measure the time of a step too")
    parser.add_argument("--repeats", type=int, default=3, help="steps of each formulation whose best time is printed")
    args = parser.parse_args(flags)
    torch.manual_seed(0)
    network = PartNetwork(
        args.feature_width,
        args.width,
        parts=body_parts(LAYOUTS["ntu-25"]),
        classes=1,
        queries=args.queries,
        width=args.width,
    )
    features = torch.rand(args.batch, args.feature_width, 16, 25)
    works: dict[str, Read] = {"plain": plain_read, "folded": folded_read}
    one, other = (step(read, network, features[:2]).item() for read in works.values())
    print(
        f"{args.batch} clips, {args.queries} queries of {args.width}. The results differ by {abs(other / one - 1):.0e}"
    )
    counts = {name: operations(read, network, features) for name, read in works.items()}
    for name, count in counts.items():
        print(f"{name:8} {count / 1e9:8.1f} GFLOP a step, {counts['plain'] / count:4.1f} x fewer")
    if args.seconds:
        calls = {name: partial(step, read, network, features) for name, read in works.items()}
        for name, costs in in_turns(calls, rounds=args.repeats).items():
            print(f"{name:8} {min(c.wall for c in costs):6.2f} s wall {min(c.cpu for c in costs):6.2f} s CPU a step")


if __name__ == "__main__":
    run(main)
