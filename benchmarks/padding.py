"""Useful share of the tokens and operations of a step: padded, grouped by length, in rows.

    python -m benchmarks.padding --skeleton_dropout 0.5

Steps of 32 samples on 8 processes, for a Llama of 7B that is not loaded: operations follow from its sizes. A sample has
356 video tokens, 256 skeleton tokens unless they are dropped, and 50 to 250 tokens of text, evenly spread.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import nn
from transformers import AutoModelForCausalLM, LlamaConfig

from ski_lvlm.cli import parser, run
from ski_lvlm.lvlm.flops import step_flops
from ski_lvlm.training.epoch_sampler import EpochSampler

VIDEO, SKELETON, TEXT = 356, 256, (50, 250)
STEP, PROCESSES = 32, 8


def batches(lengths: np.ndarray, samples: int, *, is_grouped: bool) -> Iterator[np.ndarray]:
    """Yield the lengths of the samples that a process has at a time."""
    sampler = EpochSampler(len(lengths), seed=0, batch_size=STEP, lengths=(lambda _: lengths) if is_grouped else None)
    order = np.array([sample for _, sample in sampler])
    yield from lengths[order].reshape(-1, samples)


def main(flags: Sequence[str] | None = None) -> int:
    """Print the shares of each way."""
    p = parser(__doc__ or "")
    p.add_argument("--per_device", type=int, default=4, help="samples of a process at a time")
    p.add_argument("--skeleton_dropout", type=float, default=0.0, help="share of samples without skeleton tokens")
    p.add_argument("--num_samples", type=int, default=20_000, help="samples of the epoch")
    args = p.parse_args(flags)
    generator = np.random.default_rng(0)
    has_skeleton = generator.random(args.num_samples) >= args.skeleton_dropout
    lengths = VIDEO + SKELETON * has_skeleton + generator.integers(*TEXT, args.num_samples)
    with torch.device("meta"):
        step = step_flops(AutoModelForCausalLM.from_config(LlamaConfig()).requires_grad_(False), nn.ModuleDict())

    def tflops(tokens: float, pairs: float) -> float:
        return step.total(tokens=tokens, pairs=pairs, logits=0, projected={}) / 1e12

    alone = tflops(float(lengths.sum()), float((lengths.astype(float) ** 2).sum())) / len(lengths)
    for order in ("random", "grouped"):
        parts = np.stack(list(batches(lengths, args.per_device, is_grouped=order == "grouped"))).astype(float)
        longest, total = parts.max(axis=1), parts.sum(axis=1)
        padded = [tflops(args.per_device * n, args.per_device * n**2) for n in longest]
        rows = [tflops(n, squares) for n, squares in zip(total, (parts**2).sum(axis=1), strict=True)]
        whole_rows = [tflops(n, n**2) for n in total]
        for way, costs in (("padded", padded), ("rows", rows), ("rows, eager attention", whole_rows)):
            tokens = args.per_device * longest if way == "padded" else total
            rounds = len(costs) // PROCESSES
            slowest = np.reshape(costs[: rounds * PROCESSES], (rounds, PROCESSES)).max(axis=1).mean() / args.per_device
            print(
                f"{order}, {way}: useful share {total.sum() / tokens.sum():.3f}, TFLOP a sample "
                f"{np.mean(costs) / args.per_device:.2f}, of the slowest process {slowest:.2f} (alone {alone:.2f})"
            )
    return 0


if __name__ == "__main__":
    run(main)
