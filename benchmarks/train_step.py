"""One training step of SKI-LVLM with SmolLM2 at the paper's token counts: time and peak memory.

    python -m benchmarks.train_step --logits few
    python -m benchmarks.train_step --logits all
    python -m benchmarks.train_step --lean

"few" is the way of our training: logits only where there is a label. "all" computes them for every position, as most
code does. 356 video tokens of width 1024 and 256 skeleton tokens of width 216 stand before 150 tokens of text, 40 of
them answer. With --lean, norms and gates keep their inputs alone, as they do in training by default. Peak memory is the
process's, so each way runs in a process of its own. `--compare` starts both, in turns.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from statistics import median

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.timing import in_turns
from ski_lvlm.cli import parser, run
from ski_lvlm.llm.conversation import IGNORED, PLACEHOLDER_IDS
from ski_lvlm.llm.lean import make_lean
from ski_lvlm.lvlm.model import SkiLvlm
from ski_lvlm.training.speed import peak_memory_gb

TOKENS = {"video": (356, 1024), "skeleton": (256, 216)}
TEXT, ANSWER = 150, 40


def batch(samples: int) -> dict[str, Tensor | dict[str, Tensor]]:
    """Draw random tokens in the paper's numbers."""
    slots = [torch.full((samples, count), PLACEHOLDER_IDS[name]) for name, (count, _) in TOKENS.items()]
    ids = torch.cat([torch.randint(10, 1000, (samples, 20)), *slots, torch.randint(10, 1000, (samples, TEXT - 20))], 1)
    labels = ids.clone()
    labels[:, :-ANSWER] = IGNORED
    features = {name: torch.randn(samples * count, width) for name, (count, width) in TOKENS.items()}
    counts = {name: torch.full((samples,), count) for name, (count, _) in TOKENS.items()}
    masks = {"labels": labels, "attention_mask": torch.ones_like(ids)}
    return {"ids": ids, **masks, "features": features, "token_counts": counts}


def loss_of_all(model: SkiLvlm, inputs: dict) -> Tensor:
    """Compute the loss the usual way: logits for every position, of which those without a label are ignored."""
    embeddings = model.embed(inputs["ids"], inputs["features"], inputs["token_counts"])
    logits = model.llm(inputs_embeds=embeddings, attention_mask=inputs["attention_mask"], use_cache=False).logits
    shifted = logits[:, :-1].float().flatten(0, 1)
    return functional.cross_entropy(shifted, inputs["labels"][:, 1:].flatten(), ignore_index=IGNORED)


def measure(way: str, *, samples: int, steps: int, bf16: bool, is_lean: bool = False) -> dict[str, float]:
    """Return median wall and CPU seconds of a forward and backward, and peak memory."""
    dtype = torch.bfloat16 if bf16 else torch.float32
    widths = {name: width for name, (_, width) in TOKENS.items()}
    model = SkiLvlm.build(base_llm="smollm2", token_widths=widths, dtype=dtype)
    if is_lean:
        make_lean(model.llm)
    inputs = batch(samples)
    before, losses = peak_memory_gb(), list[float]()

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = model(**inputs).loss if way == "few" else loss_of_all(model, inputs)
        loss.backward()
        losses.append(loss.item())

    costs = in_turns({way: step}, rounds=steps + 1)[way][1:]  # the first warms up
    figures = {"wall_s": median(c.wall for c in costs), "cpu_s": median(c.cpu for c in costs), "loss": losses[0]}
    return figures | {"peak_gb": peak_memory_gb(), "model_gb": before}


def main(flags: Sequence[str] | None = None) -> int:
    """Measure one way, or both in turns."""
    p = parser(__doc__ or "")
    p.add_argument("--logits", choices=("few", "all"), default="few", help="which positions get logits")
    p.add_argument("--lean", action="store_true", help="norms and gates that keep their inputs alone")
    p.add_argument("--samples", type=int, default=4, help="samples in the step")
    p.add_argument("--steps", type=int, default=3, help="steps timed after one to warm up")
    p.add_argument("--bf16", action="store_true", help="bf16 instead of fp32")
    p.add_argument("--compare", type=int, default=0, metavar="ROUNDS", help="run both ways in turns, so many times")
    args = p.parse_args(flags)
    if not args.compare:
        torch.manual_seed(0)
        figures = measure(args.logits, samples=args.samples, steps=args.steps, bf16=args.bf16, is_lean=args.lean)
        print(
            json.dumps(
                {"logits": args.logits, "lean": args.lean} | {name: round(value, 3) for name, value in figures.items()}
            )
        )
        return 0
    for _ in range(args.compare):
        for way in ("few", "all"):
            command = [sys.executable, "-m", "benchmarks.train_step", "--logits", way, "--samples", str(args.samples)]
            command += ["--steps", str(args.steps)] + (["--bf16"] if args.bf16 else [])
            subprocess.run(command, check=True)
    return 0


if __name__ == "__main__":
    run(main)
