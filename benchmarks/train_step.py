"""One training step of SKI-LVLM with SmolLM2 at the paper's token counts: time and peak memory.

    python -m benchmarks.train_step --logits few
    python -m benchmarks.train_step --logits all

"few" is what training does: logits only where there is a label. "all" computes them for every position, as most code
does. 356 video tokens of width 1024 and 256 skeleton tokens of width 216 before 150 tokens of text, 40 of them answer.
Peak memory is the process's, so each way runs in a process of its own; `--compare` starts both, in turns.
"""

import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from ski_lvlm.cli import parser, run
from ski_lvlm.llm.conversation import IGNORED, PLACEHOLDER_IDS
from ski_lvlm.lvlm.model import SkiLvlm
from ski_lvlm.training.trainer import peak_memory_gb

TOKENS = {"video": (356, 1024), "skeleton": (256, 216)}
TEXT, ANSWER = 150, 40


def batch(samples: int) -> dict[str, Tensor | dict[str, Tensor]]:
    """Random tokens in the paper's numbers."""
    slots = [torch.full((samples, count), PLACEHOLDER_IDS[name]) for name, (count, _) in TOKENS.items()]
    ids = torch.cat([torch.randint(10, 1000, (samples, 20)), *slots, torch.randint(10, 1000, (samples, TEXT - 20))], 1)
    labels = ids.clone()
    labels[:, :-ANSWER] = IGNORED
    features = {name: torch.randn(samples * count, width) for name, (count, width) in TOKENS.items()}
    return {"ids": ids, "labels": labels, "attention_mask": torch.ones_like(ids), "features": features}


def loss_of_all(model: SkiLvlm, given: dict) -> Tensor:
    """The usual way: logits for every position, then those without a label are ignored."""
    embeddings = model.embed(given["ids"], given["features"])
    logits = model.llm(inputs_embeds=embeddings, attention_mask=given["attention_mask"], use_cache=False).logits
    shifted = logits[:, :-1].float().flatten(0, 1)
    return functional.cross_entropy(shifted, given["labels"][:, 1:].flatten(), ignore_index=IGNORED)


def measure(way: str, *, samples: int, steps: int, bf16: bool) -> dict[str, float]:
    """Median seconds of user and system time and of wall time for a forward and backward, and peak memory."""
    dtype = torch.bfloat16 if bf16 else torch.float32
    widths = {name: width for name, (_, width) in TOKENS.items()}
    model = SkiLvlm.build(base_llm="smollm2", token_widths=widths, dtype=dtype)
    given = batch(samples)
    before, wall, cpu, losses = peak_memory_gb(), [], [], []
    for _ in range(steps + 1):  # the first warms up
        started, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = model(**given).loss if way == "few" else loss_of_all(model, given)
        loss.backward()
        after = resource.getrusage(resource.RUSAGE_SELF)
        wall.append(time.perf_counter() - started)
        cpu.append(after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime)
        losses.append(loss.item())
    figures = {"wall_s": statistics.median(wall[1:]), "cpu_s": statistics.median(cpu[1:]), "loss": losses[0]}
    return figures | {"peak_gb": peak_memory_gb(), "model_gb": before}


def main(flags: Sequence[str] | None = None) -> int:
    """Measure one way, or both in turns."""
    p = parser(__doc__ or "")
    p.add_argument("--logits", choices=("few", "all"), default="few", help="which positions get logits")
    p.add_argument("--samples", type=int, default=4, help="samples in the step")
    p.add_argument("--steps", type=int, default=3, help="steps timed after one to warm up")
    p.add_argument("--bf16", action="store_true", help="bf16 instead of fp32")
    p.add_argument("--compare", type=int, default=0, metavar="ROUNDS", help="run both ways in turns, so many times")
    args = p.parse_args(flags)
    if not args.compare:
        torch.manual_seed(0)
        figures = measure(args.logits, samples=args.samples, steps=args.steps, bf16=args.bf16)
        print(json.dumps({"logits": args.logits} | {name: round(value, 3) for name, value in figures.items()}))
        return 0
    for _ in range(args.compare):
        for way in ("few", "all"):
            command = [sys.executable, "-m", "benchmarks.train_step", "--logits", way, "--samples", str(args.samples)]
            command += ["--steps", str(args.steps)] + (["--bf16"] if args.bf16 else [])
            subprocess.run(command, check=True)
    return 0


if __name__ == "__main__":
    run(main)
