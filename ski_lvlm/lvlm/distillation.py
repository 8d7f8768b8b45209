"""Self-distillation: a frozen language model that has video and skeleton teaches itself with the video alone.

Inference has no skeleton. Here the same model reads a sample twice, with its skeleton and without, and the projector of
videos learns to bring the second distribution of each answer token near the first.

Deviation: not in the paper.
"""

import math
from collections.abc import Collection

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from ski_lvlm.llm.conversation import IGNORED, Encoded
from ski_lvlm.recipe import AdapterRecipe, SkiLvlmRecipe


def divergence(teacher: Float[Tensor, "M V"], student: Float[Tensor, "M V"]) -> Float[Tensor, ""]:
    """Return KL(teacher || student) in nats, summed over M tokens. The teacher gets no gradient.

    Args:
        teacher: logits of the answer tokens with video and skeleton.
        student: logits of the same tokens with the video alone.
    """
    expected = teacher.detach().float().log_softmax(-1)
    return functional.kl_div(student.float().log_softmax(-1), expected, log_target=True, reduction="sum")


def video_only_sample(encoded: Encoded, labels: Int[Tensor, " L"], *, limit: int) -> Encoded:
    """Return a sample without its skeleton whose trained tokens are those of the sample with it.

    Args:
        encoded: the conversation without its skeleton, not truncated.
        labels: of the sample with its skeleton, which may have lost the end of its answer.
        limit: the longest sample in tokens.
    """
    ids, targets = (part[:limit] for part in encoded)
    is_trained = targets != IGNORED
    is_beyond = is_trained & (is_trained.cumsum(0) > int((labels != IGNORED).sum()))
    return Encoded(ids, torch.where(is_beyond, IGNORED, targets))


def check_distillation(
    recipe: SkiLvlmRecipe, tuning: AdapterRecipe, *, is_partitioned: bool, is_reentrant: bool = False
) -> None:
    """Refuse a self-distillation that would teach nothing.

    Args:
        recipe: of the training.
        tuning: what is trained of the language model.
        is_partitioned: weights are shared out by ZeRO-3, whose processes must make the same calls.
        is_reentrant: checkpoints are reentrant, which hand a weight's gradient over in each forward by itself.

    Raises:
        ValueError: the message names the flag.
    """
    weight = recipe.video_only_distillation
    flag = f"--video_only_distillation {weight:g}"
    if not 0 <= weight < math.inf:
        raise ValueError(f"{flag}: expected a weight of 0 or more; 0 is none")
    if not weight:
        return
    if missing := {"video", "skeleton"} - set(_names(recipe.modalities)):
        raise ValueError(
            f"{flag}: found --modalities {recipe.modalities}, expected {' and '.join(sorted(missing))} among them; "
            "leave one of the two flags out"
        )
    is_tuned = bool(tuning.lora_rank) or tuning.train == "llm"
    if "video" in _names(recipe.freeze) and not is_tuned:
        raise ValueError(
            f"{flag} beside --freeze {recipe.freeze}: nothing that is trained reads the video alone; leave one of the "
            "two out, or add --lora_rank"
        )
    if is_reentrant and is_tuned:
        raise ValueError(
            f"{flag}: found reentrant checkpoints before trained weights of the language model, of which DDP and ZeRO "
            "expect one gradient a step; leave use_reentrant out of --activation_checkpointing_kwargs"
        )
    if is_partitioned:
        raise ValueError(
            f"{flag}: found ZeRO-3, expected ZeRO-2 or no DeepSpeed, since a process without a skeleton in its batch "
            "makes no further forward; name zero2.json"
        )


def _names(flag: str) -> Collection[str]:
    return [name for name in flag.split(",") if name]
