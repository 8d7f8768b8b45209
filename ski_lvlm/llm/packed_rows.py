"""Samples behind each other in one row, which read nothing of each other.

A row has no padding. Positions start again with each sample. "eager" attention and FlashAttention see by that where a
sample begins. The attention of PyTorch ("sdpa") would need a mask of the whole row, and would compute all of its pairs.
Here it runs once for each sample, so that a row costs what its samples cost.
"""

import inspect
from collections.abc import Sequence
from typing import Any, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

BY_SAMPLE = "sdpa_by_sample"  # our name of the attention that runs once for each sample
_BY_POSITIONS = ("eager", "flash_attention_2", "flash_attention_3")  # transformers separates samples in these
_LAYERS = {"full_attention", "sliding_attention"}


def row_positions(lengths: Sequence[int], device: torch.device) -> Int[Tensor, "1 L"]:
    """Return positions that start again with each sample.

    >>> row_positions([2, 3], torch.device("cpu")).tolist()
    [[0, 1, 0, 1, 2]]
    """
    return torch.cat([torch.arange(length) for length in lengths]).unsqueeze(0).to(device)


def row_arguments(llm: PreTrainedModel, lengths: Sequence[int], device: torch.device) -> dict[str, Any]:
    """Return the arguments of a language model's forward that tell it of the samples in a row."""
    arguments: dict[str, Any] = {"attention_mask": None, "position_ids": row_positions(lengths, device)}
    if llm.config._attn_implementation == BY_SAMPLE:
        arguments["sample_lengths"] = tuple(lengths)
    return arguments


def _attention_by_sample(
    module: nn.Module,
    query: Float[Tensor, "B H L D"],
    key: Float[Tensor, "B G M D"],
    value: Float[Tensor, "B G M E"],
    attention_mask: Tensor | None,
    *,
    sample_lengths: Sequence[int] | None = None,
    **options: Any,  # noqa: ANN401
) -> tuple[Float[Tensor, "B L H E"], None]:
    """Attend as PyTorch does, within each sample of a row. Without `sample_lengths` the batch is a padded one."""
    if sample_lengths is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    samples = zip(*(tensor.split(list(sample_lengths), dim=2) for tensor in (query, key, value)), strict=True)
    return torch.cat([sdpa_attention_forward(module, q, k, v, None, **options)[0] for q, k, v in samples], dim=1), None


def _mask_of_padding(*, attention_mask: Tensor | None = None, **options: Any) -> Tensor | None:  # noqa: ANN401
    """Return PyTorch's mask of a padded batch, and none of a row, however long."""
    return None if attention_mask is None else sdpa_mask(attention_mask=attention_mask, **options)


def prepare_rows(llm: PreTrainedModel, *, longest: int, is_partitioned: bool = False) -> None:
    """Make a language model read rows of samples, and make sure that it keeps them apart.

    Args:
        llm: the language model, whose attention is replaced if it is PyTorch's.
        longest: tokens of the longest sample.
        is_partitioned: the model's weights are shared out by ZeRO-3.

    Raises:
        ValueError: the model cannot, or nobody knows whether it can.
    """
    if problem := _problem(llm, longest=longest, is_partitioned=is_partitioned):
        raise ValueError(f"--packing True: {problem}; leave --packing out, which pads the samples")
    if llm.config._attn_implementation == "sdpa":
        AttentionInterface.register(BY_SAMPLE, _attention_by_sample)
        AttentionMaskInterface.register(BY_SAMPLE, _mask_of_padding)
        llm.set_attn_implementation(BY_SAMPLE)
    if llm.config._attn_implementation in (BY_SAMPLE, "eager") and not _keeps_apart(llm):
        raise ValueError(
            f"--packing True: {type(llm).__name__} reads a sample otherwise behind another one than alone; leave "
            "--packing out, which pads the samples"
        )


def _problem(llm: PreTrainedModel, *, longest: int, is_partitioned: bool) -> str | None:
    config, name = llm.config.get_text_config(decoder=True), type(llm).__name__
    attention = llm.config._attn_implementation
    if attention not in ("sdpa", BY_SAMPLE, *_BY_POSITIONS):
        return f"found {attention} attention, expected sdpa, eager or flash_attention_2"
    if is_partitioned:
        return "under ZeRO-3 nobody can look whether the model keeps samples apart, expected ZeRO-2 or no DeepSpeed"
    if "position_ids" not in inspect.signature(llm.forward).parameters:
        return f"{name} takes no positions"
    kinds = set(getattr(config, "layer_types", None) or ())
    if getattr(llm, "_is_stateful", False) or kinds - _LAYERS:
        return f"{name} has layers other than attention to all earlier tokens ({sorted(kinds - _LAYERS)})"
    if "mrope_section" in (getattr(config, "rope_parameters", None) or {}):
        return f"{name} has positions in time and space, expected positions along the text"
    window = getattr(config, "sliding_window", None)
    slides = "sliding_attention" in kinds or not kinds and getattr(config, "use_sliding_window", True)
    if window is not None and slides and window < longest:
        return f"{name} attends to windows of {window} tokens, which are shorter than samples of {longest}"
    return None


@torch.no_grad()
def _keeps_apart(llm: PreTrainedModel) -> bool:
    """Find out whether two samples in a row read nothing of each other, and the second what it reads alone."""
    weight = cast(nn.Embedding, llm.get_input_embeddings()).weight
    generator = torch.Generator().manual_seed(0)
    first, other, second = torch.randn(3, 1, 5, weight.shape[1], generator=generator).to(weight.device, weight.dtype)
    is_training = llm.training
    llm.eval()

    def logits(*samples: Float[Tensor, "1 n K"]) -> Float[Tensor, "1 n V"]:
        arguments = row_arguments(llm, [sample.shape[1] for sample in samples], weight.device)
        row = torch.cat(samples, dim=1)
        return llm(inputs_embeds=row, use_cache=False, **arguments).logits[:, -second.shape[1] :].float()

    alone, behind, behind_other = logits(second), logits(first, second), logits(other, second)
    llm.train(is_training)
    tolerance = 100 * torch.finfo(weight.dtype).eps * float(alone.abs().max())
    return torch.equal(behind, behind_other) and float((alone - behind).abs().max()) <= tolerance
