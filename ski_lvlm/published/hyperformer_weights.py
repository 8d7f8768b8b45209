"""Load the Hyperformer authors' weights, by their names, into our skeleton encoder.

A user needs the file alone: the network's sizes are read from the shapes.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from ski_lvlm.dual_encoders.checkpoints import SkeletonEncoderCard
from ski_lvlm.encoders.hyperformer import Hyperformer
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
from ski_lvlm.published.weights import Place, leaves, load_places

_SKI_PROJECTION = ("fc2.weight", "fc2.bias")  # the skeleton-to-language layer that the SKI authors added


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

    Raises:
        PublishedWeightsError: a weight is missing or left over, a shape differs, or no split has as many seen actions.
    """
    preprocessing = published_preprocessing(streams)
    settings = _settings(published, in_channels=preprocessing.num_channels)
    (num_classes, _) = shape_of(published, "fc.weight", 2, title=Hyperformer.title)
    encoder = Hyperformer(layout=LAYOUT, **settings)
    model = ActionClassifier(encoder, num_classes=num_classes)
    load_hyperformer(model, published)
    return model, card_of(encoder, num_classes=num_classes, protocol=protocol, preprocessing=preprocessing)


def load_hyperformer(model: ActionClassifier, published: Mapping[str, Tensor]) -> None:
    """Load the Hyperformer authors' weights. The SKI authors' extra `fc2` may be among them and is not used.

    Raises:
        PublishedWeightsError: the message lists all names that are missing or left over, and shapes that differ.
    """
    used = {n: value for n, value in published.items() if n not in _SKI_PROJECTION and not n.endswith(COUNTER)}
    counters = [name for name in model.state_dict() if name.endswith(COUNTER)]
    load_places(model, used, places(model), unchanged=counters)


def _settings(published: Mapping[str, Tensor], *, in_channels: int) -> dict[str, Any]:
    """Read the encoder's constructor arguments, apart from its layout, off names and shapes."""
    check_channels(published, in_channels, title=Hyperformer.title)
    num_heads, head_dim = shape_of(published, "l1.vit1.attn.w1", 2, title=Hyperformer.title)
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
        "num_persons": NUM_PERSONS,
    }


def places(model: ActionClassifier) -> Iterator[Place]:
    """Yield where each released tensor belongs in a classifier of our own."""
    yield from leaves("encoder.entrance_norm", "data_bn", suffixes=NORM)
    for number, stride in enumerate(model.encoder.strides, start=1):
        module, released = f"encoder.blocks.{number - 1}", f"l{number}"
        yield from _attention(f"{module}.attention", f"{released}.vit1", has_skip=number == 1)
        yield from _time_convolution(f"{module}.time", f"{released}.tcn1.branches")
        if number == 1 or stride != 1:
            yield from leaves(f"{module}.residual.0", f"{released}.residual.conv")
            yield from leaves(f"{module}.residual.1", f"{released}.residual.bn", suffixes=NORM)
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
    yield from leaves(f"{module}.entrance_norm", *(f"{released}.{branch}.1" for branch in range(3)), suffixes=NORM)
    yield from leaves(f"{module}.short", f"{released}.0.3.conv")
    yield from leaves(f"{module}.long", f"{released}.1.3.conv")
    ends = ("0.3.bn", "1.3.bn", "2.4", "3.1")
    yield from leaves(f"{module}.exit_norm", *(f"{released}.{end}" for end in ends), suffixes=NORM)
