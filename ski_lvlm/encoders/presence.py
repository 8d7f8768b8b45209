"""Presence: persons and joints that are in a clip, and the means over them."""

import math

import torch
import torch.nn.functional as F
from einops import rearrange, reduce
from jaxtyping import Bool, Float
from torch import Tensor


def presence_of(
    skeleton: Float[Tensor, "B T M J C"],
) -> tuple[Bool[Tensor, "B T M"], Bool[Tensor, "N T J"] | None]:
    """Return which persons are present when, and which joints of those ever present they have, None for all.

    In frames without a person all joints count as there. There the person as a whole is left out.

    Raises:
        ValueError: a joint that is there in part, or a clip without anybody.
    """
    absent = skeleton.isnan()
    unknown = absent.any(-1)
    if bool((unknown & ~absent.all(-1)).any()):
        raise ValueError("some channels of a joint are NaN and others are not; NaN must mark a joint that is absent")
    present = ~unknown.all(-1)
    somebody = present.flatten(1).any(1)
    if not bool(somebody.all()):
        empty = (~somebody).nonzero().flatten().tolist()
        raise ValueError(f"clips {empty} of the batch show nobody in any frame; leave them out")
    single = unknown & present[..., None]
    if not bool(single.any()):
        return present, None
    return present, rearrange(~single, "b t m j -> b m t j")[present.any(1)]


def average_joints(
    features: Float[Tensor, "N F U J"], has_joint: Bool[Tensor, "N U J"] | None
) -> Float[Tensor, "N U F"]:
    """Average over the joints that are there at each time step. The others are zeros."""
    if has_joint is None:
        return reduce(features, "n c u j -> n u c", "mean")
    number = has_joint.sum(-1, keepdim=True).clamp(min=1).to(features.dtype)
    return reduce(features, "n c u j -> n u c", "sum") / number


def average_persons(per_person: Float[Tensor, "N U F"], *, present: Bool[Tensor, "B T M"]) -> Float[Tensor, "B U F"]:
    """Average over the persons present at each time step, and over all of the clip where nobody is."""
    ever = present.any(1)
    presence = _presence_at_steps(present, per_person.shape[1])
    weight = (presence / presence.sum(1, keepdim=True))[ever].to(per_person.dtype)
    tokens = per_person.new_zeros(len(ever), *per_person.shape[1:])
    return tokens.index_add(0, ever.nonzero()[:, 0], per_person * weight[..., None])


def average_maps(
    features: Float[Tensor, "N F U J"], has_joint: Bool[Tensor, "N U J"] | None, *, present: Bool[Tensor, "B T M"]
) -> Float[Tensor, "B F U J"]:
    """Average each joint over the persons present at each time step who have it. NaN marks one that nobody has."""
    ever = present.any(1)
    weight = _presence_at_steps(present, features.shape[2])[ever].to(features.dtype)[..., None]
    weight = weight.expand(-1, -1, features.shape[3]) if has_joint is None else weight * has_joint
    clips, row = len(ever), ever.nonzero()[:, 0]
    number = weight.new_zeros(clips, *weight.shape[1:]).index_add(0, row, weight)[:, None]
    total = features.new_zeros(clips, *features.shape[1:]).index_add(0, row, features * weight[:, None])
    return (total / number.clamp(min=1)).masked_fill(number == 0, math.nan)


def _presence_at_steps(present: Bool[Tensor, "B T M"], steps: int) -> Float[Tensor, "B M U"]:
    """Return 1 for each person of a time step. Where nobody is, they are all persons of the clip."""
    presence = F.adaptive_max_pool1d(rearrange(present.float(), "b t m -> b m t"), steps)
    return torch.where(presence.any(1, keepdim=True), presence, present.any(1)[..., None].float())
