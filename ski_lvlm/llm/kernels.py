"""Choice of the code that computes a language model's norms and gates in training."""

import logging
import os
from collections.abc import Mapping
from typing import Literal

import torch
from transformers import PreTrainedModel

from ski_lvlm.llm.lean import make_lean

Lean = Literal["auto", "on", "off"]
logger = logging.getLogger(__name__)
_REMEDY = "leave --use_liger_kernel out: --lean saves as much memory without it"


def choose_kernels(
    llm: PreTrainedModel,
    *,
    lean: Lean = "auto",
    is_liger: bool = False,
    liger_settings: Mapping[str, bool] | None = None,
) -> None:
    """Let Liger's kernels compute a language model's norms and gates, or its own code in less memory.

    Raises:
        ValueError: Liger or `lean` "on" was asked for, and nothing in this model can be changed so.
        ImportError: Liger was asked for and cannot be imported.
    """
    level = logging.INFO if os.environ.get("RANK", "0") == "0" else logging.DEBUG  # one process speaks for all
    if is_liger:
        if lean == "on":
            raise ValueError("--lean on --use_liger_kernel True: both change norms and gates; leave one of them out")
        logger.log(level, "Liger computes %d modules of the language model", apply_liger(llm, liger_settings or {}))
    elif lean != "off":
        modules = make_lean(llm)
        if not modules.norms + modules.gates and lean == "on":
            raise ValueError(
                f"--lean on: a model of type {llm.config.model_type!r} has no norm and no gated MLP of a known "
                "structure; leave the flag out"
            )
        logger.log(level, "%d norms, %d gates and %d adapters keep nothing but their inputs", *modules)


def apply_liger(llm: PreTrainedModel, settings: Mapping[str, bool]) -> int:
    """Apply Liger's kernels to a language model, with an adapter or without, and return the number of changed modules.

    Liger's loss is not used, since ours has logits only where there is a label.
    """
    try:
        from liger_kernel.transformers import _apply_liger_kernel_to_instance
    except ImportError as error:
        raise ImportError(
            f"--use_liger_kernel True: Liger cannot be imported ({error}); pip install liger-kernel, or {_REMEDY}"
        ) from error
    if not has_gpu():
        raise ValueError(f"--use_liger_kernel True: Liger's kernels run on a GPU, and there is none; {_REMEDY}")
    without_loss = {**settings, "fused_linear_cross_entropy": False, "cross_entropy": False}
    _apply_liger_kernel_to_instance(model=llm, **without_loss)
    count = sum("forward" in vars(module) for module in llm.modules())
    if not count:
        kind = llm.config.model_type
        raise ValueError(f"--use_liger_kernel True: Liger changed nothing in a model of type {kind!r}; {_REMEDY}")
    return count


def has_gpu() -> bool:
    """Return whether this machine has a device that Triton compiles for."""
    return torch.accelerator.is_available()
