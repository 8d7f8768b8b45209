"""Load weights that others have released: every name of theirs finds its place in ours, or nothing is loaded."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ski_lvlm.hyperformer import ActionClassifier, Hyperformer

_NORM = ("weight", "bias", "running_mean", "running_var")
_SKI_PROJECTION = ("fc2.weight", "fc2.bias")  # the skeleton-to-language layer that the SKI authors added


class PublishedWeightsError(ValueError):
    """Released weights do not fit the network they are loaded into."""


def read_published(path: Path) -> dict[str, Tensor]:
    """Read a released file of weights (.safetensors, or .pt/.pth without anything but tensors in it).

    Raises:
        PublishedWeightsError: the file holds something else than named tensors.
    """
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    weights = torch.load(path, map_location="cpu", weights_only=True)
    for wrapper in ("state_dict", "model", "model_state_dict"):
        weights = weights.get(wrapper, weights) if isinstance(weights, dict) else weights
    if not isinstance(weights, dict) or not all(isinstance(value, Tensor) for value in weights.values()):
        raise PublishedWeightsError(f"{path} holds {type(weights).__name__}, expected tensors by name (a state_dict)")
    return {name.removeprefix("module."): value for name, value in weights.items()}


def load_hyperformer(model: ActionClassifier, published: Mapping[str, Tensor]) -> None:
    """Load the Hyperformer authors' weights into ours; the SKI authors' extra `fc2` may be there and is not used.

    Raises:
        PublishedWeightsError: a name is missing or left over, or a shape differs; all of them are listed.
    """
    names = _Names({name: value for name, value in published.items() if name not in _SKI_PROJECTION})
    state = dict(_classifier(names, model.encoder))
    names.check()
    _load(model, state)


class _Names:
    """The released tensors by name, remembering which were asked for."""

    def __init__(self, published: Mapping[str, Tensor]) -> None:
        self.left, self.missing = dict(published), list[str]()

    def take(self, *names: str) -> Tensor:
        """The named tensors, one below the other along the first axis."""
        self.missing += [name for name in names if name not in self.left]
        found = [self.left.pop(name) for name in names if name in self.left]
        if not found:
            return torch.empty(0)
        return torch.cat(found) if len(found) > 1 else found[0]

    def check(self) -> None:
        left = [name for name in self.left if not name.endswith("num_batches_tracked")]
        if self.missing or left:
            raise PublishedWeightsError(
                f"the weights do not fit: missing {self.missing or 'nothing'}, left over {left or 'nothing'}; "
                "check depth, strided blocks and width of the network they were released for"
            )


def _classifier(names: _Names, encoder: Hyperformer) -> Iterator[tuple[str, Tensor]]:
    yield from _norm(names, "encoder.entrance_norm", "data_bn")
    for number, stride in enumerate(encoder.strides, start=1):
        ours, theirs = f"encoder.blocks.{number - 1}", f"l{number}"
        yield from _attention(names, f"{ours}.attention", f"{theirs}.vit1", has_skip=number == 1)
        yield from _time(names, f"{ours}.time", f"{theirs}.tcn1.branches")
        if number == 1 or stride != 1:
            yield from _affine(names, f"{ours}.residual.0", f"{theirs}.residual.conv")
            yield from _norm(names, f"{ours}.residual.1", f"{theirs}.residual.bn")
    yield from _affine(names, "head", "fc")


def _attention(names: _Names, ours: str, theirs: str, *, has_skip: bool) -> Iterator[tuple[str, Tensor]]:
    yield from _affine(names, f"{ours}.norm", f"{theirs}.norm1")
    yield f"{ours}.qkv.conv.weight", names.take(f"{theirs}.attn.q.weight", f"{theirs}.attn.kv.weight")
    yield f"{ours}.group_projection.conv.weight", names.take(f"{theirs}.pe_proj.weight")
    if has_skip:
        yield f"{ours}.skip.conv.weight", names.take(f"{theirs}.skip_proj.weight")
    yield from _affine(names, f"{ours}.output.conv", f"{theirs}.attn.proj")
    learned = {"hop_embedding": "rpe", "group_weight": "w1", "joint_matrix": "outer", "alpha": "alpha"}
    for our_name, their_name in learned.items():
        yield f"{ours}.{our_name}", names.take(f"{theirs}.attn.{their_name}")


def _time(names: _Names, ours: str, theirs: str) -> Iterator[tuple[str, Tensor]]:
    yield from _affine(names, f"{ours}.entrance", *(f"{theirs}.{branch}.0" for branch in range(4)))
    yield from _norm(names, f"{ours}.entrance_norm", *(f"{theirs}.{branch}.1" for branch in range(3)))
    yield from _affine(names, f"{ours}.short", f"{theirs}.0.3.conv")
    yield from _affine(names, f"{ours}.long", f"{theirs}.1.3.conv")
    ends = ("0.3.bn", "1.3.bn", "2.4", "3.1")
    yield from _norm(names, f"{ours}.exit_norm", *(f"{theirs}.{end}" for end in ends))


def _affine(names: _Names, ours: str, *theirs: str) -> Iterator[tuple[str, Tensor]]:
    for leaf in ("weight", "bias"):
        yield f"{ours}.{leaf}", names.take(*(f"{name}.{leaf}" for name in theirs))


def _norm(names: _Names, ours: str, *theirs: str) -> Iterator[tuple[str, Tensor]]:
    for leaf in _NORM:
        yield f"{ours}.{leaf}", names.take(*(f"{name}.{leaf}" for name in theirs))


def _load(model: nn.Module, state: dict[str, Float[Tensor, "..."]]) -> None:
    expected = {name: value for name, value in model.state_dict().items() if not name.endswith("num_batches_tracked")}
    wrong = [
        f"{name}: {tuple(state[name].shape) if name in state else 'absent'}, expected {tuple(value.shape)}"
        for name, value in expected.items()
        if name not in state or state[name].shape != value.shape
    ]
    if wrong:
        raise PublishedWeightsError("the weights have other shapes than the network: " + "; ".join(wrong))
    counters = {name: value for name, value in model.state_dict().items() if name not in expected}
    model.load_state_dict({**state, **counters})
