"""Floating-point operations of training: forward and backward through frozen and trained weights."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor, nn
from transformers import PretrainedConfig
from transformers.modeling_layers import GradientCheckpointingLayer

from ski_lvlm.llm.conversation import IGNORED
from ski_lvlm.lvlm.splice import trained_positions
from ski_lvlm.training.speed import FLOPS, USEFUL_FLOPS


@dataclass(frozen=True)
class StepFlops:
    """Floating-point operations of forward and backward, for each of what they grow with.

    A weight costs 2 for each token in the forward, 2 in the backward for the gradient of its input, and 2 more if it
    is trained: 4 N of frozen and 6 N of trained weights. Attention is counted for all pairs of tokens, also those that
    a causal kernel skips, as is usual. Norms, activations and the optimiser are left out.
    """

    token: float  # of the language model
    pair: float  # of tokens in one row
    logit: float  # position with logits
    projected: Mapping[str, float]  # token of a modality

    def total(self, *, tokens: Any, pairs: Any, logits: Any, projected: Mapping[str, int]) -> Any:  # noqa: ANN401
        """Return the operations for these numbers, which may be tensors."""
        projection = sum(self.projected[name] * count for name, count in projected.items())
        return self.token * tokens + self.pair * pairs + self.logit * logits + projection


def step_flops(llm: Any, projectors: nn.ModuleDict, *, is_recomputed: bool = False) -> StepFlops:  # noqa: ANN401
    """Return the floating-point operations of a step. `is_recomputed` adds the forward of gradient checkpointing."""
    config = llm.config.get_text_config(decoder=True)
    head = llm.get_output_embeddings()
    token = float(sum(weight.flops for weight in _weights(llm, config) if weight.module is not head))
    pair = 12.0 * _attention_width(config)
    if is_recomputed:
        layers = [module for module in llm.modules() if isinstance(module, GradientCheckpointingLayer)]
        # The forward is repeated up to the last tensor that the backward needs, the input of the layer's last product.
        token += sum(weight.forward for layer in layers for weight in list(_weights(layer, config))[:-1])
        pair += 4.0 * _attention_width(config)
    return StepFlops(
        token=token,
        pair=pair,
        logit=float(sum(weight.flops for weight in _weights(head, config))),
        projected={name: _projection(projector, config) for name, projector in projectors.items()},
    )


@dataclass(frozen=True)
class _Weight:
    module: nn.Module
    size: int | float  # elements that each token is multiplied with
    is_trained: bool

    @property
    def forward(self) -> float:
        return 2.0 * self.size

    @property
    def flops(self) -> float:
        return (6.0 if self.is_trained else 4.0) * self.size


def _weights(module: nn.Module, config: PretrainedConfig) -> Iterator[_Weight]:
    """Yield the weights that multiply tokens, in the order of the modules."""
    for part in module.modules():
        if isinstance(part, nn.Linear):  # its weight may be in 4 bits, which hides the shape
            yield _Weight(part, part.in_features * part.out_features, part.weight.requires_grad)
        elif not isinstance(part, nn.Embedding):
            for weight in part.parameters(recurse=False):
                shape = getattr(weight, "ds_shape", weight.shape)  # ZeRO-3 shares weights out
                if len(shape) > 1:
                    share = _used_share(part, config) if len(shape) == 3 else 1.0
                    yield _Weight(part, math.prod(shape) * share, weight.requires_grad)


def _used_share(module: nn.Module, config: PretrainedConfig) -> float:
    """Return the share of a module's experts that a token is sent to, 1 of a module without experts."""
    experts = getattr(module, "num_experts", None)
    return float(getattr(config, "num_experts_per_tok", experts) / experts) if experts else 1.0


def _attention_width(config: PretrainedConfig) -> int:
    """Return the width of the heads of all layers together."""
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return int(config.num_hidden_layers * config.num_attention_heads * width)


def _projection(projector: nn.Module, config: PretrainedConfig) -> float:
    """Return the operations for each token. The first weight's input needs no gradient."""
    weights = list(_weights(projector, config))
    return float(sum(weight.flops for weight in weights) - sum(weight.forward for weight in weights[:1]))


class BatchWork:
    """Counter of the work in a batch of `InstructCollator`, for the log of the training."""

    def __init__(self, llm: Any, projectors: nn.ModuleDict, *, is_recomputed: bool = False) -> None:  # noqa: ANN401
        self.step = step_flops(llm, projectors, is_recomputed=is_recomputed)
        self.useful_step = step_flops(llm, projectors)
        self.config = llm.config  # another attention may be chosen later

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """Return tokens with a label, all but padding, and all. The operations with and without padding.

        Useful operations are those for the samples' own tokens and labels, without recomputation. A further forward
        with the video alone counts, but its tokens with a label are those of the samples already.
        """
        work = self._of(batch)
        if "video_only" not in batch:
            return work
        further = self._of(batch["video_only"]["batch"])
        return {name: amount if name == "trained_tokens" else amount + further[name] for name, amount in work.items()}

    def _of(self, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        ids, labels = batch["ids"], batch["labels"]
        rows, length = ids.shape
        lengths = _lengths(batch)
        trained = (labels[:, 1:] != IGNORED).sum().double()
        projected = {name: len(tokens) for name, tokens in batch["features"].items()}
        logits = rows * len(trained_positions(labels))
        useful = {"tokens": lengths.sum(), "pairs": lengths.square().sum(), "logits": trained}
        is_by_sample = "sample_lengths" in batch and self.config._attn_implementation not in ("eager", "sdpa")
        pairs = useful["pairs"] if is_by_sample else lengths.new_tensor(rows * length**2)
        everything = {"tokens": rows * length, "pairs": pairs, "logits": logits}
        return {
            "trained_tokens": trained,
            "real_tokens": lengths.sum(),
            "padded_tokens": lengths.new_tensor(rows * length),
            FLOPS: self.step.total(**everything, projected=projected),
            USEFUL_FLOPS: self.useful_step.total(**useful, projected=projected),
        }


def _lengths(batch: Mapping[str, Any]) -> Float64[Tensor, " S"]:
    """Return the tokens of each sample, without padding."""
    if "sample_lengths" in batch:
        return torch.tensor(batch["sample_lengths"], dtype=torch.float64, device=batch["ids"].device)
    return batch["attention_mask"].sum(dim=1).double()
