"""Estimate of a training's memory and time from configurations alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import PretrainedConfig

from ski_lvlm.llm.lean import make_lean
from ski_lvlm.lvlm.adapter import add_adapter
from ski_lvlm.lvlm.costs.flags import SampleTokens
from ski_lvlm.lvlm.costs.step_memory import StepMemory, fake_llm, step_memories
from ski_lvlm.lvlm.costs.weights import ENGINES, Weights, engine_memory, weights_of
from ski_lvlm.lvlm.flops import step_flops
from ski_lvlm.lvlm.projectors.projector import Projector
from ski_lvlm.lvlm.projectors.settings import ProjectorSettings
from ski_lvlm.recipe import AdapterRecipe
from ski_lvlm.training.gpu_peaks import GPUS
from ski_lvlm.training.kept_bytes import KeptBytes

MEMORIES = (24.0, 48.0, 80.0, 141.0)  # GB of a GPU
SHOWN_GPUS = ("RTX 4090", "RTX A6000", "A100", "H100", "H200")
UTILISATIONS = (0.3, 0.4, 0.6)
RESERVE = 3e9  # Assumption: bytes of the CUDA context, communication and gaps between tensors


@dataclass(frozen=True)
class Plan:
    """A training whose costs are estimated."""

    sample: SampleTokens
    token_widths: Mapping[str, int]
    projectors: Mapping[str, ProjectorSettings]
    tuning: AdapterRecipe
    rows: int  # samples at a time on one GPU
    gpus: int
    num_samples: int  # in an epoch
    epochs: float
    is_bf16: bool
    is_checkpointing: bool
    optimiser: str
    is_lean: bool = False
    attn_implementation: str | None = None
    frozen: Sequence[str] = ()  # modalities whose projectors are not trained
    is_distilled: bool = False  # each sample is also read with its video alone

    @property
    def forwards(self) -> list[dict[str, int]]:
        """Return the tokens of each modality in the forwards of a sample."""
        tokens = dict(self.sample.features)
        return [tokens, {"video": tokens["video"]}] if self.is_distilled else [tokens]


@dataclass(frozen=True)
class Estimate:
    """Costs of a training. Memory is in bytes, of one GPU."""

    plan: Plan
    weights: Weights
    length: int  # tokens of a sample that the language model reads
    flops: float  # of a sample, forward and backward
    engines: Mapping[int, Mapping[str, float]]  # stage of ZeRO → part → bytes, for no sample
    one: StepMemory  # of a micro-batch of one sample
    two: StepMemory

    def memory(self, stage: int, rows: int) -> dict[str, float]:
        """Return the bytes of each part for micro-batches of so many samples."""
        step = self.one.of(rows, self.two)
        parts = dict(self.engines[stage])
        working = parts.pop("buffers") + step.working
        # What does not grow with the samples are copies of trained weights in bf16. DeepSpeed trains in bf16 itself.
        copies = 2 * self.one.activations - self.two.activations if stage and self.plan.is_bf16 else 0.0
        return parts | {
            "activations": step.activations - copies,
            "logits": step.logits,
            "working memory": working,
            "reserve": RESERVE,
        }

    def largest_batch(self, stage: int, memory_gb: float) -> int:
        """Return the largest number of samples at a time on a GPU, 0 where none fits."""
        first, second = (sum(self.memory(stage, rows).values()) for rows in (1, 2))
        return max(0, int((memory_gb * 1e9 - first) // (second - first)) + 1)

    def hours(self, tflops: float, utilisation: float) -> float:
        """Return the hours of the training on GPUs of this peak, used to this share."""
        samples = self.plan.num_samples * self.plan.epochs
        return samples * self.flops / (tflops * 1e12 * utilisation * self.plan.gpus) / 3600


def estimate(config: PretrainedConfig, plan: Plan) -> Estimate:
    """Return the costs of a training with a language model of this configuration."""
    llm, projectors = _llm(config, plan), _projectors(config, plan)
    lengths = [
        plan.sample.text + sum(plan.projectors[name].count(n) for name, n in tokens.items()) for tokens in plan.forwards
    ]
    answer = plan.sample.answer
    flops = step_flops(llm, projectors, is_recomputed=plan.is_checkpointing)
    weights = weights_of(llm, projectors.values(), is_4bit=plan.tuning.load_in_4bit)
    one, two = step_memories(llm, (1, 2), lengths=lengths, answer=answer, is_autocast=plan.is_bf16)
    return Estimate(
        plan=plan,
        weights=weights,
        length=lengths[0],
        flops=sum(
            flops.total(tokens=length, pairs=length**2, logits=answer, projected=tokens)
            for length, tokens in zip(lengths, plan.forwards, strict=True)
        ),
        engines={
            stage: engine_memory(
                weights,
                stage=stage,
                gpus=plan.gpus,
                optimiser=plan.optimiser,
                bytes_a_weight=2 if plan.is_bf16 else 4,
                llm_width=llm.get_input_embeddings().embedding_dim,
            )
            for stage in ENGINES
        },
        one=_plus(one, _projected_bytes(projectors, plan, rows=1)),
        two=_plus(two, _projected_bytes(projectors, plan, rows=2)),
    )


def report(costs: Estimate) -> dict[str, Any]:
    """Return an estimate in GB and hours, for JSON."""
    plan, weights = costs.plan, costs.weights
    return {
        "parameters": weights.number,
        "trained_parameters": weights.num_trained,
        "tokens_a_sample": costs.length,
        "tflop_a_sample": costs.flops / 1e12,
        "gpus": plan.gpus,
        "per_device_train_batch_size": plan.rows,
        "memory_gb": {
            name: {part: size / 1e9 for part, size in costs.memory(stage, plan.rows).items()}
            for stage, name in ENGINES.items()
        },
        "largest_batch": {
            name: {f"{gb:g}": costs.largest_batch(stage, gb) for gb in MEMORIES} for stage, name in ENGINES.items()
        },
        "samples": plan.num_samples,
        "epochs": plan.epochs,
        "hours": {
            gpu.name: {f"{share:.0%}": costs.hours(gpu.tflops, share) for share in UTILISATIONS}
            for gpu in GPUS
            if gpu.name in SHOWN_GPUS
        },
    }


def _llm(config: PretrainedConfig, plan: Plan) -> Any:  # noqa: ANN401
    is_half = plan.is_bf16 and plan.tuning.train != "llm"  # trained weights are in full precision
    dtype = torch.bfloat16 if is_half else torch.float32
    llm = fake_llm(config, dtype=dtype, attn_implementation=plan.attn_implementation)
    if plan.tuning.lora_rank:
        add_adapter(llm, plan.tuning, base="")
    elif plan.tuning.train == "llm":
        llm.requires_grad_(True)
    if plan.is_lean:
        make_lean(llm)
    if plan.is_checkpointing:
        llm.activation_checkpointing_enable()
    if plan.is_checkpointing or plan.tuning.train == "llm":
        llm.train()
    return llm


def _projectors(config: PretrainedConfig, plan: Plan) -> nn.ModuleDict:
    width = int(config.get_text_config(decoder=True).hidden_size)
    projectors = nn.ModuleDict(
        {name: Projector(plan.token_widths[name], width, settings=kind) for name, kind in plan.projectors.items()}
    )
    for name in plan.frozen:
        if name in projectors:
            projectors[name].requires_grad_(False)
    return projectors


def _projected_bytes(projectors: nn.ModuleDict, plan: Plan, *, rows: int) -> float:
    """Return what the projectors keep of so many samples. They are small, so that real ones can tell."""
    autocast = torch.autocast("cpu", torch.bfloat16, enabled=plan.is_bf16)
    with autocast, KeptBytes(projectors) as counter:
        for name, count in (item for tokens in plan.forwards for item in tokens.items()):
            projectors[name](torch.zeros(rows * count, plan.token_widths[name]), torch.full((rows,), count))
    return float(counter.bytes)


def _plus(memory: StepMemory, projected: float) -> StepMemory:
    return StepMemory(memory.activations + projected, memory.logits, memory.working)
