"""Load the Hyperformer authors' weights, by their names, into our skeleton encoder.

A user needs the file alone: the network's sizes are read from the shapes.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from ski_lvlm.datasets.catalogue import Split, open_data_set
from ski_lvlm.dual_encoders.checkpoints import SkeletonEncoderCard
from ski_lvlm.encoders.hyperformer import ActionClassifier, Hyperformer
from ski_lvlm.published.weights import AFFINE, Place, PublishedWeightsError, leaves, load_places
from ski_lvlm.skeletons.layouts import layout_named
from ski_lvlm.skeletons.preprocessing import Preprocessing

_LAYOUT, _NUM_PERSONS, _NUM_FRAMES = "ntu-25", 2, 64  # of the published training
_SKI_PROJECTION = ("fc2.weight", "fc2.bias")  # the skeleton-to-language layer that the SKI authors added
_COUNTER = "num_batches_tracked"
_NORM = (*AFFINE, "running_mean", "running_var")
_DATA_SETS = ("ntu60", "ntu120")  # that such weights were released for


def is_hyperformer(published: Mapping[str, Tensor]) -> bool:
    """Recognise the names of a Hyperformer, by the first batch norm and the first block's attention."""
    return "data_bn.weight" in published and any(name.startswith("l1.vit1.") for name in published)


def hyperformer_of(
    published: Mapping[str, Tensor], *, protocol: str, streams: tuple[str, ...]
) -> tuple[ActionClassifier, SkeletonEncoderCard]:
    """Build the network of released weights, with the weights in it, and its card.

    Args:
        published: weights of a network for NTU's 25 joints, as `read_published` returns them.
        protocol: on whose clips it was trained.
        streams: what its channels are, of which only the number can be read from the shapes.

    Assumption: it was trained as published, on clips of 64 frames, with an absent person at the origin. A network of
    60 or 120 classes was trained on all actions, one of fewer on the seen actions of the split with as many.

    Raises:
        PublishedWeightsError: a weight is missing or left over, a shape differs, or no split has as many seen actions.
    """
    preprocessing = Preprocessing(layout=_LAYOUT, streams=streams, absent="zeros")  # type: ignore[arg-type]
    encoder = Hyperformer(**_settings(published, in_channels=preprocessing.num_channels), layout=layout_named(_LAYOUT))
    num_classes = _shape(published, "fc.weight", 2)[0]
    model = ActionClassifier(encoder, num_classes=num_classes)
    load_hyperformer(model, published)
    split = _training_split(num_classes)
    card = SkeletonEncoderCard(
        stage="skeleton_pretrain",
        encoder=encoder.settings,
        preprocessing=preprocessing.to_json(),
        num_frames=_NUM_FRAMES,
        split=split.name,
        seen=split.seen,
        protocol=protocol,
        dataset=split.dataset,
    )
    return model, card


def load_hyperformer(model: ActionClassifier, published: Mapping[str, Tensor]) -> None:
    """Load the Hyperformer authors' weights. The SKI authors' extra `fc2` may be among them and is not used.

    Raises:
        PublishedWeightsError: the message lists all names that are missing or left over, and shapes that differ.
    """
    used = {n: value for n, value in published.items() if n not in _SKI_PROJECTION and not n.endswith(_COUNTER)}
    counters = [name for name in model.state_dict() if name.endswith(_COUNTER)]
    load_places(model, used, _classifier(model.encoder), unchanged=counters)


def _settings(published: Mapping[str, Tensor], *, in_channels: int) -> dict[str, Any]:
    """Read the encoder's constructor arguments, apart from its layout, off names and shapes."""
    joints = layout_named(_LAYOUT).num_joints
    (features,) = _shape(published, "data_bn.weight", 1)
    if features != _NUM_PERSONS * joints * in_channels:
        raise PublishedWeightsError(
            f"data_bn.weight has {features} features, expected {_NUM_PERSONS} persons x {joints} joints x "
            f"{in_channels} channels; give the --streams it was trained on"
        )
    num_heads, head_dim = _shape(published, "l1.vit1.attn.w1", 2)
    blocks = [int(match[1]) for name in published if (match := re.match(r"l(\d+)[.]vit1[.]", name))]
    depth = max(blocks)
    # The first block has a residual convolution for its width, any other for its stride alone.
    strided = [number for number in range(2, depth + 1) if f"l{number}.residual.conv.weight" in published]
    return {
        "num_heads": num_heads,
        "head_dim": head_dim,
        "depth": depth,
        "strided": strided,
        "in_channels": in_channels,
        "num_persons": _NUM_PERSONS,
    }


def _shape(published: Mapping[str, Tensor], name: str, axes: int) -> tuple[int, ...]:
    if name not in published or published[name].ndim != axes:
        raise PublishedWeightsError(f"the file has no {name} of {axes} axes, which every Hyperformer has")
    return tuple(published[name].shape)


def _training_split(num_classes: int) -> Split:
    data_sets = [open_data_set(name) for name in _DATA_SETS]
    zero_shot = [data.split(key) for data in data_sets for key in data.description.splits]
    for split in (*(data.split(data.name) for data in data_sets), *zero_shot):
        if len(split.seen) == num_classes:
            return split
    raise PublishedWeightsError(
        f"the weights classify {num_classes} actions, expected all 60 or 120, or the seen ones of "
        f"{', '.join(split.name for split in zero_shot)}"
    )


def _classifier(encoder: Hyperformer) -> Iterator[Place]:
    yield from leaves("encoder.entrance_norm", "data_bn", suffixes=_NORM)
    for number, stride in enumerate(encoder.strides, start=1):
        module, released = f"encoder.blocks.{number - 1}", f"l{number}"
        yield from _attention(f"{module}.attention", f"{released}.vit1", has_skip=number == 1)
        yield from _time_convolution(f"{module}.time", f"{released}.tcn1.branches")
        if number == 1 or stride != 1:
            yield from leaves(f"{module}.residual.0", f"{released}.residual.conv")
            yield from leaves(f"{module}.residual.1", f"{released}.residual.bn", suffixes=_NORM)
    yield from leaves("head", "fc")


def _attention(module: str, released: str, *, has_skip: bool) -> Iterator[Place]:
    yield from leaves(f"{module}.norm", f"{released}.norm1")
    yield from leaves(f"{module}.qkv.conv", f"{released}.attn.q", f"{released}.attn.kv", suffixes=["weight"])
    yield from leaves(f"{module}.group_projection.conv", f"{released}.pe_proj", suffixes=["weight"])
    if has_skip:
        yield from leaves(f"{module}.skip.conv", f"{released}.skip_proj", suffixes=["weight"])
    yield from leaves(f"{module}.output.conv", f"{released}.attn.proj")
    learned = {"hop_embedding": "rpe", "group_weight": "w1", "joint_matrix": "outer", "alpha": "alpha"}
    for name, released_name in learned.items():
        yield Place((f"{module}.{name}",), (f"{released}.attn.{released_name}",))


def _time_convolution(module: str, released: str) -> Iterator[Place]:
    yield from leaves(f"{module}.entrance", *(f"{released}.{branch}.0" for branch in range(4)))
    yield from leaves(f"{module}.entrance_norm", *(f"{released}.{branch}.1" for branch in range(3)), suffixes=_NORM)
    yield from leaves(f"{module}.short", f"{released}.0.3.conv")
    yield from leaves(f"{module}.long", f"{released}.1.3.conv")
    ends = ("0.3.bn", "1.3.bn", "2.4", "3.1")
    yield from leaves(f"{module}.exit_norm", *(f"{released}.{end}" for end in ends), suffixes=_NORM)
