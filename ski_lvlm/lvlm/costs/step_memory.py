"""Memory of forward and backward through a language model, by fake tensors that have shapes and no values."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional
from transformers import AutoModelForCausalLM, PretrainedConfig, PreTrainedModel

from ski_lvlm.lvlm.costs.live_bytes import LiveBytes
from ski_lvlm.lvlm.distillation import divergence
from ski_lvlm.training.kept_bytes import KeptBytes


@dataclass(frozen=True)
class StepMemory:
    """Bytes of a step beside weights, gradients and optimiser."""

    activations: float  # that autograd keeps, without those of the loss
    logits: float  # that the loss keeps
    working: float  # what lives beside them at the peak, for a moment

    def of(self, rows: int, other: "StepMemory") -> "StepMemory":
        """Return the memory for so many samples, of which this is the memory for 1 and `other` for 2."""
        values = zip(vars(self).values(), vars(other).values(), strict=True)
        return StepMemory(*(one + (rows - 1) * (two - one) for one, two in values))


def fake_llm(config: PretrainedConfig, *, dtype: torch.dtype, attn_implementation: str | None = None) -> Any:  # noqa: ANN401
    """Return a frozen language model whose weights take no memory."""
    with torch.device("meta"):
        llm = AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation=attn_implementation)
    return llm.requires_grad_(False).eval()


def step_memories(
    llm: PreTrainedModel, rows: Sequence[int], *, lengths: Sequence[int], answer: int, is_autocast: bool
) -> list[StepMemory]:
    """Return the memory of forward and backward for each number of samples, and give the weights fake values.

    A sample has so many tokens in each of its forwards, of which `answer` have logits. A second forward learns from the
    first, as in `ski_lvlm.lvlm.distillation`. Their input needs a gradient, as behind trained
    projectors. Gradients of trained weights are taken to be there before, as from the second micro-batch on.
    """
    with FakeTensorMode(allow_non_fake_inputs=True), torch.device("cpu"):
        llm = llm.to_empty(device="cpu")
        for weight in llm.parameters():
            weight.grad = torch.empty_like(weight) if weight.requires_grad else None
        return [_step_memory(llm, number, lengths, answer, is_autocast) for number in rows]


def _step_memory(llm: PreTrainedModel, rows: int, lengths: Sequence[int], answer: int, is_autocast: bool) -> StepMemory:
    autocast = torch.autocast("cpu", torch.bfloat16, enabled=is_autocast)
    with LiveBytes(llm) as live:
        with autocast, KeptBytes(llm) as counter:
            logits = [_logits(llm, rows, length, answer) for length in lengths]
            activations = counter.bytes
            loss = _loss(*logits)
        del logits
        loss.backward()
    total = counter.bytes
    return StepMemory(float(activations), float(total - activations), float(live.peak - total))


def _logits(llm: PreTrainedModel, rows: int, length: int, answer: int) -> Tensor:
    """Return logits of the last positions, computed as in `ski_lvlm.lvlm.model`."""
    words = cast(nn.Embedding, llm.get_input_embeddings()).weight
    logits: Tensor = llm(
        inputs_embeds=torch.empty(rows, length, words.shape[1], dtype=words.dtype, requires_grad=True),
        attention_mask=torch.ones(rows, length, dtype=torch.long),
        position_ids=torch.arange(length).expand(rows, -1),
        logits_to_keep=torch.arange(length - answer - 1, length - 1),
        use_cache=False,
    ).logits
    return logits.flatten(0, 1)


def _loss(logits: Tensor, *students: Tensor) -> Tensor:
    words = torch.zeros(len(logits), dtype=torch.long)
    total = functional.cross_entropy(logits.float(), words, reduction="sum")
    return sum((divergence(logits, student) for student in students), total)
