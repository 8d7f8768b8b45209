"""Bytes that a language model keeps for the backward pass, and its operations, from its configuration alone.

    python -m benchmarks.kept_bytes --samples 32 --tokens 762
    python -m benchmarks.kept_bytes --base_llm FOLDER --lora_rank 128
    python -m benchmarks.kept_bytes --difference

Without --base_llm the widths are those of a 7B Llama. No weights are made: the tensors are fake ones. "eager" is the
model as transformers writes it, "lean" has norms and gates that keep their inputs alone, "checkpointing" keeps the
inputs of each layer and computes it again. The model is frozen, held in bf16, with logits at 40 positions.
--difference compares one real layer of these widths, eager and lean: the largest difference of outputs and gradients.
"""

import argparse
import json
import time
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig, AutoModelForCausalLM, LlamaConfig, PretrainedConfig, PreTrainedModel

from ski_lvlm.cli import parser, run
from ski_lvlm.llm.lean import make_lean
from ski_lvlm.lvlm.adapter import add_adapter
from ski_lvlm.lvlm.costs.step_memory import fake_llm
from ski_lvlm.recipe import AdapterRecipe
from ski_lvlm.training.kept_bytes import KeptBytes

WAYS = ("eager", "lean", "checkpointing", "lean and checkpointing")
ANSWER = 40  # positions with logits


def changed(model: PreTrainedModel, way: str, *, lora_rank: int = 0) -> PreTrainedModel:
    """Return a frozen language model with an adapter, if it has a rank, that keeps what the way keeps."""
    if lora_rank:
        add_adapter(model, AdapterRecipe(lora_rank=lora_rank), base="")
    if "lean" in way:
        make_lean(model)
    if "checkpointing" in way:
        model.activation_checkpointing_enable()
        model.train()
    return model


def loss_of(model: PreTrainedModel, hidden: Tensor) -> Tensor:
    """Return a loss of the last positions, as in training."""
    with torch.autocast("cpu", torch.bfloat16, enabled=hidden.dtype == torch.bfloat16):
        length = hidden.shape[1]
        positions = torch.arange(max(0, length - ANSWER - 1), length - 1)
        return model(inputs_embeds=hidden, logits_to_keep=positions, use_cache=False).logits.float().logsumexp(-1).sum()


def count(config: PretrainedConfig, way: str, *, samples: int, tokens: int, lora_rank: int = 0) -> dict[str, float]:
    """Count the kept bytes in GB, and the operations of a sample in TFLOP."""
    begin = time.process_time()
    model = changed(fake_llm(config, dtype=torch.bfloat16), way, lora_rank=lora_rank)
    with FakeTensorMode(allow_non_fake_inputs=True):
        model = model.to_empty(device="cpu")
        hidden = torch.empty(
            samples, tokens, config.get_text_config(decoder=True).hidden_size, dtype=torch.bfloat16, requires_grad=True
        )
        with FlopCounterMode(display=False) as forward, KeptBytes(model) as counter:
            loss = loss_of(model, hidden)
        with FlopCounterMode(display=False) as backward:
            loss.backward()
    operations = [counted.get_total_flops() / samples / 1e12 for counted in (forward, backward)]
    figures = {"kept_gb": counter.bytes / 1e9, "forward_tflop": operations[0], "backward_tflop": operations[1]}
    return {name: round(value, 3) for name, value in figures.items()} | {"cpu_s": round(time.process_time() - begin, 1)}


def difference(config: PretrainedConfig, dtype: torch.dtype, *, tokens: int) -> dict[str, float]:
    """Return the largest differences of the lean from the eager layer: of the loss and of the gradient."""
    config.num_hidden_layers = 1
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, dtype=dtype).requires_grad_(False).eval()
    hidden = torch.randn(1, tokens, config.hidden_size, dtype=dtype, requires_grad=True)
    outcomes = []
    for is_lean in (False, True):
        if is_lean:
            make_lean(model)
        hidden.grad = None
        loss = loss_of(model, hidden)
        loss.backward()
        outcomes.append((loss.detach(), cast(Tensor, hidden.grad).clone()))
    (loss, gradient), (lean_loss, lean_gradient) = outcomes
    return {"loss": float((loss - lean_loss).abs()), "gradient": float((gradient - lean_gradient).abs().max())}


def flags() -> argparse.ArgumentParser:
    """Return the parser of the flags."""
    p = parser(__doc__ or "")
    p.add_argument("--base_llm", help="folder or hub id with a config.json. Default: the widths of a 7B Llama")
    p.add_argument("--samples", type=int, default=32, help="samples in a batch")
    p.add_argument("--tokens", type=int, default=762, help="tokens of a sample. 356 + 256 + 150 are the paper's")
    p.add_argument("--lora_rank", type=int, default=0, help="rank of an adapter in all linear layers, 0: none")
    p.add_argument("--difference", action="store_true", help="compare the values of one layer instead")
    return p


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for each way."""
    args = flags().parse_args(arguments)
    config = AutoConfig.from_pretrained(args.base_llm) if args.base_llm else LlamaConfig()
    if args.difference:
        for dtype in (torch.bfloat16, torch.float32):
            print(json.dumps({"dtype": str(dtype), **difference(config, dtype, tokens=args.tokens)}))
        return 0
    for way in WAYS:
        figures = count(config, way, samples=args.samples, tokens=args.tokens, lora_rank=args.lora_rank)
        print(json.dumps({"way": way, **figures}), flush=True)
    return 0


if __name__ == "__main__":
    run(main)
