"""Load the Shift-GCN authors' weights, by their names, into our skeleton encoder.

A user needs the file alone: the network's sizes are read from the shapes.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from ski_lvlm.dual_encoders.checkpoints import SkeletonEncoderCard
from ski_lvlm.encoders.shift_gcn import ShiftGCN, joint_shift
from ski_lvlm.encoders.skeleton_encoder import ActionClassifier
from ski_lvlm.published.action_classifiers import (
    COUNTER,
    LAYOUT,
    NORM,
    NUM_PERSONS,
    card_of,
    check_channels,
    published_preprocessing,
    shape_of,
)
from ski_lvlm.published.weights import Place, PublishedWeightsError, leaves, load_places

_JOINT_OFFSET = ".xpos"  # 1e-8 at the start, never trained, and no part of our network
_LARGEST_JOINT_OFFSET = 1e-4
_SHIFTS = (".gcn1.shift_in", ".gcn1.shift_out")  # lists of positions, which follow from the sizes


def is_shift_gcn(published: Mapping[str, Tensor]) -> bool:
    """Recognise the names of a Shift-GCN, by the first batch norm and the first block's spatial part."""
    return "data_bn.weight" in published and "l1.gcn1.Linear_weight" in published


def shift_gcn_of(
    published: Mapping[str, Tensor], *, protocol: str, streams: tuple[str, ...]
) -> tuple[ActionClassifier, SkeletonEncoderCard]:
    """Build the network of released weights, with the weights in it, and its card.

    Args:
        published: weights of a network for NTU's 25 joints, as `read_published` returns them.
        protocol: on whose clips it was trained.
        streams: what its channels are, of which only the number can be read from the shapes.

    Assumption: it was trained as STAR's was, on the skeletons that CTR-GCN prepares. The clips of Shift-GCN's authors
    have 300 frames and are turned upright.

    Raises:
        PublishedWeightsError: a weight is missing or left over, a shape differs, or no split has as many seen actions.
    """
    preprocessing = published_preprocessing(streams)
    check_channels(published, preprocessing.num_channels, title=ShiftGCN.title)
    (num_classes, _) = shape_of(published, "fc.weight", 2, title=ShiftGCN.title)
    settings = _settings(published)
    encoder = ShiftGCN(layout=LAYOUT, in_channels=preprocessing.num_channels, num_persons=NUM_PERSONS, **settings)
    model = ActionClassifier(encoder, num_classes=num_classes)
    load_shift_gcn(model, published)
    return model, card_of(encoder, num_classes=num_classes, protocol=protocol, preprocessing=preprocessing)


def load_shift_gcn(model: ActionClassifier, published: Mapping[str, Tensor]) -> None:
    """Load the Shift-GCN authors' weights.

    Raises:
        PublishedWeightsError: the message lists all names that are missing or left over, and shapes that differ, or
            joints are shifted in another way than in the published network.
    """
    _check_shifts(published, num_joints=model.encoder.layout.num_joints)
    left_out = (_JOINT_OFFSET, *_SHIFTS, COUNTER)
    used = {name: _without_ones(name, value) for name, value in published.items() if not name.endswith(left_out)}
    counters = [name for name in model.state_dict() if name.endswith(COUNTER)]
    load_places(model, used, places(model), unchanged=counters)


def _settings(published: Mapping[str, Tensor]) -> dict[str, Any]:
    """Read widths and strides off names and shapes.

    Assumption: a block whose residual has a convolution halves the time steps, as in the published network. The shapes
    do not say it of a block that changes the width.
    """
    blocks = [int(match[1]) for name in published if (match := re.fullmatch(r"l(\d+)[.]gcn1[.]Linear_weight", name))]
    names = [f"l{number}.gcn1.Linear_weight" for number in range(1, max(blocks) + 1)]
    return {
        "widths": [shape_of(published, name, 2, title=ShiftGCN.title)[1] for name in names],
        "strided": [number for number in blocks if f"l{number}.residual.conv.weight" in published],
    }


def _check_shifts(published: Mapping[str, Tensor], *, num_joints: int) -> None:
    for name, value in published.items():
        if name.endswith(_JOINT_OFFSET) and not bool((value.abs() <= _LARGEST_JOINT_OFFSET).all()):
            raise PublishedWeightsError(
                f"{name} shifts between joints by up to {value.abs().max():g}, expected at most "
                f"{_LARGEST_JOINT_OFFSET:g}: the published network never trains it"
            )
        if name.endswith(_SHIFTS):
            expected = joint_shift(num_joints, value.numel() // num_joints)
            if name.endswith("shift_out"):
                expected = expected.argsort()
            if not torch.equal(value.flatten().long(), expected):
                raise PublishedWeightsError(f"{name} shifts joints in another way than the published network does")


def _without_ones(name: str, value: Tensor) -> Tensor:
    """Drop the axes of length 1 that the published network's 1x1 convolutions, biases and masks have."""
    if name.endswith("Linear_bias"):
        return value.flatten()
    if name.endswith("Feature_Mask") and value.ndim == 3 and len(value) == 1:
        return value[0]
    return value[..., 0, 0] if value.ndim == 4 and value.shape[2:] == (1, 1) else value


def places(model: ActionClassifier) -> Iterator[Place]:
    """Yield where each released tensor belongs in a classifier of our own."""
    yield from leaves("encoder.entrance_norm", "data_bn", suffixes=NORM)
    assert isinstance(model.encoder, ShiftGCN)
    widths = (model.encoder.in_channels, *model.encoder.widths)
    for number, stride in enumerate(model.encoder.strides, start=1):
        module, released = f"encoder.blocks.{number - 1}", f"l{number}"
        has_new_width = widths[number - 1] != widths[number]
        yield from _joints(f"{module}.joints", f"{released}.gcn1", has_skip=has_new_width)
        yield from _time(f"{module}.time", f"{released}.tcn1")
        if number > 1 and (has_new_width or stride != 1):
            yield from leaves(f"{module}.residual.linear", f"{released}.residual.conv")
            yield from leaves(f"{module}.residual.norm", f"{released}.residual.bn", suffixes=NORM)
    yield from leaves("head", "fc")


def _joints(module: str, released: str, *, has_skip: bool) -> Iterator[Place]:
    for name, released_name in {"weight": "Linear_weight", "bias": "Linear_bias", "mask": "Feature_Mask"}.items():
        yield Place((f"{module}.{name}",), (f"{released}.{released_name}",))
    yield from leaves(f"{module}.norm", f"{released}.bn", suffixes=NORM)
    if has_skip:
        yield from leaves(f"{module}.skip.linear", f"{released}.down.0")
        yield from leaves(f"{module}.skip.norm", f"{released}.down.1", suffixes=NORM)


def _time(module: str, released: str) -> Iterator[Place]:
    yield from leaves(f"{module}.entrance_norm", f"{released}.bn", suffixes=NORM)
    yield from leaves(f"{module}.exit_norm", f"{released}.bn2", suffixes=NORM)
    yield from leaves(f"{module}.linear", f"{released}.temporal_linear")
    for shift in ("shift_in", "shift_out"):
        yield Place((f"{module}.{shift}.offset",), (f"{released}.{shift}.ypos",))
